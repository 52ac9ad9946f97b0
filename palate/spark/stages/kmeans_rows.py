"""The rows that a task of KMeans holds while it iterates: read once from its Arrow batches, float32 where dense.

They are held once: 4 bytes a value and some 30 a row where dense, 12 a stored value where sparse, besides the batch
that is being read (up to 64 MB).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy import sparse

from palate.errors import SchemaError
from palate.kernels.lloyd import DenseRows, Rows, SparseRows
from palate.spark.stages.blocks import Block, bad_row, beginning, blocks
from palate.spark.stages.group import Group
from palate.spark.stages.tasks import Batches

Doubles = npt.NDArray[np.float64]
Part = tuple[Block, Doubles]

DENSE_WIDTH = 1024
"""Sparse vectors up to this width are computed on as dense ones: per value the product of dense rows is 10 to 60 times
faster, the more clusters the more."""
SPARSE_SHARE = 1 / 8
"""Wider ones too, where more than this share of their values is stored."""


def read_rows(group: Group, batches: Batches, column: str, weight: str, *, unit: bool) -> tuple[Rows, float]:
    """A task's rows about a shift that all tasks have in common, and the power of two by which they were multiplied.

    The first column of the batches holds features, the second, where `weight` is not empty, weights. unit: rows are
    scaled to length one. Raises, in all tasks, the SchemaError of any.
    """
    read = _parts(batches, column, weight, group.rank, unit=unit)
    first: Part | None = group.read(lambda: next(read, None))
    shift, dense = _common(group, first, column)
    rows: DenseRows | SparseRows = group.read(lambda: _held(first, read, shift, dense=dense, unit=unit))
    mass, count = group.sum(np.array([rows.weights.sum(), float(len(rows))]))
    if not count:
        raise SchemaError("there are no rows to learn from.", where=column)
    if not mass > 0:
        raise SchemaError("all weights are zero.", where=weight)
    return (rows, 1.0) if unit else _scaled(group, rows, column)


def _parts(batches: Batches, column: str, weight: str, task: int, *, unit: bool) -> Iterator[Part]:
    """Blocks of rows, of length one if `unit`, and their weights."""
    waiting: list[pa.Array] = []

    def features() -> Iterator[pa.Array]:
        for batch in batches:
            if batch.num_rows:
                waiting.append(batch.column(1) if weight else None)
                yield batch.column(0)

    begin = 0
    for block in blocks(features(), column, task):
        given = waiting.pop()
        weights = np.ones(block.shape[0]) if given is None else _weights(given, block, weight, task, begin)
        yield (of_length_one(block, column, task, begin) if unit else block), weights
        begin += block.shape[0]


def _weights(array: pa.Array, block: Block, name: str, task: int, begin: int) -> Doubles:
    weights = np.asarray(array.fill_null(np.nan), dtype=np.float64)
    for wrong, what in (
        (np.isnan(weights), "the weight is null or NaN"),
        (np.isinf(weights), "the weight is infinite"),
        (weights < 0, "the weight is negative: {:g}"),
    ):
        if wrong.any():
            row = int(np.argmax(wrong))
            raise bad_row(name, task, begin + row, f"{what.format(weights[row])}; {beginning(block, row)}.")
    return weights


def of_length_one(block: Block, name: str, task: int, begin: int) -> Block:
    """The rows scaled to length one, in float64. Raises SchemaError for one of zeros."""
    wide: Any = block.astype(np.float64)
    squares = wide.multiply(wide).sum(axis=1) if sparse.issparse(wide) else np.einsum("ij,ij->i", wide, wide)
    lengths = np.sqrt(np.asarray(squares).ravel())
    if not lengths.all():
        row = begin + int(np.argmin(lengths))
        raise bad_row(name, task, row, "a vector of zeros has no angle, hence no cosine distance.")
    if sparse.issparse(wide):
        return sparse.csr_matrix(sparse.diags_array(1 / lengths) @ wide)
    return np.asarray(wide / lengths[:, None])


def _common(group: Group, first: Part | None, column: str) -> tuple[Doubles, bool]:
    """What all tasks agree on: the shift, about the mean of their first blocks, and whether rows are held dense."""
    told = None
    if first is not None:
        block: Any = first[0]
        n, width = block.shape
        thin = sparse.issparse(block) and width > DENSE_WIDTH and block.nnz < SPARSE_SHARE * n * width
        total = np.zeros(width) if thin else np.asarray(block.sum(axis=0, dtype=np.float64)).ravel()
        told = (n, total, thin)
    blocks_of_all = [found for found in group.gather(told) if found is not None]
    widths = sorted({len(total) for _, total, _ in blocks_of_all})
    if len(widths) > 1:
        several = " and ".join(map(str, widths))
        raise SchemaError(f"vectors of different partitions are {several} wide.", where=column)
    if not widths:
        return np.zeros(0), True
    if all(thin for _, _, thin in blocks_of_all):
        return np.zeros(widths[0]), False
    with np.errstate(over="ignore"):
        mean = sum(total for _, total, _ in blocks_of_all) / sum(n for n, _, _ in blocks_of_all)
        # A float32, so that taking it off float32 rows rounds once.
        return np.clip(mean, *_FLOAT32).astype(np.float32).astype(np.float64), True


_FLOAT32 = (float(np.finfo(np.float32).min), float(np.finfo(np.float32).max))


class _Grown:
    """An array to whose end rows are added. It grows in its place, so that no copy of what it holds is ever beside it:
    on Linux large arrays are moved by their page tables; elsewhere it may be there twice for a moment."""

    def __init__(self, dtype: npt.DTypeLike, *shape: int) -> None:
        self.held: npt.NDArray[Any] = np.empty((0, *shape), dtype)

    def add(self, part: npt.NDArray[Any]) -> None:
        begin = len(self.held)
        self.held.resize((begin + len(part), *self.held.shape[1:]), refcheck=False)
        self.held[begin:] = part


def _held(
    first: Part | None, read: Iterator[Part], shift: Doubles, *, dense: bool, unit: bool
) -> DenseRows | SparseRows:
    """All parts in one array; each is taken off the shift, and let go, as it comes."""
    width, weights = len(shift), _Grown(np.float64)
    rows, entries, columns, lengths = _Grown(np.float32, width), _Grown(np.float64), _Grown(np.int32), _Grown(np.int64)
    block: Any
    while first is not None:
        block, given = first
        weights.add(given)
        if dense:
            full = block.toarray() if sparse.issparse(block) else block
            with np.errstate(over="ignore"):
                rows.add(full - shift.astype(full.dtype))
        else:
            thin = sparse.csr_matrix(block)
            for grown, part in ((entries, thin.data), (columns, thin.indices), (lengths, np.diff(thin.indptr))):
                grown.add(part)
        first = next(read, None)
    if dense:
        return DenseRows(rows.held, weights.held, shift, unit)
    starts = np.concatenate([[0], np.cumsum(lengths.held)])
    made = sparse.csr_matrix((entries.held, columns.held, starts), shape=(len(weights.held), width), copy=False)
    return SparseRows(made, weights.held, shift, unit)


def _scaled(group: Group, rows: DenseRows | SparseRows, column: str) -> tuple[Rows, float]:
    """Multiplied, where float32 could not hold the squares, by a power of two, which changes no digit."""
    stored = rows.values.data if isinstance(rows, SparseRows) else rows.values
    largest = max(group.gather(float(max(stored.max(initial=0), -stored.min(initial=0)))))
    if not np.isfinite(largest):
        raise SchemaError("values beyond 3e38 are too large to compute with.", where=column)
    if largest == 0 or 1e-6 < largest < 1e6:
        return rows, 1.0
    scale = 2.0 ** -round(np.log2(largest))
    stored *= stored.dtype.type(scale)
    return type(rows)(rows.values, rows.weights, rows.shift), scale
