"""The rows that a task of KMeans holds: once, whatever their form."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

pytest.importorskip("pyspark", reason="needs pyspark: pip install 'palate[spark]'")

from palate.spark.stages.blocks import MARK
from palate.spark.stages.group import Group
from palate.spark.stages.kmeans_rows import read_rows

BATCHES, ROWS, WIDTH = 60, 500, 64


def dense() -> Iterator[pa.RecordBatch]:
    rng = np.random.default_rng(0)
    for _ in range(BATCHES):
        values = pa.array((1e9 * rng.random(ROWS * WIDTH)).astype(np.float32))
        yield pa.record_batch([pa.ListArray.from_arrays(np.arange(0, ROWS * WIDTH + 1, WIDTH), values)], names=["x"])


def thin() -> Iterator[pa.RecordBatch]:
    """Ten of 50,000 values stored, as `sent` packs them."""
    rng = np.random.default_rng(0)
    for _ in range(BATCHES):
        columns = np.sort(rng.integers(0, 5_000, (ROWS, 10)) + 5_000 * np.arange(10), axis=1)
        head = np.tile([*MARK, 50_000], (ROWS, 1))
        packed = np.hstack([head, 1e9 * rng.random((ROWS, 10)), columns])
        lists = pa.ListArray.from_arrays(np.arange(0, packed.size + 1, packed.shape[1]), pa.array(packed.ravel()))
        yield pa.record_batch([lists], names=["x"])


@pytest.mark.parametrize(("batches", "bytes_a_row"), [(dense, 4 * WIDTH), (thin, 12 * 10)])
def test_rows_are_held_once(batches: Any, bytes_a_row: int) -> None:
    """Besides them some 30 bytes a row, and some copies of the batch at hand, a sixtieth; large values are scaled in
    place."""
    tracemalloc.start()
    try:
        rows, scale = read_rows(Group(0, 1), batches(), "x", "", unit=False)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(rows) == BATCHES * ROWS
    assert scale < 1e-6
    assert peak < len(rows) * (bytes_a_row + 32) * 1.4
    assert rows.take(np.array([0, -1])).shape == (2, rows.shift.size)
