"""What the tasks of a PCA fit sum over their rows.

Python workers import this module, and nothing of pyspark.ml with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from palate.kernels.gram import Moments
from palate.spark.stages.blocks import Block, blocks
from palate.spark.stages.summed import Told
from palate.spark.stages.tasks import Batches

Doubles = npt.NDArray[np.float64]


def moments(column: str, matrix_columns: int) -> Callable[[int, Batches], Told | None]:
    """Work that tells of a task its width and count, and gives to be summed the matrix of the products of columns, up
    to `matrix_columns` of them; its shift and total are told as well. Of more columns their sums and squares are given,
    `(2, width)`."""

    def work(task: int, batches: Batches) -> Told | None:
        found: Moments | None = None
        count = 0
        total: Doubles = np.zeros(1)
        squares: Doubles = np.zeros(1)
        for block in blocks(_columns(batches, column), column, task):
            if block.shape[1] > matrix_columns:
                count += block.shape[0]
                total = total + np.asarray(block.sum(axis=0, dtype=np.float64)).ravel()
                squares = squares + _squares(block)
                continue
            if found is None:
                found = Moments.about(np.asarray(block.mean(axis=0, dtype=np.float64)).ravel())
            found.add_rows(block)
        if found is not None:
            width = np.asarray(len(found.shift))
            told = {"width": width, "count": np.asarray(found.count), "shift": found.shift, "total": found.total}
            return told, found.gram
        if count:
            return {"width": np.asarray(len(total)), "count": np.asarray(count)}, np.stack([total, squares])
        return None

    return work


def products(column: str, vectors: Any) -> Callable[[int, Batches], Told]:
    """Work that gives X'(X V) of a task's rows X to be summed. vectors: V `(width, m)`, broadcast."""

    def work(task: int, batches: Batches) -> Told:
        product = np.zeros_like(vectors.value)
        for block in blocks(_columns(batches, column), column, task, len(product)):
            product += np.asarray(block.T @ (block @ vectors.value))
        return {}, product

    return work


def _columns(batches: Batches, column: str) -> Iterator[pa.Array]:
    return (batch.column(column) for batch in batches)


def _squares(block: Block) -> Doubles:
    """The sum of squares of each column."""
    wide = block.astype(np.float64)
    return np.asarray(wide.multiply(wide).sum(axis=0) if hasattr(wide, "multiply") else (wide**2).sum(axis=0)).ravel()
