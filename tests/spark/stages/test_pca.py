"""PCA beyond what the conformance suite asks: large offsets, many columns, degenerate data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("pyspark", reason="needs pyspark: pip install 'palate[spark]'")

from pyspark.ml.linalg import DenseVector, SparseVector
from pyspark.sql import DataFrame, SparkSession

from palate.errors import ParameterError, SchemaError
from palate.spark import PCA, PCAModel
from palate.spark.failures import explain
from tests.spark.stages.samples import vectors

pytestmark = pytest.mark.spark


def fit(frame: DataFrame, k: int) -> PCAModel:
    model: PCAModel = PCA(k=k, inputCol="features", outputCol="out").fit(frame)
    return model


def test_components_are_those_of_a_full_decomposition(spark: SparkSession) -> None:
    rows = np.random.default_rng(1).standard_normal((200, 6)) @ np.diag([6, 5, 4, 3, 2, 1]) + 1e7
    model = fit(vectors(spark, rows), 3)
    values, turn = np.linalg.eigh(np.cov(rows.T))
    np.testing.assert_allclose(np.abs(model.pc.toArray()), np.abs(turn[:, ::-1][:, :3]), atol=1e-4)
    np.testing.assert_allclose(model.explainedVariance.toArray(), values[::-1][:3] / values.sum(), atol=1e-5)


def test_partitions_and_order_change_nothing(spark: SparkSession) -> None:
    """Columns of which some lie far from zero."""
    rows = np.random.default_rng(4).standard_normal((300, 6)) * [6, 5, 4, 3, 2, 1] + [1e4, 0, -1e4, 0, 1e4, 1]
    frame = vectors(spark, rows).cache()
    expected = np.abs(np.linalg.eigh(np.cov(rows.T))[1][:, ::-1][:, :3])
    for moved in (frame.coalesce(1), frame.orderBy("features").repartition(3), frame.repartition(20, "row")):
        np.testing.assert_allclose(np.abs(fit(moved, 3).pc.toArray()), expected, atol=1e-4)


def test_the_largest_entry_of_a_component_is_positive(spark: SparkSession) -> None:
    components = fit(vectors(spark, -np.random.default_rng(2).random((50, 4))), 4).pc.toArray()
    assert (np.take_along_axis(components, np.abs(components).argmax(axis=0)[None], axis=0) > 0).all()


def test_a_hundred_thousand_sparse_columns(spark: SparkSession) -> None:
    """Three directions of 40 columns each, far apart, in rows that hold little else."""
    rng = np.random.default_rng(0)
    width, held = 100_000, np.sort(rng.choice(100_000, 120, replace=False)).reshape(3, 40)
    rows: list[Any] = []
    for n in range(300):
        which = n % 3
        noise = int(rng.integers(width))
        entries = {int(column): float((3 - which) * (1 if n % 2 else -1)) for column in held[which]}
        entries[noise] = entries.get(noise, 0.0) + 0.1
        rows.append((n, SparseVector(width, dict(sorted(entries.items())))))
    model = fit(spark.createDataFrame(rows, ["row", "features"]).repartition(3), 3)
    components = model.pc.toArray()
    for component, columns in zip(components.T, held, strict=True):
        assert np.abs(component[columns]).min() > 0.15
    np.testing.assert_allclose(model.explainedVariance.toArray(), np.array([9, 4, 1]) / 14, atol=0.01)
    assert model.transform(spark.createDataFrame(rows[:5], ["row", "features"])).count() == 5


def test_passes_that_do_not_suffice_are_told(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("palate.spark.stages.pca.PASSES", 1)
    rows = [(SparseVector(5000, {n: 1.0 + n / 100, n + 1: 1.0}),) for n in range(60)]
    fit(spark.createDataFrame(rows, ["features"]).coalesce(1), 2)
    assert "PCA of 5000 columns: after 1 passes over the data eigenvalues are left a residual of" in caplog.text


@pytest.mark.parametrize("partitions", [1, 20])
def test_constant_rows_have_components_that_explain_nothing(spark: SparkSession, partitions: int) -> None:
    model = fit(vectors(spark, np.full((30, 4), 7.0)).repartition(partitions), 2)
    assert model.explainedVariance == DenseVector([0.0, 0.0])
    np.testing.assert_allclose(model.pc.toArray().T @ model.pc.toArray(), np.eye(2), atol=1e-6)


@pytest.mark.parametrize("partitions", [1, 20])
def test_fewer_rows_than_components(spark: SparkSession, partitions: int) -> None:
    model = fit(vectors(spark, np.array([[1.0, 0.0, 0.0], [3.0, 0.0, 0.0]])).repartition(partitions), 3)
    np.testing.assert_allclose(model.explainedVariance.toArray(), [1, 0, 0], atol=1e-9)


def test_more_components_than_columns_are_refused(spark: SparkSession) -> None:
    with pytest.raises(ParameterError, match=r"PCA\.k: must be at most the width of the vectors, 3, not 4"):
        fit(vectors(spark, np.eye(3)), 4)


def test_params_that_have_to_be_set_are_named(spark: SparkSession) -> None:
    with pytest.raises(ParameterError, match=r"PCA\.inputCol: must be set"):
        PCA(k=2).fit(vectors(spark, np.eye(3)))
    with pytest.raises(ParameterError, match=r"PCA\.k: must be set"):
        PCA(inputCol="features").fit(vectors(spark, np.eye(3)))


def test_another_width_in_another_partition_is_refused(spark: SparkSession) -> None:
    frame = vectors(spark, np.eye(3)).coalesce(1).union(vectors(spark, np.eye(4)).coalesce(1))
    for moved in (frame, frame.coalesce(1), frame.repartition(20, "row")):
        with pytest.raises(SchemaError, match="wide"):
            fit(moved, 1)


def test_bad_vectors_among_twenty_partitions_are_named(spark: SparkSession) -> None:
    frame = vectors(spark, np.eye(4)).repartition(20, "row")
    for wrong, what in (("array(1D, double('NaN'), 2D, 3D)", "nan at index 1"), ("null", "null")):
        spoilt = frame.selectExpr(f"if(row = 2, {wrong}, array(1D, 2D, 3D, row)) as features")
        with pytest.raises(SchemaError, match=f"features: task [01], row [0-9]: .*{what}"):
            fit(spoilt, 1)
    with pytest.raises(SchemaError, match="no rows"):
        fit(frame.where("row < 0"), 1)


@pytest.mark.parametrize(
    "column", ["features", "array(1D, 2D)", "cast(null as array<float>)", "array(1F, cast(null as float), 2F)"]
)
def test_transform_refuses_another_width_and_nulls(spark: SparkSession, column: str) -> None:
    model = fit(vectors(spark, np.eye(3)), 1)
    wrong = vectors(spark, np.eye(4)).selectExpr(f"{column} as features")
    with pytest.raises(
        Exception, match="SchemaError: features: the vector is null, holds a null, or is not 3"
    ) as raised:
        model.transform(wrong).collect()
    assert isinstance(explain(raised.value), SchemaError)
    fine = wrong.selectExpr("array(1D, double('NaN'), 2D) as features")
    assert np.isnan(model.transform(fine).collect()[0][model.getOutputCol()].toArray()).all()
