"""What goes into a bundle comes out of it, mapped and not copied."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse

from palate.bundle import load_bundle, read_manifest, verify_bundle, write_bundle
from palate.dataset.ids import IdMap
from palate.dataset.schema import Interactions
from palate.errors import BundleError, BundleFormatError, ConflictError, ParameterError
from palate.models import KINDS
from palate.models.kmeans import KMeans
from palate.models.pca import PCA
from palate.models.pipeline import ArtifactPipeline, Stage
from palate.models.popularity import Popularity
from palate.models.protocol import Arrays

names = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,12}", fullmatch=True)
dense = hnp.arrays(
    st.sampled_from(["f4", "f8", "i4", "i8", "u1", "?", ">f8", "U3", "M8[s]"]), hnp.array_shapes(min_dims=0, min_side=0)
)
ids = st.one_of(
    st.lists(st.integers(-(2**63), 2**63 - 1), unique=True, max_size=8),
    st.lists(st.text(max_size=8), unique=True, max_size=8),
).map(IdMap)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text().filter(lambda k: k != "$float"), inner, max_size=3)
    ),
    max_leaves=8,
)


@st.composite
def matrices(draw: st.DrawFn) -> sparse.csr_matrix:
    rows, columns = draw(st.integers(0, 5)), draw(st.integers(1, 5))
    cells = draw(st.lists(st.tuples(st.integers(0, rows - 1), st.integers(0, columns - 1)), max_size=9)) if rows else []
    data = np.arange(1, len(cells) + 1, dtype=draw(st.sampled_from([np.float32, np.float64, np.int32])))
    counts = np.bincount([row for row, _ in cells], minlength=rows)
    indices = np.array([column for _, column in sorted(cells, key=lambda cell: cell[0])], np.int32)  # unsorted in rows
    return sparse.csr_matrix((data, indices, np.concatenate([[0], np.cumsum(counts)])), shape=(rows, columns))


def contents(box: type[Any]) -> st.SearchStrategy[Arrays]:
    leaves = st.builds(
        Arrays,
        st.dictionaries(st.text().filter(lambda k: k != "$float"), values, max_size=3),
        st.dictionaries(names, st.one_of(dense, matrices()), max_size=3),
        st.dictionaries(names, ids, max_size=2),
    )
    with_parts = st.builds(
        lambda leaf, parts: Arrays(leaf.params, leaf.arrays, leaf.ids, {k: box(v) for k, v in parts.items()}),
        leaves,
        st.dictionaries(names, leaves, max_size=2),
    )
    return st.one_of(leaves, with_parts)


def same(left: Any, right: Any) -> bool:
    if isinstance(left, float) and isinstance(right, float):
        return left == right or (math.isnan(left) and math.isnan(right))
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    return type(left) is type(right) and left == right


def assert_same(left: Arrays, right: Arrays) -> None:
    assert same(dict(left.params), dict(right.params))
    assert left.arrays.keys() == right.arrays.keys()
    for name, array in left.arrays.items():
        other = right.arrays[name]
        assert other.dtype == array.dtype
        assert other.shape == array.shape
        if sparse.issparse(array):
            np.testing.assert_array_equal(other.toarray(), array.toarray())
            assert other.nnz == array.nnz
        else:
            assert other.tobytes() == np.asarray(array).tobytes()
    assert dict(left.ids) == dict(right.ids)
    assert left.parts.keys() == right.parts.keys()
    for name, part in left.parts.items():
        assert_same(part.to_arrays(), right.parts[name].to_arrays())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_everything_comes_back(box: type[Any], data: st.DataObject) -> None:
    arrays = data.draw(contents(box))
    with tempfile.TemporaryDirectory() as folder:
        write_bundle(box(arrays), Path(folder) / "bundle")
        loaded = load_bundle(Path(folder) / "bundle", verify="always")
        assert_same(arrays, loaded.to_arrays())


def test_the_manifest_says_where_it_came_from(tmp_path: Path, filled: Any) -> None:
    metrics = {"ndcg@10": 0.25, "nan": math.nan, "count": np.int64(3)}
    written = write_bundle(
        filled, tmp_path / "b", metrics=metrics, lineage={"fingerprint": "abc", "spark": {"rows": 7}}
    )
    read = read_manifest(tmp_path / "b")
    assert read.model_dump_json() == written.model_dump_json()
    assert read.kind == "test-box"
    assert math.isnan(read.metrics["nan"])
    assert read.metrics["ndcg@10"] == 0.25
    assert read.fingerprint == "abc"
    assert read.lineage["spark"] == {"rows": 7}
    assert read.signature.inputs == {"x": "double"}
    assert read.params["names"] == ["a", "ü"]
    assert set(read.parts) == {"part"}
    assert read.size == sum(f.stat().st_size for f in (tmp_path / "b").rglob("*") if f.suffix in {".npy", ".arrow"})


def test_nothing_is_copied_and_nothing_can_be_written(tmp_path: Path, filled: Any) -> None:
    write_bundle(filled, tmp_path / "b")
    held = load_bundle(tmp_path / "b").to_arrays()
    seen = held.arrays["seen"]
    for array in (held.arrays["factors"], seen.data, seen.indices, seen.indptr):
        root = array
        while isinstance(root.base, np.ndarray):
            root = root.base
        assert not array.flags.owndata
        assert isinstance(root, np.memmap) or type(root.base).__name__ == "mmap"
        with pytest.raises(ValueError, match="read-only"):
            array[:1] = 0
    assert not held.ids["users"].order.flags.writeable


def test_a_mapped_matrix_does_what_a_matrix_does(tmp_path: Path, filled: Any) -> None:
    write_bundle(filled, tmp_path / "b")
    loaded, original = load_bundle(tmp_path / "b").to_arrays().arrays["seen"], filled.to_arrays().arrays["seen"]
    weights = np.ones((20, 3), np.float32)
    np.testing.assert_allclose(loaded @ weights, original @ weights)
    np.testing.assert_array_equal((loaded.T @ loaded).toarray(), (original.T @ original).toarray())
    np.testing.assert_array_equal(loaded[[3, 1]].toarray(), original[[3, 1]].toarray())
    assert loaded.sum() == original.sum()


def test_real_models_answer_the_same(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    model = ArtifactPipeline(
        [
            Stage("pca", PCA(rng.normal(size=(3, 8)), rng.normal(size=8))),
            Stage("kmeans", KMeans(rng.normal(size=(4, 3))), {"features": "projection"}),
        ]
    )
    write_bundle(model, tmp_path / "b")
    batch = {"features": rng.normal(size=(5, 8)).tolist()}
    assert load_bundle(tmp_path / "b").predict(batch) == model.predict(batch)


def test_no_file_is_a_pickle(tmp_path: Path, filled: Any) -> None:
    write_bundle(filled, tmp_path / "b")
    suffixes = {path.suffix for path in (tmp_path / "b").rglob("*") if path.is_file()}
    assert suffixes == {".json", ".sha256", ".npy", ".arrow"}


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        (Arrays(arrays={"a": np.array([{}, 1], dtype=object)}), "without pickle"),
        (Arrays(arrays={"a": np.zeros(2, dtype=[("x", "f4"), ("y", object)])}), "without pickle"),
        (Arrays(arrays={"../a": np.zeros(2)}), "cannot be called"),
        (Arrays(arrays={"a/b": np.zeros(2)}), "cannot be called"),
        (Arrays(arrays={".hidden": np.zeros(2)}), "cannot be called"),
        (Arrays(arrays={"": np.zeros(2)}), "cannot be called"),
        (Arrays(ids={"x" * 101: IdMap([1])}), "cannot be called"),
        (Arrays({"a": np.zeros(3)}), "params.a: a ndarray is not JSON"),
        (Arrays({"a": [{"b": {1, 2}}]}), r"params.a\[0\].b: a set is not JSON"),
        (Arrays({"a": {1: 2}}), "the key 1"),
        (Arrays({"a": {"$float": "nan"}}), "the key '\\$float'"),
    ],
)
def test_what_a_bundle_cannot_hold_is_refused(tmp_path: Path, box: type[Any], arrays: Arrays, said: str) -> None:
    with pytest.raises(BundleError, match=said):
        write_bundle(box(arrays), tmp_path / "b")
    assert [path.name for path in tmp_path.iterdir()] == []


@pytest.mark.parametrize("metrics", [{"a": "0.5"}, {"a": None}, {1: 0.5}, {"a": True}])
def test_metrics_are_numbers(tmp_path: Path, filled: Any, metrics: Any) -> None:
    with pytest.raises(BundleError, match="must be a number"):
        write_bundle(filled, tmp_path / "b", metrics=metrics)


def test_a_bundle_is_never_changed(tmp_path: Path, filled: Any, box: type[Any]) -> None:
    write_bundle(filled, tmp_path / "b")
    before = (tmp_path / "b" / "manifest.json").read_bytes()
    with pytest.raises(ConflictError, match="never changed"):
        write_bundle(box(Arrays()), tmp_path / "b")
    assert (tmp_path / "b" / "manifest.json").read_bytes() == before
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ConflictError):
        write_bundle(filled, tmp_path / "file")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "file"]


def test_a_read_only_bundle_loads(tmp_path: Path, filled: Any, cache_home: Path) -> None:
    write_bundle(filled, tmp_path / "b")
    for path in sorted((tmp_path / "b").rglob("*"), reverse=True):
        path.chmod(0o555 if path.is_dir() else 0o444)
    (tmp_path / "b").chmod(0o555)
    cache_home.write_text("not a directory, so nothing can be remembered")
    assert load_bundle(tmp_path / "b").to_arrays().params["alpha"] == 0.5
    (tmp_path / "b").chmod(0o755)


def test_verified_once_per_machine(tmp_path: Path, filled: Any, cache_home: Path) -> None:
    write_bundle(filled, tmp_path / "b")
    load_bundle(tmp_path / "b")
    records = list((cache_home / "palate" / "verified").iterdir())
    load_bundle(tmp_path / "b")
    assert list((cache_home / "palate" / "verified").iterdir()) == records
    assert len(records) == 1
    factors = tmp_path / "b" / "arrays" / "factors.npy"
    raw = factors.read_bytes()
    factors.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    with pytest.raises(BundleError, match="content was changed"):
        load_bundle(tmp_path / "b")
    load_bundle(tmp_path / "b", verify="never")
    os.utime(factors)
    with pytest.raises(BundleError, match="content was changed"):
        load_bundle(tmp_path / "b", verify="always")


def test_bad_arguments(tmp_path: Path, filled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BundleError, match="no bundle here"):
        load_bundle(tmp_path / "none")
    with pytest.raises(BundleError, match="this is not a bundle"):
        verify_bundle(tmp_path)
    write_bundle(filled, tmp_path / "b")
    with pytest.raises(ParameterError, match="verify must be"):
        load_bundle(tmp_path / "b", verify="maybe")  # type: ignore[arg-type]
    monkeypatch.delitem(KINDS, "test-box")
    with pytest.raises(BundleFormatError, match="there is no model kind 'test-box'"):
        load_bundle(tmp_path / "b")


def test_a_model_that_has_changed_since_is_refused(tmp_path: Path, box: type[Any]) -> None:
    model = box(Arrays(arrays={"other": np.zeros(3)}))
    model.kind = "pca"
    write_bundle(model, tmp_path / "b")
    with pytest.raises(BundleFormatError, match=r"pca model cannot be restored.*train it again"):
        load_bundle(tmp_path / "b")


def test_a_place_that_cannot_be_written(tmp_path: Path, filled: Any) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BundleError, match="nothing can be written here"):
        write_bundle(filled, tmp_path / "file" / "b")


def test_loading_brings_in_no_library_that_it_has_no_use_for(tmp_path: Path) -> None:
    """Each of them would be so many megabytes in every process that serves."""
    write_bundle(Popularity().fit(Interactions.from_ids(["u", "v"], ["x", "y"])), tmp_path / "bundle")
    look = "import sys; from palate.bundle import load_bundle; ids = load_bundle(sys.argv[1]).items"
    look += "; assert ids.encode(ids.decode([1, 0]) * 99).tolist() == [1, 0] * 99"
    look += "; print(sorted({'pandas', 'torch', 'matplotlib', 'pyspark'} & set(sys.modules)))"
    command = [sys.executable, "-c", look, str(tmp_path / "bundle")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n"
