"""What everything that a bundle can hold does, whatever its kind: a new kind of `KINDS` needs a sample here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from palate.bundle import load_bundle, read_manifest, write_bundle
from palate.dataset.ids import IdMap
from palate.errors import BundleFormatError, NotFittedError, PalateError
from palate.features import ContentEncoder
from palate.features.columns import ColumnEncoder
from palate.models import KINDS, artifact_class
from palate.models.deep_fm import DeepFM
from palate.models.factorization_machine import FactorizationMachine
from palate.models.factors import Factors
from palate.models.kmeans import KMeans
from palate.models.pca import PCA
from palate.models.pipeline import ArtifactPipeline, Stage
from palate.models.protocol import Arrays, Artifact
from tests.models.checkerboard import NAMES, RECOMMENDERS, catalogue, fitted

NAME = NAMES["string"]
VECTORS = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
SEEN = sparse.csr_matrix(np.array([[1, 0, 0], [0, 1, 1]], np.int8))
PARTS = PCA([[1, 0, 0], [0, 1, 1]], [0.5, 0, 0], [0.7, 0.3]), KMeans([[0, 0], [1, 1]])
COLUMNS = ColumnEncoder({"age": (40, 10)}, {"city": IdMap(["Oslo", "Rome"])})

Sample = tuple[Callable[[], Artifact], dict[str, Any]]
SAMPLES: dict[str, Sample] = {
    **{kind: (lambda kind=kind: fitted(kind), {"user": [NAME(1), "nobody"]}) for kind in RECOMMENDERS},  # type: ignore[misc]
    "pca": (lambda: PARTS[0], {"features": VECTORS}),
    "kmeans": (lambda: PARTS[1], {"features": VECTORS[:, :2]}),
    "factors": (
        lambda: Factors(IdMap([7, 5]), IdMap(["a", "b", "c"]), [[1, 2], [3, 4]], [[1, 0], [0, 1], [2, 2]], SEEN),
        {"user": [5, 5, 7], "item": ["c", "a", "b"]},
    ),
    "pipeline": (
        lambda: ArtifactPipeline([Stage("pca", PARTS[0]), Stage("kmeans", PARTS[1], {"features": "projection"})]),
        {"features": VECTORS},
    ),
    "fm": (
        lambda: FactorizationMachine(0.5, np.arange(4), VECTORS[:4], "classification", COLUMNS),
        {"features": [[0.5], [1], [-1]], "age": [30, 50.5, 40], "city": ["Rome", None, "Atlantis"]},
    ),
    "deepfm": (
        lambda: DeepFM(epochs=2, factors=2, hidden=4).fit(
            {"user": ["a", "b", "b"], "genres": [["x"], [], ["x", "y"]], "year": [1, 2, 4]},
            [0, 1, 1],
            {"user": "category", "genres": "list", "year": "number"},
        ),
        {"user": ["b", None], "genres": [["y", "z"], None], "year": [3.0, 1.5]},
    ),
    "content-encoder": (
        lambda: ContentEncoder(min_count=1).fit(catalogue(NAME)),
        {
            "title": ["Drama part 1", None],
            "text": ["", "a loud one"],
            "categories": [["Drama"], []],
            "tags": [[], ["funny"]],
        },
    ),
}
"""Kind to how an artifact of it is made, and a batch for it."""


def test_every_kind_has_a_sample() -> None:
    assert set(SAMPLES) == set(KINDS)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def artifact(kind: str) -> Artifact:
    return SAMPLES[kind][0]()


def apart_and_together(artifact: Artifact) -> Artifact:
    held = artifact.to_arrays()
    parts = {name: apart_and_together(part) for name, part in held.parts.items()}
    return type(artifact).from_arrays(Arrays(held.params, held.arrays, held.ids, parts))


def close(first: Any, second: Any) -> bool:
    """Answers are alike: numbers to float32's rounding, all else exactly."""
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(close(first[name], second[name]) for name in first)
    if isinstance(first, list):
        return len(first) == len(second) and all(map(close, first, second))
    return bool(np.isclose(first, second, rtol=1e-4, atol=1e-5)) if isinstance(first, float) else bool(first == second)


def test_it_is_one_and_says_its_kind(kind: str, artifact: Artifact) -> None:
    assert isinstance(artifact, Artifact)
    assert artifact.kind == kind
    assert artifact_class(kind) is type(artifact)


def test_predict_takes_and_gives_the_columns_of_the_signature(kind: str, artifact: Artifact) -> None:
    batch = SAMPLES[kind][1]
    signature = artifact.signature()
    assert set(batch) <= set(signature.inputs)
    assert set(signature.inputs) - set(batch) <= set(signature.optional)
    answer = artifact.predict(batch)
    assert list(answer) == [name for name in signature.outputs if name in answer]
    assert set(signature.outputs) - set(answer) <= set(signature.optional)
    n = len(next(iter(batch.values())))
    assert {len(column) for column in answer.values()} == {n}
    types = {"int32": int, "int64": int, "float": float, "bool": bool, "string": str}
    for name, values in answer.items():
        declared = signature.outputs[name]
        for value in values:
            each = value if declared.startswith("list<") else [value]
            assert all(type(part) is types[declared.removeprefix("list<").removesuffix(">")] for part in each)


def test_no_rows_give_no_rows(kind: str, artifact: Artifact) -> None:
    answer = artifact.predict({name: [] for name in SAMPLES[kind][1]})
    assert answer == {name: [] for name in artifact.signature().outputs if name in answer}


def test_apart_and_together_it_answers_the_same(kind: str, artifact: Artifact) -> None:
    again = apart_and_together(artifact)
    batch = SAMPLES[kind][1]
    assert again.signature() == artifact.signature()
    assert close(again.predict(batch), artifact.predict(batch))


def test_from_a_bundle_whose_arrays_are_read_only_it_answers_the_same(
    kind: str, artifact: Artifact, tmp_path: Path
) -> None:
    batch = SAMPLES[kind][1]
    write_bundle(artifact, tmp_path / "b")
    again = load_bundle(tmp_path / "b", verify="always")
    assert type(again) is type(artifact)
    assert close(again.predict(batch), artifact.predict(batch))
    manifest = read_manifest(tmp_path / "b")
    assert manifest.kind == kind
    assert manifest.signature == artifact.signature()
    write_bundle(again, tmp_path / "c")  # what was loaded can be stored again
    assert close(load_bundle(tmp_path / "c", verify="always").predict(batch), artifact.predict(batch))


@pytest.mark.parametrize("wrong", [None, 5, "text"])
def test_wrong_input_is_refused(kind: str, artifact: Artifact, wrong: Any) -> None:
    with pytest.raises(PalateError):
        artifact.predict({})
    with pytest.raises(PalateError):
        artifact.predict({"other": [1]})
    with pytest.raises(PalateError):
        artifact.predict(dict.fromkeys(SAMPLES[kind][1], wrong))


@pytest.mark.parametrize(
    "kind", sorted(set(KINDS) - {"pca", "kmeans", "factors", "pipeline"})
)  # those are made of what was fitted
def test_what_is_not_fitted_has_nothing_to_store(kind: str) -> None:
    with pytest.raises(NotFittedError):
        artifact_class(kind)().to_arrays()


@pytest.mark.parametrize("kind", ["content", "blend"])
def test_a_part_of_another_kind_is_refused(kind: str, tmp_path: Path) -> None:
    model = fitted(kind)
    held = model.to_arrays()
    with pytest.raises(BundleFormatError, match="must be of kind"):
        type(model).from_arrays(Arrays(held.params, held.arrays, held.ids, dict.fromkeys(held.parts, PARTS[0])))
