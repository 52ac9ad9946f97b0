"""Large arrays summed over tasks, so that the driver holds one of them, or a few, and not one per task.

Each task cuts its array into pieces, which a shuffle brings together, piece by piece and in the order of the tasks; who
gets a piece adds it up as it comes. The driver receives each piece once, summed. A matrix of 4,096 columns is 134 MB:
eight tasks' are more than Spark lets a driver take (spark.driver.maxResultSize).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame

from palate.spark.stages.tasks import SCHEMA, Batches, Results, collected, emitted, row_of, slots, unpacked

PIECE = 1 << 18
"""Numbers in a piece: 2 MB, of which Spark puts some 30 into a batch."""
FEW = 4
"""Up to so many arrays the driver adds up itself: a shuffle takes half a second, a third of a small fit of PCA."""

Doubles = npt.NDArray[np.float64]
Told = tuple[Results, npt.ArrayLike]


def sum_tasks(
    frame: DataFrame, work: Callable[[int, Batches], Told | None], *, few: int = FEW
) -> tuple[list[dict[str, npt.NDArray[Any]]], dict[int, Doubles]]:
    """What `work` tells of each partition, in their order, and the sums of the arrays that it gave besides.

    work: (number of the task, its batches) -> named small arrays, and an array of any shape to be summed; or None.
    few: up to so many tasks at a time send the driver their arrays as they are. The sums are flat, in float64 and the
    same bits each time, by the size of the array: arrays of different sizes are summed each for themselves. Raises the
    PalateError of the first task that raised one.
    """

    def cut(task: int, batches: Batches) -> Results | None:
        told = work(task, batches)
        if told is None:
            return None
        small, array = told
        flat = np.asarray(array, dtype=np.float64).reshape(-1)
        pieces = {f"{_SUM} {flat.size} {at}": flat[at : at + PIECE] for at in range(0, flat.size, PIECE)}
        return {**small, **pieces}

    rows = emitted(frame, cut)
    if slots(frame) > few:
        moved = rows.repartition(slots(frame), "name").sortWithinPartitions("name", "task")
        rows = moved.mapInArrow(_added, SCHEMA)
    found = collected(rows)
    sums: dict[int, Doubles] = {}
    for arrays in found.values():
        for name in [name for name in arrays if name.startswith(_SUM)]:
            size, at = map(int, name.split()[1:])
            piece = arrays.pop(name)
            sums.setdefault(size, np.zeros(size))[at : at + len(piece)] += piece
    return [arrays for arrays in found.values() if arrays], sums


def _added(batches: Batches) -> Iterator[pa.RecordBatch]:
    """Rows that hold pieces, those of one place after each other, as one row each; other rows as they are."""
    name = ""
    total: Doubles = np.zeros(0)
    for batch in batches:
        for n, given in enumerate(batch.column("name")):
            if not (given.is_valid and given.as_py().startswith(_SUM)):
                yield batch.slice(n, 1)
                continue
            piece = unpacked(batch.column("array")[n])
            if given.as_py() == name:
                total += piece
                continue
            if name:
                yield row_of(_ALL, name, total)
            name, total = given.as_py(), piece.copy()
    if name:
        yield row_of(_ALL, name, total)


_SUM, _ALL = "sum", -1
