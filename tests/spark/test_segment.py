"""`segment`: the numpy artifacts answer as Spark's own transform does, and tastes are found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pyarrow import parquet
from scipy import sparse

from palate.bundle import load_bundle
from palate.dataset.ids import IdMap
from palate.errors import SchemaError
from palate.features import ContentEncoder, user_vectors
from palate.spark.content import Columns, item_frame, most_varied, user_frame
from palate.spark.jobs.segment import assign, command, fit_segments
from palate.spark.prepared import Prepared

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark


@pytest.fixture(scope="module")
def vectors() -> sparse.csr_matrix:
    """300 sparse rows around five centres, 40 columns wide, one column constant and one empty."""
    rng = np.random.default_rng(1)
    centres = rng.normal(size=(5, 40)) * (rng.random((5, 40)) < 0.3) * 4
    rows = centres[rng.integers(0, 5, 300)] + rng.normal(size=(300, 40)) * (rng.random((300, 40)) < 0.2)
    rows[:, 7], rows[:, 9] = 1, 0
    return sparse.csr_matrix(rows.astype(np.float32))


def test_artifacts_and_spark_agree(spark: SparkSession, vectors: sparse.csr_matrix) -> None:
    columns = most_varied(vectors, 30)
    frame = item_frame(spark, columns.narrow(vectors)).cache()
    found = fit_segments(frame, columns, components=6, segments=5, seed=4, what="rows")
    theirs = found.model.transform(frame).orderBy("code").collect()
    ours = found.artifact.predict({"features": vectors.toarray()})
    assert ours["cluster"] == [row["cluster"] for row in theirs]
    projections = np.array([row["projection"].toArray() for row in theirs])
    np.testing.assert_allclose(ours["projection"], projections, atol=1e-5)
    centers = np.array(found.model.stages[1].clusterCenters())  # type: ignore[attr-defined]
    distances = np.linalg.norm(projections - centers[ours["cluster"]], axis=1)
    np.testing.assert_allclose(ours["distance"], distances, atol=1e-4)
    ids = IdMap([f"r{n}" for n in range(300)])
    table = assign(frame, found.pca, found.kmeans, ids).toArrow().to_pydict()
    order = np.argsort([int(name[1:]) for name in table["id"]])
    assert np.array(table["segment"])[order].tolist() == ours["cluster"]
    np.testing.assert_allclose(np.array(table["distance"])[order], ours["distance"], atol=1e-5)
    assert found.silhouette is not None
    assert found.silhouette > 0.3


def test_the_most_varied_columns_are_kept(vectors: sparse.csr_matrix) -> None:
    every = most_varied(vectors, 1000)
    assert set(range(40)) - set(every.kept.tolist()) == {7, 9}
    few = most_varied(vectors, 3)
    assert few.kept.tolist() == sorted(np.argsort(-vectors.toarray().var(axis=0))[:3].tolist())
    with pytest.raises(SchemaError, match="told apart"):
        most_varied(sparse.csr_matrix(np.ones((4, 3), np.float32)), 2)


@pytest.mark.parametrize("tasks", [1, 4])
def test_users_vectors_are_those_of_the_features(spark: SparkSession, prepared: Path, tasks: int) -> None:
    found = Prepared(prepared)
    catalogue = found.catalogue()
    assert catalogue is not None
    items = ContentEncoder().fit(catalogue).encode(catalogue)
    train = found.interactions("train")
    expected = user_vectors(train.matrix(), items).toarray()
    columns = Columns(np.arange(items.shape[1], dtype=np.int64), items.shape[1])
    rows = user_frame(spark.read.parquet(str(prepared / "train")), columns.narrow(items), tasks).collect()
    assert sorted(row["code"] for row in rows) == np.unique(train.user_codes).tolist()
    for row in rows:
        np.testing.assert_allclose(row["features"], expected[row["code"]], atol=1e-6)


def test_the_job_finds_the_tastes_of_the_shop(job: Any, prepared: Path, tmp_path: Path) -> None:
    arguments = ["--input", prepared, "--output", tmp_path / "out", "--item-segments", "3", "--user-segments", "3"]
    code, said = job(command, *arguments, "--components", "2")
    assert (code, "32 items in 3 segments" in said, "40 users in 3 segments" in said) == (0, True, True), said
    for what in ("items", "users"):
        table = parquet.read_table(tmp_path / "out" / what).to_pydict()
        segments = dict(zip((int(name[1:]) % 3 for name in table["id"]), table["segment"], strict=True))
        assert len(set(segments.values())) == 3
        wrong = sum(segments[int(n[1:]) % 3] != s for n, s in zip(table["id"], table["segment"], strict=True))
        assert wrong == 0
        assert min(table["distance"]) >= 0
    encoder, model = (load_bundle(tmp_path / "out" / "models" / name) for name in ("encoder", "items"))
    assert isinstance(encoder, ContentEncoder)
    catalogue = Prepared(prepared).catalogue()
    assert catalogue is not None
    answer = model.predict({"features": encoder.encode(catalogue).toarray()})
    table = parquet.read_table(tmp_path / "out" / "items").to_pydict()
    told = dict(zip(table["id"], table["segment"], strict=True))
    assert [told[name] for name in catalogue.ids.ids.to_pylist()] == answer["cluster"]
    assert json.loads((tmp_path / "out" / "job.json").read_text())["items"]["silhouette"] > 0.5


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--components", "0"], "not in the range"),
        (["--item-segments", "1"], "not in the range"),
        (["--input", "/nowhere"], "no prepared dataset"),
        (["--output", "hdfs://x/y"], "another file system"),
    ],
)
def test_bad_arguments(job: Any, prepared: Path, tmp_path: Path, arguments: list[str], words: str) -> None:
    code, said = job(command, "--input", prepared, "--output", tmp_path / "out", *arguments)
    assert (code, words in said, "Traceback" in said) == (2, True, False), said


def test_without_a_catalogue_there_is_nothing_to_go_by(job: Any, tmp_path: Path) -> None:
    from palate.spark.jobs.prepare import command as prepare
    from palate.spark.jobs.train import train_content

    (tmp_path / "a.csv").write_text("user,item\n" + "".join(f"u{n % 7},i{n % 11}\n" for n in range(60)))
    assert job(prepare, "--input", tmp_path / "a.csv", "--output", tmp_path / "data", "--split", "random")[0] == 0
    for needs_one in (command, train_content):
        code, said = job(needs_one, "--input", tmp_path / "data", "--output", tmp_path / "out")
        assert (code, "there is no catalogue" in said) == (2, True), said
        assert not (tmp_path / "out").exists()
