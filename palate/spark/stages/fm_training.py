"""How a factorization machine is trained on the executors: columns in, a fit and the encoder of its columns out.

Each task reads its rows once into memory and keeps them as CSR; then all tasks step together, a batch's gradient
being the sum of theirs (`palate.kernels.fm`). Their batch is one batch, so what is learned does not hang on how many
they are. While the rows fit one task, one task trains: a step of 1024 rows takes less than a millisecond, and telling
another process its gradient as long.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame
from scipy import sparse

from palate.engines import import_torch
from palate.errors import SchemaError
from palate.features.columns import ColumnEncoder, checked_number
from palate.kernels.fm import FMFit, FMOptions, fit_fm
from palate.spark.stages.blocks import Block, to_block
from palate.spark.stages.group import Group, run_together
from palate.spark.stages.ratings import join, pack_ids, split, unpack_ids
from palate.spark.stages.tasks import Batches, Results, run_tasks, slots

ALONE_BYTES = 1 << 30
"""Up to so much data, by Spark's estimate, one task trains alone."""


@dataclass(frozen=True)
class Columns:
    """Which columns are what. features: of vectors, None if none. classes: whether labels are 0 and 1 only."""

    label: str
    features: str | None
    numbers: tuple[str, ...]
    categories: tuple[str, ...]
    classes: bool


def tasks_for(frame: DataFrame, asked: int) -> int:
    """How many tasks train: as many as asked for; else one, or all there are if the rows may not fit one."""
    if asked:
        return min(asked, slots(frame))
    estimate = int(frame._jdf.queryExecution().optimizedPlan().stats().sizeInBytes())
    if estimate >= _UNKNOWN:  # rows that came from an RDD: only counting tells
        estimate = frame.count() * 16 * (1 + len(frame.columns))
    return 1 if estimate <= ALONE_BYTES else slots(frame)


def train(frame: DataFrame, columns: Columns, options: FMOptions, tasks: int) -> tuple[FMFit, ColumnEncoder | None]:
    """Trains on the columns of `frame`, label and numbers of which are double, the features as `sent`.

    Raises SchemaError for bad values, naming column and row, and for no rows at all.
    """
    work = _work(columns, options)
    if tasks == 1:  # no shuffle: the partitions are read one after the other
        parts = run_tasks(frame.coalesce(1), lambda rank, batches: work(Group(0, 1), batches))
    else:
        parts = run_together(frame, work, tasks=tasks)
    if not parts or int(parts[0]["rows"]) == 0:
        raise SchemaError("there are no rows to learn from.", where=columns.label)
    found = parts[0]
    fit = FMFit(
        float(found["intercept"]),
        join("linear", found),
        join("factors", found),
        found["history"].tolist(),
        found["validation"].tolist(),
        int(found["best"]),
        bool(found["diverged"]),
        int(found["rows"]),
    )
    return fit, _unpacked(found, columns)


def _work(columns: Columns, options: FMOptions) -> Any:
    def work(group: Group, batches: Batches) -> Results | None:
        read: _Read = group.read(lambda: _Read.all(batches, columns, group.rank))
        rows, encoder = _joined(read, columns, group)
        with _one_thread():
            fit = fit_fm(rows, read.labels, options, group)
        if group.rank:  # all have the same; the driver needs it once
            return None
        told = {name: np.asarray(value) for name, value in vars(fit).items()}
        large = split("linear", told.pop("linear")) | split("factors", told.pop("factors"))
        return told | large | _packed(encoder)

    return work


@dataclass
class _Read:
    """The rows of a task. block: the vectors as CSR, None where there are none; labels `(n,)`; columns: the others."""

    block: sparse.csr_matrix | None
    labels: npt.NDArray[np.float64]
    columns: dict[str, pa.Array]

    @classmethod
    def all(cls, batches: Batches, columns: Columns, task: int) -> _Read:
        blocks: list[sparse.csr_matrix] = []
        labels: list[npt.NDArray[np.float64]] = [np.empty(0)]
        others: dict[str, list[pa.Array]] = {name: [] for name in (*columns.numbers, *columns.categories)}
        start, width = 0, None
        for batch in batches:
            if batch.num_rows == 0:
                continue
            place = f"task {task}, row"
            labels.append(_number(batch, columns.label, place, start))
            if columns.classes:
                _require_classes(labels[-1], batch, columns, place, start)
            if columns.features is not None:
                block = to_block(batch.column(columns.features), columns.features, task, start, width)
                width = int(block.shape[1])
                blocks.append(_narrow(block, columns.features, place, start))
            for name in columns.numbers:
                others[name].append(pa.array(_number(batch, name, place, start)))
            for name in columns.categories:
                others[name].append(batch.column(name).dictionary_encode())
            start += batch.num_rows
        return cls(
            sparse.csr_matrix(sparse.vstack(blocks)) if blocks else None,
            np.concatenate(labels),
            {name: _one_array(parts) for name, parts in others.items()},
        )


def _number(batch: pa.RecordBatch, name: str, place: str, start: int) -> npt.NDArray[np.float64]:
    """A column of numbers, all finite and within float32."""
    values = checked_number(batch.column(name), name, place, start)
    large = np.abs(values) > _LARGEST
    if large.any():
        row = int(np.argmax(large))
        raise SchemaError(f"{values[row]:g} {_BEYOND}", where=f"{name}: {place} {start + row}", hint=_SCALE)
    return values


def _narrow(block: Block, name: str, place: str, start: int) -> sparse.csr_matrix:
    """The block in float32."""
    with np.errstate(over="ignore"):
        made = sparse.csr_matrix(block, dtype=np.float32)
    if not np.isfinite(made.data.sum(dtype=np.float64)):
        row = int(np.searchsorted(made.indptr, np.argmin(np.isfinite(made.data)), side="right")) - 1
        raise SchemaError(f"a number of the vector {_BEYOND}", where=f"{name}: {place} {start + row}", hint=_SCALE)
    return made


def _require_classes(
    labels: npt.NDArray[np.float64], batch: pa.RecordBatch, columns: Columns, place: str, start: int
) -> None:
    wrong = (labels != 0) & (labels != 1)
    if wrong.any():
        row = int(np.argmax(wrong))
        beside = [f"{name} {batch.column(name)[row].as_py()!r}" for name in (*columns.numbers, *columns.categories)]
        told = f" Beside it: {', '.join(beside)}." if beside else ""
        what = f"the label {labels[row]:g} is neither 0 nor 1.{told}"
        hint = "A classifier here knows two classes."
        raise SchemaError(what, where=f"{columns.label}: {place} {start + row}", hint=hint)


def _one_array(parts: list[pa.Array]) -> pa.Array:
    if not parts:
        return pa.array([], pa.float64())
    joined = pa.chunked_array(parts)
    if pa.types.is_dictionary(joined.type):
        joined = joined.unify_dictionaries()
    made: pa.Array = joined.combine_chunks()
    return made.chunk(0) if isinstance(made, pa.ChunkedArray) else made


def _joined(read: _Read, columns: Columns, group: Group) -> tuple[sparse.csr_matrix, ColumnEncoder | None]:
    """The rows of the task with all their features, vector first."""
    blocks = []
    n = len(read.labels)
    if columns.features is not None:
        widths = {width for width in group.gather(None if read.block is None else read.block.shape[1]) if width}
        if len(widths) > 1:
            several = " and ".join(map(str, sorted(widths)))
            raise SchemaError(f"vectors of different partitions are {several} wide.", where=columns.features)
        blocks.append(read.block if read.block is not None else sparse.csr_matrix((n, max(widths, default=0))))
    encoder = None
    if columns.numbers or columns.categories:
        encoder = ColumnEncoder.fit(read.columns, columns.numbers, columns.categories, group)
        blocks.append(encoder.encode(read.columns))
    if len(blocks) == 1:
        return sparse.csr_matrix(blocks[0], dtype=np.float32), encoder
    return sparse.csr_matrix(sparse.hstack(blocks), dtype=np.float32), encoder


@contextmanager
def _one_thread() -> Iterator[None]:
    """torch on one thread: its operations on a batch are too short to be worth waking another for."""
    torch = import_torch()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _packed(encoder: ColumnEncoder | None) -> dict[str, npt.NDArray[Any]]:
    """The encoder as arrays."""
    if encoder is None:
        return {}
    scales = np.array(list(encoder.numbers.values()), dtype=np.float64)
    found: dict[str, npt.NDArray[Any]] = {"numbers": scales.reshape(-1, 2)}
    for place, ids in enumerate(encoder.categories.values()):
        found |= pack_ids(f"category-{place}", ids.ids)
    return found


def _unpacked(found: Mapping[str, npt.NDArray[Any]], columns: Columns) -> ColumnEncoder | None:
    if "numbers" not in found:
        return None
    scales = [(float(mean), float(spread)) for mean, spread in found["numbers"]]
    categories = {name: unpack_ids(f"category-{place}", found) for place, name in enumerate(columns.categories)}
    return ColumnEncoder(dict(zip(columns.numbers, scales, strict=True)), categories)


_UNKNOWN = 1 << 50
"""Spark's estimate of a size it cannot know is the largest of its integers, less what columns left out take of it."""
_LARGEST = float(np.finfo(np.float32).max)
_BEYOND, _SCALE = "is too large for float32.", "Scale the column."
