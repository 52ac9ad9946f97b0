"""Work on the Arrow batches of each partition, in Python, and its results on the driver as numpy arrays.

An error of ours raised on an executor reaches the caller as itself, at the stage where it happened, and is not tried
again four times as Spark would do with a task that died: what is wrong with the data stays wrong.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import Lock
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql.types import NumericType

from palate import errors
from palate.errors import PalateError

Batches = Iterator[pa.RecordBatch]
Results = Mapping[str, npt.NDArray[Any]]
Work = Callable[[int, Batches], "Results | None"]
"""(number of the task, its batches) -> named arrays."""

SCHEMA = "task int, name string, array binary, error string"
"""A row for each named array that a task gives, or one for its error."""


def run_tasks(frame: DataFrame, work: Work, *, barrier: bool = False) -> list[dict[str, npt.NDArray[Any]]]:
    """What `work` gave for each partition of `frame`, in the order of the partitions; those that gave None left out.

    barrier: all tasks run at the same time, or none does. Raises the PalateError of the first task that raised one.
    """
    with unmeasured(frame):
        return list(collected(emitted(frame, work, barrier=barrier)).values())


def collected(rows: DataFrame) -> dict[int, dict[str, npt.NDArray[Any]]]:
    """Rows as `emitted` makes them, on the driver: the named arrays of each task, in the order of the tasks. Raises
    the PalateError of the first that has one."""
    table = rows.toArrow()
    found: dict[int, dict[str, npt.NDArray[Any]]] = {}
    failed: dict[int, str] = {}
    for task, name, array, error in zip(*(table.column(name) for name in table.column_names), strict=True):
        if error.is_valid:
            failed[task.as_py()] = error.as_py()
        else:
            arrays = found.setdefault(task.as_py(), {})
            arrays[name.as_py()] = unpacked(array)
    if failed:
        raise decode_error(failed[min(failed)])
    return {task: found[task] for task in sorted(found)}


def task_number() -> int:
    """The number of the task that Spark runs here; 0 outside of one."""
    from pyspark import TaskContext

    context = TaskContext.get()
    return context.partitionId() if context is not None else 0


def emitted(frame: DataFrame, work: Work, *, barrier: bool = False) -> DataFrame:
    """Rows of SCHEMA: what `work` gives for each partition."""
    names = frame.columns

    def run(batches: Batches) -> Batches:
        task = task_number()
        named = (batch.rename_columns(names) for batch in batches)
        try:
            results = work(task, named)
        except PalateError as error:
            for _ in batches:  # Spark waits until all of a task's input was taken
                pass
            yield row_of(task, None, None, encode_error(error))
            return
        for name, array in (results or {}).items():
            yield row_of(task, name, np.asarray(array))

    return numbered(frame).mapInArrow(run, SCHEMA, barrier=barrier)


def numbered(frame: DataFrame) -> DataFrame:
    """The frame for `mapInArrow`, which takes a dot in the name of a column for a struct's field: where there is one,
    the columns are named 0, 1, ..."""
    if any("." in name or "`" in name for name in frame.columns):
        return frame.toDF(*map(str, range(len(frame.columns))))
    return frame


def row_of(
    task: int, name: str | None, array: npt.NDArray[Any] | None = None, error: str | None = None
) -> pa.RecordBatch:
    """A row of SCHEMA."""
    return pa.RecordBatch.from_arrays(
        [
            pa.array([task], pa.int32()),
            pa.array([name], pa.string()),
            pa.array([None if array is None else _packed(array)], pa.binary()),
            pa.array([error], pa.string()),
        ],
        names=["task", "name", "array", "error"],
    )


def _packed(array: npt.NDArray[Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def unpacked(array: pa.Scalar) -> npt.NDArray[Any]:
    """The array in a row of SCHEMA."""
    found: npt.NDArray[Any] = np.load(pa.BufferReader(array.as_buffer()), allow_pickle=False)
    return found


def encode_error(error: PalateError) -> str:
    """An error as text that `decode_error` turns back."""
    return json.dumps([type(error).__name__, error.message, error.where, error.hint])


def decode_error(text: str) -> PalateError:
    """The error that `encode_error` was given."""
    name, message, where, hint = json.loads(text)
    kind = getattr(errors, name, PalateError)
    made: PalateError = kind(message, where=where, hint=hint)
    return made


@contextmanager
def at_once(frame: DataFrame, rows: int) -> Iterator[None]:
    """Spark sends Python at most so many rows at once, in jobs that begin within: the sooner the first are there, the
    longer both work side by side. What the session said before holds again afterwards."""
    before = _rows_at_once(frame)
    if 0 < before <= rows:
        yield
        return
    with _setting(frame, _ROWS, str(rows)):
        yield


@contextmanager
def unmeasured(frame: DataFrame) -> Iterator[None]:
    """Spark measures a batch after each row that it puts in, which takes longer than to put it in where a row is a few
    numbers. How many rows there are tells enough then, so it is told not to, in jobs that begin within."""
    numbers = all(isinstance(field.dataType, NumericType) for field in frame.schema)
    if not numbers or not 0 < _rows_at_once(frame) * len(frame.columns) <= _FEW:
        yield
        return
    with _setting(frame, _BYTES, str(2**31 - 1)):
        yield


_ROWS, _BYTES = (f"spark.sql.execution.arrow.max{what}PerBatch" for what in ("Records", "Bytes"))
_FEW = 1 << 22
"""Numbers in a batch that take no room worth measuring."""


def _rows_at_once(frame: DataFrame) -> int:
    """0 and less: all of a partition at once."""
    return int(frame.sparkSession.conf.get(_ROWS) or 0)


@contextmanager
def _setting(frame: DataFrame, name: str, value: str) -> Iterator[None]:
    """Sets a value of the session's. Where several threads do so, the last to end sets what there was before them."""
    session: Any = frame.sparkSession
    key = (session._jsparkSession.sessionUUID(), name)
    with _lock:
        users, before = _before.get(key) or (0, session.conf.get(name))
        _before[key] = users + 1, before
        session.conf.set(name, value)
    try:
        yield
    finally:
        with _lock:
            users, before = _before.pop(key)
            if users > 1:
                _before[key] = users - 1, before
            else:
                session.conf.set(name, before)


_lock = Lock()
_before: dict[tuple[str, str], tuple[int, str]] = {}
"""Per session and setting: how many have set it now, and what it was."""


def slots(frame: DataFrame) -> int:
    """How many tasks the cluster can run at the same time now. spark.default.parallelism may say anything."""
    context = cast("Any", frame.sparkSession.sparkContext._jsc).sc()
    return max(1, int(context.maxNumConcurrentTasks(context.resourceProfileManager().defaultResourceProfile())))


def merged(frame: DataFrame) -> DataFrame:
    """The frame in no more partitions than can run at once; neighbours are read one after the other, none is moved."""
    return frame.coalesce(slots(frame))
