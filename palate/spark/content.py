"""Content vectors of items and users as DataFrames that pyspark.ml takes.

A TF-IDF vector is tens of thousands of columns wide. Only the columns that vary most among the items are handed to
Spark (`Columns`), dense; the others count as zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy import sparse

from palate.errors import SchemaError
from palate.features import user_vectors

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

Floats = npt.NDArray[np.float32]
VECTORS = "code int, features array<float>"
_ROWS_AT_ONCE = 2048


@dataclass(frozen=True)
class Columns:
    """Some columns of a wide space. `kept`: their numbers, sorted. `width`: of the whole space."""

    kept: npt.NDArray[np.int64]
    width: int

    def narrow(self, vectors: sparse.csr_matrix) -> sparse.csr_matrix:
        """`(n, width)` to `(n, len(kept))`."""
        return sparse.csr_matrix(vectors[:, self.kept])

    def widen(self, components: Floats) -> Floats:
        """`(k, len(kept))` to `(k, width)`, zero elsewhere: what projects narrow vectors projects wide ones alike."""
        wide = np.zeros((len(components), self.width), dtype=np.float32)
        wide[:, self.kept] = components
        return wide


def most_varied(vectors: sparse.csr_matrix, limit: int) -> Columns:
    """The `limit` columns of the largest variance; of equal ones the first. Columns that never vary are left out.

    Raises SchemaError if no column varies: then there is nothing to tell the rows apart by.
    """
    n, width = vectors.shape
    vectors = vectors.astype(np.float64)
    mean = np.asarray(vectors.mean(axis=0)).ravel() if n else np.zeros(width)
    variance = np.asarray(vectors.multiply(vectors).mean(axis=0)).ravel() - mean**2 if n else np.zeros(width)
    variance[variance < 1e-12] = 0
    order = np.argsort(-variance, kind="stable")[:limit]
    kept = np.sort(order[variance[order] > 0])
    if len(kept) == 0:
        raise SchemaError(
            "the items cannot be told apart by their content.",
            where="items",
            hint="They need categories, tags, titles or texts that differ.",
        )
    return Columns(kept.astype(np.int64), width)


def item_frame(spark: SparkSession, vectors: sparse.csr_matrix) -> DataFrame:
    """Items' narrow vectors with the columns of `VECTORS`, spread over the cores in code order."""
    rows = len(range(vectors.shape[0]))
    tasks = max(1, min(rows // 512, spark.sparkContext.defaultParallelism))

    def encode(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield _record(np.asarray(batch.column("id")), vectors)

    return spark.range(0, rows, 1, tasks).mapInArrow(encode, VECTORS)


def user_frame(train: DataFrame, vectors: sparse.csr_matrix, tasks: int) -> DataFrame:
    """Users' vectors, the weighted mean of what they interacted with, with the columns of `VECTORS`.

    train: user_code, item_code and maybe weight; weights below zero count as zero. vectors: the items' narrow ones.
    tasks: how many partitions. Each holds whole users, in code order, so their number changes no vector.
    """
    columns = [name for name in ("user_code", "item_code", "weight") if name in train.columns]
    rows = train.select(*columns).repartition(tasks, "user_code").sortWithinPartitions(*columns)
    return rows.mapInArrow(_user_encoder(vectors), VECTORS)


def _user_encoder(
    vectors: sparse.csr_matrix,
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def encode(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        held = list(batches)
        if not held:
            return
        table = pa.Table.from_batches(held)
        users, rows = np.unique(np.asarray(table["user_code"]), return_inverse=True)
        if "weight" in table.column_names:
            weights = np.maximum(np.asarray(table["weight"]), 0).astype(np.float32)
        else:
            weights = np.ones(len(rows), np.float32)
        histories = sparse.csr_matrix(
            (weights, (rows, np.asarray(table["item_code"]))), shape=(len(users), vectors.shape[0])
        )
        means = user_vectors(histories, vectors)
        for start in range(0, len(users), _ROWS_AT_ONCE):
            yield _record(users[start : start + _ROWS_AT_ONCE], means, start)

    return encode


def _record(codes: npt.NDArray[np.integer], vectors: sparse.csr_matrix, start: int | None = None) -> pa.RecordBatch:
    """A batch of `VECTORS`: the rows `codes` of `vectors`, or the rows from `start` on under the names `codes`."""
    rows = vectors[codes] if start is None else vectors[start : start + len(codes)]
    dense = np.ascontiguousarray(rows.toarray(), dtype=np.float32)
    offsets = pa.array(np.arange(len(codes) + 1, dtype=np.int32) * dense.shape[1], pa.int32())
    features = pa.ListArray.from_arrays(offsets, pa.array(dense.ravel()))
    return pa.RecordBatch.from_pydict({"code": pa.array(codes.astype(np.int32)), "features": features})
