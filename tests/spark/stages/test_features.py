"""Columns of features as numpy blocks, and columns made of them."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

pytest.importorskip("pyspark", reason="needs pyspark: pip install 'palate[spark]'")

from pyspark.ml.linalg import DenseVector, SparseVector, VectorUDT
from pyspark.sql import SparkSession
from pyspark.sql.types import DoubleType, IntegerType, StructField, StructType
from scipy import sparse

from palate.errors import SchemaError
from palate.spark.stages.blocks import MARK, blocks, to_block
from palate.spark.stages.features import map_features, sent

VECTOR = pa.list_(pa.float64())
"""A vector as `sent` packs it."""


def dense(*values: float) -> list[float]:
    return list(values)


def thin(size: int, **entries: float) -> list[float]:
    """thin(4, _2=5.0): a sparse vector of width 4 with 5 at index 2."""
    return [*MARK, float(size), *entries.values(), *(float(name[1:]) for name in entries)]


def test_dense_vectors_are_a_view_of_arrows_memory() -> None:
    array = pa.array([dense(1, 2), dense(3, 4)], VECTOR)
    block = to_block(array, "x")
    assert block.tolist() == [[1, 2], [3, 4]]
    assert not block.flags.owndata


def test_dense_and_sparse_rows_mix() -> None:
    array = pa.array([thin(3), dense(1, 0, 2), thin(3, _1=5.0), thin(3, _0=1.0, _2=4.0)], VECTOR)
    block = to_block(array, "x")
    assert sparse.issparse(block)
    assert block.toarray().tolist() == [[0, 0, 0], [1, 0, 2], [0, 5, 0], [1, 0, 4]]


@pytest.mark.parametrize("kind", [pa.list_(pa.float32()), pa.list_(pa.float64()), pa.large_list(pa.float32())])
def test_arrays_keep_their_precision(kind: pa.DataType) -> None:
    block = to_block(pa.array([[1.5, 2.5]], kind), "x")
    assert block.tolist() == [[1.5, 2.5]]
    assert block.dtype == kind.value_type.to_pandas_dtype()


def test_a_slice_is_only_its_own_rows() -> None:
    array = pa.array([dense(1, 2), thin(2, _0=9.0), dense(3, 4), dense(5, 6)], VECTOR)
    assert to_block(array[2:], "x").tolist() == [[3, 4], [5, 6]]
    assert to_block(array[1:3], "x").toarray().tolist() == [[9, 0], [3, 4]]
    lists = pa.array([[1.0, 2.0], [3.0, 4.0]], pa.list_(pa.float32()))
    assert to_block(lists[1:], "x").tolist() == [[3, 4]]


@pytest.mark.parametrize(
    ("rows", "kind", "message", "row"),
    [
        ([dense(1, 2), None], VECTOR, "null", 1),
        ([dense(1, 2), dense(1, 2), dense(1)], VECTOR, "not 2 wide as those before it, but 1", 2),
        ([thin(2), thin(3)], VECTOR, "not 2 wide", 1),
        ([thin(2), thin(2, _1=float("nan"))], VECTOR, "nan at index 1; its values are nan", 1),
        ([thin(2, _0=1.0), thin(2), thin(2, _1=float("inf"))], VECTOR, "infinity", 2),
        ([dense(1, 2), dense(float("inf"), -float("inf"))], VECTOR, "NaN or infinity", 1),
        ([dense(*[1.0] * 6), dense(*MARK[:3], 1, 2, 3)], VECTOR, "-inf at index 0", 1),
        ([dense(1, 2), dense(*MARK)], VECTOR, "not 2 wide", 1),
        ([dense()], VECTOR, "empty", 0),
        ([[1.0, 2.0], [1.0, None]], pa.list_(pa.float32()), "element of the array is null", 1),
        ([[1.0] * 5, [2.0, 3.0, 4.0, float("inf"), 5.0]], pa.list_(pa.float64()), r"index 3; .* 2, 3, 4, inf, \.", 1),
        ([[1.0], []], pa.list_(pa.float64()), "empty", 1),
    ],
)
def test_bad_rows_are_named(rows: list[Any], kind: pa.DataType, message: str, row: int) -> None:
    with pytest.raises(SchemaError, match=message) as raised:
        to_block(pa.array(rows, kind), "x", task=3, start=100)
    assert raised.value.where == f"x: task 3, row {100 + row}"


def test_large_finite_numbers_are_no_infinity() -> None:
    assert to_block(pa.array([[3e38, 3e38]], pa.list_(pa.float32())), "x").shape == (1, 2)
    assert to_block(pa.array([[1e308, 1e308]], pa.list_(pa.float64())), "x").shape == (1, 2)


def test_the_width_holds_from_batch_to_batch() -> None:
    batches = [pa.array([], pa.list_(pa.float32())), pa.array([[1.0, 2.0]], pa.list_(pa.float32()))]
    assert [block.shape for block in blocks(iter(batches), "x")] == [(1, 2)]
    with pytest.raises(SchemaError, match="not 2 wide"):
        list(blocks(iter([*batches, pa.array([[1.0]], pa.list_(pa.float32()))]), "x"))


@pytest.mark.spark
def test_what_is_sent_holds_what_was_given(spark: SparkSession) -> None:
    rows = [SparseVector(3, {}), DenseVector([1, 0, 2]), SparseVector(3, {1: 5.0}), SparseVector(3, {0: 1.0, 2: 4.0})]
    schema = StructType([StructField("row", IntegerType()), StructField("x.1", VectorUDT())])
    frame = spark.createDataFrame([(n, row) for n, row in enumerate([*rows, None])], schema).coalesce(1)
    table = frame.orderBy("row").select(sent(frame, "x.1")).toArrow()
    array = table.column("x.1").combine_chunks()
    assert array.type.value_type == pa.float64()
    assert to_block(array[:4], "x").toarray().tolist() == [[0, 0, 0], [1, 0, 2], [0, 5, 0], [1, 0, 4]]
    assert to_block(array[1:2], "x").tolist() == [[1, 0, 2]]
    with pytest.raises(SchemaError, match="null"):
        to_block(array, "x")


@pytest.mark.spark
def test_a_column_is_computed_from_blocks(spark: SparkSession) -> None:
    frame = spark.createDataFrame([([1.0, 2.0],), ([3.0, 4.0],)], "`x.1` array<double>")
    summed = map_features(frame, "x.1", lambda block, task, start: pa.array(block.sum(axis=1)), DoubleType(), 2)
    assert [row.found for row in frame.select(summed.alias("found")).collect()] == [3, 7]
