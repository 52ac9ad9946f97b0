"""Columns of features as numpy blocks, and columns made of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

pytest.importorskip("pyspark", reason="needs pyspark: pip install 'palate[spark]'")

from pyspark.ml.linalg import DenseVector, SparseVector, VectorUDT
from pyspark.sql import SparkSession
from pyspark.sql.types import DoubleType, IntegerType, StructField, StructType
from scipy import sparse

from palate.errors import SchemaError
from palate.spark.stages import features
from palate.spark.stages.blocks import MARK, blocks, to_block
from palate.spark.stages.features import map_features, sent
from palate.spark.stages.packing import as_bytes

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


def as_sent(kind: pa.DataType, *rows: list[float] | None) -> pa.Array:
    """Lists of numbers as the bytes that Spark makes of them."""
    of = np.float32 if kind in (pa.string(), pa.large_string()) else np.float64
    offsets = np.cumsum([0, *(0 if row is None else of().itemsize * len(row) for row in rows)])
    data = pa.py_buffer(np.array([value for row in rows for value in row or []], of).tobytes())
    given = [pa.array([row is not None for row in rows]).buffers()[1], None, data]
    given[1] = pa.py_buffer(offsets.astype(np.int64 if "large" in str(kind) else np.int32).tobytes())
    return pa.Array.from_buffers(kind, len(rows), given)


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.binary(), pa.large_binary()])
def test_bytes_are_the_numbers_they_hold(kind: pa.DataType) -> None:
    array = as_sent(kind, [0.0, 0.0], [1.5, 2.5], [3, 4])
    block = to_block(array[1:], "x")
    assert block.tolist() == [[1.5, 2.5], [3, 4]]
    assert not block.flags.owndata
    assert block.dtype == (np.float32 if "string" in str(kind) else np.float64)
    with pytest.raises(SchemaError, match=r"x: task 0, row 1: .*null"):
        to_block(as_sent(kind, [1.5], None), "x")
    with pytest.raises(SchemaError, match="not 2 wide as those before it, but 3"):
        to_block(as_sent(kind, [1, 2], [1, 2, 3]), "x")


def test_sparse_vectors_come_as_bytes_too() -> None:
    block = to_block(as_sent(pa.binary(), thin(3), dense(1, 0, 2), thin(3, _1=5.0)), "x")
    assert block.toarray().tolist() == [[0, 0, 0], [1, 0, 2], [0, 5, 0]]


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


@pytest.fixture(params=["bytes", "arrays"])
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Features as bytes, and as from a Spark that cannot make bytes of them."""
    features._sent.cache_clear()
    if request.param == "arrays":
        monkeypatch.setattr(features, "as_bytes", lambda jvm, column, *, double: as_bytes(None, column, double=double))
    yield
    features._sent.cache_clear()


@pytest.mark.spark
def test_what_is_sent_holds_what_was_given(spark: SparkSession, form: None) -> None:
    rows = [SparseVector(3, {}), DenseVector([1, 0, 2]), SparseVector(3, {1: 5.0}), SparseVector(3, {0: 1.0, 2: 4.0})]
    schema = StructType([StructField("row", IntegerType()), StructField("x.1", VectorUDT())])
    frame = spark.createDataFrame([(n, row) for n, row in enumerate([*rows, None])], schema).coalesce(1)
    table = frame.orderBy("row").select(sent(frame, "x.1")).toArrow()
    array = table.column("x.1").combine_chunks()
    assert to_block(array[:4], "x").toarray().tolist() == [[0, 0, 0], [1, 0, 2], [0, 5, 0], [1, 0, 4]]
    assert to_block(array[1:2], "x").tolist() == [[1, 0, 2]]
    with pytest.raises(SchemaError, match="null"):
        to_block(array, "x")


@pytest.mark.spark
@pytest.mark.parametrize("kind", ["float", "double"])
@pytest.mark.parametrize("read", ["rows", "parquet"])
def test_arrays_are_sent_with_what_is_wrong_with_them(
    spark: SparkSession, form: None, kind: str, read: str, tmp_path: Path
) -> None:
    """Also from Parquet, whose arrays lie otherwise, and with a null so far behind that its bit is in another word."""
    given = [[1.5, 2.5], [3.0, float("nan")], [4.0, None], None, [5.0], [*[0.0] * 64, None], [*range(65)]]
    schema = f"row int, x array<{kind}>"
    frame = spark.createDataFrame([(n, row and [*map(_float, row)]) for n, row in enumerate(given)], schema).coalesce(1)
    if read == "parquet":
        frame.write.parquet(str(tmp_path / "given"))
        frame = spark.read.parquet(str(tmp_path / "given"))
        assert "Batched: true" in frame._jdf.queryExecution().executedPlan().toString()
    array = frame.select("row", sent(frame, "x")).toArrow().sort_by("row").column("x").combine_chunks()
    block = to_block(array[:1], "x")
    assert block.tolist() == [[1.5, 2.5]]
    assert block.dtype == {"float": np.float32, "double": np.float64}[kind]
    for row, message in enumerate(["nan at index 1", "an element of the array is null", r"no vector \(null\)"], 1):
        with pytest.raises(SchemaError, match=message):
            to_block(array[row : row + 1], "x")
    with pytest.raises(SchemaError, match="not 2 wide as those before it, but 1"):
        to_block(array[4:5], "x", width=2)
    with pytest.raises(SchemaError, match="an element of the array is null"):
        to_block(array[5:6], "x")
    assert to_block(array[6:], "x").tolist() == [[*range(65)]]


def _float(value: float | None) -> float | None:
    return None if value is None else float(value)


@pytest.mark.spark
def test_a_column_is_computed_from_blocks(spark: SparkSession) -> None:
    frame = spark.createDataFrame([([1.0, 2.0],), ([3.0, 4.0],)], "`x.1` array<double>")
    summed = map_features(frame, "x.1", lambda block, task, start: pa.array(block.sum(axis=1)), DoubleType(), 2)
    assert [row.found for row in frame.select(summed.alias("found")).collect()] == [3, 7]
