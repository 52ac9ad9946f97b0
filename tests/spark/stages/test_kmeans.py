"""KMeans beyond what the conformance suite asks: MLlib's answers, weights, angles, restarts, degenerate data."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pyspark", reason="needs pyspark: pip install 'palate[spark]'")

from pyspark.errors import PySparkException, PythonException
from pyspark.ml.clustering import KMeans as MLlibKMeans
from pyspark.ml.functions import vector_to_array
from pyspark.ml.linalg import DenseVector, SparseVector
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as f

from palate.bundle import load_bundle
from palate.errors import NotFittedError, ParameterError, SchemaError
from palate.spark import KMeans, KMeansModel
from tests.spark.stages.samples import vectors

pytestmark = pytest.mark.spark


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    """400 rows around eight centres that overlap: k-means finds different ones from different starts."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(8, 6))[rng.integers(0, 8, 400)] * 3 + rng.normal(size=(400, 6)) + 5


@pytest.fixture(scope="module")
def frame(spark: SparkSession, rows: np.ndarray) -> DataFrame:
    """With a column of weights that are not all alike, some of them zero."""
    return vectors(spark, rows, weight=np.arange(400) % 4.0).cache()


def weighted_cost(model: Any, rows: np.ndarray, weights: Any = 1.0) -> float:
    apart = ((rows[:, None, :] - np.array(model.clusterCenters())) ** 2).sum(axis=2)
    return float((weights * apart.min(axis=1)).sum())


@pytest.mark.parametrize("weight", [None, "weight"])
def test_cost_and_summary(frame: DataFrame, rows: np.ndarray, weight: str | None) -> None:
    weights = np.arange(400) % 4.0 if weight else np.ones(400)
    model = KMeans(k=8, weightCol=weight, maxIter=50, nInit=3).fit(frame)
    theirs = MLlibKMeans(k=8, maxIter=50, seed=1)
    peer = (theirs.setWeightCol(weight) if weight else theirs).fit(frame)
    assert weighted_cost(model, rows, weights) <= 1.01 * weighted_cost(peer, rows, weights)
    summary = model.summary
    assert summary.trainingCost == pytest.approx(weighted_cost(model, rows, weights), rel=1e-5)
    found = np.array([row[0] for row in summary.cluster.collect()])
    assert summary.clusterSizes == np.bincount(found, minlength=8).tolist()
    assert summary.predictions.columns == [*frame.columns, "prediction"]
    assert (summary.k, summary.featuresCol, summary.predictionCol) == (8, "features", "prediction")
    assert 0 < summary.numIter <= 50
    assert (model.numFeatures, len(model.clusterCenters()), model.clusterCenters()[0].shape) == (6, 8, (6,))


def test_all_starts_and_partitionings_cost_alike(frame: DataFrame) -> None:
    one = frame.coalesce(1)
    costs = [
        KMeans(k=8, initMode="k-means||", nInit=4, maxIter=50).fit(moved).summary.trainingCost
        for moved in (frame, one, frame.orderBy("features").repartition(3), frame.repartition(20))
    ]
    costs += [
        KMeans(k=8, initMode=mode, nInit=starts, maxIter=50).fit(one).summary.trainingCost
        for mode, starts in (("k-means++", 12), ("random", 40))
    ]
    assert max(costs) <= 1.02 * min(costs)


def test_the_order_in_which_rows_arrive_changes_no_bit(frame: DataFrame) -> None:
    """The same rows in each of 20 partitions, in another order, as shuffles on a cluster hand them on."""
    parts = frame.repartitionById(20, f.col("row") % 20)
    first, other = (
        KMeans(k=8, weightCol="weight").fit(parts.sortWithinPartitions(order("row"))).clusterCenters()
        for order in (f.asc, f.desc)
    )
    np.testing.assert_array_equal(first, other)


def test_angles(spark: SparkSession) -> None:
    """Directions of any length, three of them."""
    rng = np.random.default_rng(2)
    rows = (np.eye(3)[rng.integers(0, 3, 90)] + rng.uniform(0, 0.2, (90, 3))) * rng.uniform(0.01, 100, (90, 1))
    frame = vectors(spark, rows)
    model = KMeans(k=3, distanceMeasure="cosine").fit(frame)
    peer = MLlibKMeans(k=3, distanceMeasure="cosine", seed=3).fit(frame)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    ours, theirs = np.array(model.clusterCenters()), np.array(peer.clusterCenters())
    np.testing.assert_allclose(np.linalg.norm(ours, axis=1), 1)
    np.testing.assert_allclose(ours[np.argsort(ours[:, 0])], theirs[np.argsort(theirs[:, 0])], atol=1e-6)
    assert model.summary.trainingCost == pytest.approx((1 - (unit @ ours.T).max(axis=1)).sum(), rel=1e-4)
    found = [row["prediction"] for row in model.transform(frame).orderBy("row").collect()]
    assert found == (unit @ ours.T).argmax(axis=1).tolist()
    nothing = vectors(spark, np.array([[1.0, 2, 3], [0, 0, 0]]))
    with pytest.raises(SchemaError, match="zeros") as raised:
        KMeans(k=2, distanceMeasure="cosine").fit(nothing)
    assert "features: task " in str(raised.value)
    with pytest.raises(SchemaError, match="zeros"):
        model.predict(DenseVector([0, 0, 0]))
    with pytest.raises(PySparkException, match=r"features: task \d, row 0: a vector of zeros"):
        model.transform(nothing.where("row = 1")).collect()


def test_wide_sparse_vectors(spark: SparkSession) -> None:
    """Too wide to be held dense: 60 rows of 5,000 columns, in three groups that share no column."""
    entries = [{n % 3 + 3 * (n // 3 % 5): 1.0, 4000 + n: 0.1} for n in range(60)]
    data = [(n, SparseVector(5000, dict(sorted(entry.items())))) for n, entry in enumerate(entries)]
    frame = spark.createDataFrame(data, ["row", "features"]).repartition(2)
    model = KMeans(k=15, nInit=3).fit(frame)
    found = [row["prediction"] for row in model.transform(frame).orderBy("row").collect()]
    assert found == [model.predict(vector) for _, vector in data]
    assert len(set(found)) == 15
    assert all(found[n] == found[n % 15] for n in range(60))
    sized = np.sqrt([model.summary.trainingCost / 60])
    assert sized[0] == pytest.approx(np.sqrt(0.01 * 3 / 4), rel=1e-3)


def test_offsets_and_sizes_cost_no_digits(spark: SparkSession) -> None:
    rng = np.random.default_rng(3)
    rows = np.array([[0, 0], [0, 4], [4, 0]])[rng.integers(0, 3, 60)] + rng.uniform(-1, 1, (60, 2))
    plain = np.array(KMeans(k=3, nInit=3).fit(vectors(spark, rows)).clusterCenters())
    for moved, back in ((rows + 1e9, lambda c: c - 1e9), (rows * 1e25, lambda c: c / 1e25)):
        frame = vectors(spark, moved)
        model = KMeans(k=3, nInit=3, tol=0.0).fit(frame)
        centers = back(np.array(model.clusterCenters()))
        np.testing.assert_allclose(centers[np.lexsort(centers.T)], plain[np.lexsort(plain.T)], atol=1e-5)
        found = [row["prediction"] for row in model.transform(frame).orderBy("row").collect()]
        assert model.summary.clusterSizes == np.bincount(found).tolist()


@pytest.mark.parametrize("partitions", [1, 20])
def test_fewer_different_vectors_than_clusters(spark: SparkSession, partitions: int) -> None:
    frame = vectors(spark, np.repeat([[1.0, 2], [1, 3], [5, 5]], 4, axis=0)).repartition(partitions)
    model = KMeans(k=6).fit(frame)
    assert sorted(center.tolist() for center in model.clusterCenters()) == [[1, 2], [1, 3], [5, 5]]
    assert model.summary.trainingCost == 0
    assert sorted(model.summary.clusterSizes) == [0, 0, 0, 4, 4, 4]
    alike = KMeans(k=3).fit(vectors(spark, np.full((7, 2), 0.1)).repartition(partitions))
    assert [center.tolist() for center in alike.clusterCenters()] == [[pytest.approx(0.1)] * 2]


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        ("null", "null or NaN"),
        ("'NaN'", "null or NaN"),
        ("-1", "negative: -1"),
        ("'Infinity'", "infinite"),
    ],
)
def test_bad_weights_are_refused(frame: DataFrame, weight: str, message: str) -> None:
    spoilt = frame.withColumn("weight", f.expr(f"if(row = 7, cast({weight} as double), 1)"))
    with pytest.raises(SchemaError, match=message) as raised:
        KMeans(k=2, weightCol="weight").fit(spoilt)
    assert "weight: task " in str(raised.value)


def test_weights_that_are_none(frame: DataFrame) -> None:
    for column, message in (("gone", "no column 'gone'"), ("features", "must be numbers")):
        with pytest.raises(SchemaError, match=message):
            KMeans(k=2, weightCol=column).fit(frame)
    with pytest.raises(SchemaError, match="all weights are zero"):
        KMeans(k=2, weightCol="weight").fit(frame.withColumn("weight", f.lit(0)))


def test_bad_rows_among_twenty_partitions_are_named(frame: DataFrame) -> None:
    moved = frame.select("row", vector_to_array("features").alias("features"), "weight").repartition(20, "row")
    for column, wrong, what in (
        ("features", "transform(features, value -> double('NaN'))", "nan at index 0"),
        ("features", "null", "null"),
        ("weight", "-1D", "negative: -1"),
    ):
        spoilt = moved.withColumn(column, f.expr(f"if(row = 7, {wrong}, {column})"))
        with pytest.raises(SchemaError, match=rf"{column}: task [01], row \d+: .*{what}"):
            KMeans(k=2, weightCol="weight").fit(spoilt)
    with pytest.raises(SchemaError, match="no rows"):
        KMeans(k=2).fit(moved.where("row < 0"))


def test_values_that_float32_cannot_hold(spark: SparkSession) -> None:
    with pytest.raises(SchemaError, match="too large"):
        KMeans(k=2).fit(vectors(spark, np.array([[1e300, 1], [2, 3], [-1e300, 4]])))


def test_partitions_of_different_widths(spark: SparkSession) -> None:
    narrow, wide = vectors(spark, np.ones((4, 2))).coalesce(1), vectors(spark, np.ones((4, 3))).coalesce(1)
    for frame in (narrow.union(wide), narrow.union(wide).repartition(20, "row")):
        with pytest.raises(SchemaError, match="wide"):
            KMeans(k=2).fit(frame)


def test_without_torch_one_task_fits(
    frame: DataFrame, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "torch" else find(name, *more))
    monkeypatch.setitem(sys.modules, "torch", None)
    assert len(KMeans(k=4).fit(frame).clusterCenters()) == 4
    assert "KMeans computes in one task: pip install 'palate[torch]'" in caplog.text


def test_a_task_imports_no_more_than_it_needs() -> None:
    """A whole fit in a Python that can import neither torch nor pyspark.ml: first fits wait for imports."""
    script = """
import sys
for name in ("torch", "pyspark.ml", "pydantic"):
    sys.modules[name] = None
import pyarrow as pa
import palate.spark.stages.pca_sums
from palate.spark.stages.group import Group
from palate.spark.stages.kmeans_fit import Options

batch = pa.record_batch([pa.array([[0.0, 1.0], [0.0, 3.0], [9.0, 9.0]])], names=["x"])
options = Options("x", "", 2, "k-means||", 2, 9, 1e-4, False, 1, 0)
print(sorted(options.work(Group(0, 1), iter([batch]))["centers"].tolist()))
"""
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert told.stdout == "[[0.0, 2.0], [9.0, 9.0]]\n", told.stderr


@pytest.mark.parametrize(
    "params",
    [
        {"k": 1},
        {"initMode": "best"},
        {"initSteps": 0},
        {"maxIter": -1},
        {"tol": -0.1},
        {"distanceMeasure": "manhattan"},
        {"solver": "fast"},
        {"maxBlockSizeInMB": -1.0},
        {"nInit": 0},
    ],
)
def test_params_out_of_range(params: dict[str, Any]) -> None:
    with pytest.raises(ParameterError, match=next(iter(params))):
        KMeans(**params)


def test_no_iterations_leave_the_start(frame: DataFrame, rows: np.ndarray) -> None:
    model = KMeans(k=4, initMode="random", maxIter=0).fit(frame)
    assert model.summary.numIter == 0
    for center in model.clusterCenters():
        assert np.abs(rows - center).max(axis=1).min() < 1e-5


def test_a_model_predicts_alone_and_from_disk(frame: DataFrame, rows: np.ndarray, tmp_path: Any) -> None:
    model = KMeans(k=5, predictionCol="found", distanceMeasure="euclidean").fit(frame)
    answer = model.transform(frame).orderBy("row")
    assert dict(answer.dtypes)["found"] == "int"
    found = [row["found"] for row in answer.collect()]
    assert [model.predict(DenseVector(row)) for row in rows[:20]] == found[:20]
    for bad in (DenseVector([1.0]), DenseVector([float("nan")] * 6)):
        with pytest.raises(SchemaError):
            model.predict(bad)
    model.save(str(tmp_path / "model"))
    back = KMeansModel.load(str(tmp_path / "model"))
    assert (model.hasSummary, model.copy().hasSummary, back.hasSummary) == (True, True, False)
    with pytest.raises(NotFittedError):
        _ = back.summary
    served = load_bundle(tmp_path / "model" / "bundle").predict({"features": rows})
    assert served["cluster"] == found
    narrow = frame.select(f.slice(vector_to_array("features"), 1, 3).alias("features"))
    with pytest.raises(PythonException, match=r"SchemaError.*6 wide"):
        back.transform(narrow).collect()
