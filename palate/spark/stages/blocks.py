"""Arrow arrays of features as numpy blocks, on the executors.

A block is what one Arrow batch holds of a column: a view `(rows, width)` of Arrow's own memory where all rows are
dense, a CSR matrix otherwise. Nobody may write to it. What a column holds that is no number, or not as wide as the
rest, is refused here, in the one form that `bad_row` gives.

Python workers import this module, hence nothing of pyspark.ml, which took longer to import than a small fit takes.
features.py is the driver's side; `sent` there and `to_block` here know how vectors are packed, nobody else does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy import sparse

from palate.errors import SchemaError
from palate.spark.stages.tasks import task_number

Dense: TypeAlias = npt.NDArray[np.floating[Any]]
Block: TypeAlias = "Dense | sparse.csr_matrix"
_Refuse: TypeAlias = Callable[..., None]

MARK = (float("-inf"), float("nan"), float("inf"), float("-inf"))
"""How a sparse vector begins among lists of numbers: its width, values and indices follow. No list that could be
computed with begins so."""
_HEAD = len(MARK) + 1
HOLED = "?"
"""In place of the bytes of an array of which an element is null: no number has as few."""


def blocks(arrays: Iterator[pa.Array], column: str, task: int = 0, width: int | None = None) -> Iterator[Block]:
    """The blocks of a column's Arrow arrays, empty ones left out, each checked: no nulls, one width, finite numbers.

    width: what each row has to have; that of the first row unless told. Raises SchemaError as `bad_row` makes it.
    """
    for array, _, start in placed(arrays, task):
        if len(array):
            block = to_block(array, column, task, start, width)
            width = int(block.shape[1])
            yield block


def bad_row(column: str, task: int, row: int, what: str) -> SchemaError:
    """The error for a row with which something is wrong: `what` should tell the values by which the row can be found.

    row: counted from 0 as the task read them. That need not be how the user counts: a fit may read several partitions
    in one task, or move rows first.
    """
    return SchemaError(what, where=f"{column}: task {task}, row {row}", hint="Mend or drop such rows.")


def beginning(block: Block, row: int) -> str:
    """How a row of a block begins, by which its owner may find it."""
    some: Any = block[[row], :4]
    values = some.toarray()[0] if sparse.issparse(some) else some[0]
    return f"its vector begins with {', '.join(f'{value:g}' for value in values)}"


def placed(arrays: Iterator[pa.Array], task: int | None = None) -> Iterator[tuple[pa.Array, int, int]]:
    """Each array with its task and the number of its first row there, by which errors name rows.

    task: the number of the one that Spark runs here, unless told.
    """
    task = task_number() if task is None else task
    start = 0
    for array in arrays:
        yield array, task, start
        start += len(array)


def to_block(array: pa.Array, column: str, task: int = 0, start: int = 0, width: int | None = None) -> Block:
    """One array of what `sent` gives, whose first row is row `start` of its task, as a block; see `blocks`."""

    def refuse(rows: npt.NDArray[Any], what: str, told: Callable[[int], str] = lambda row: "") -> None:
        if rows.any():
            row = int(np.argmax(rows))
            raise bad_row(column, task, start + row, f"{what}{told(row)}.")

    refuse(_mask(array), "there is no vector (null)")
    lengths, values = _lists(array, refuse)
    starts = np.cumsum(lengths) - lengths
    marked = _marked(lengths, starts, values)
    if marked.any():
        return _sparse(lengths, starts, values, marked, refuse, width)
    return _dense(lengths, values, refuse, width)


def _mask(array: pa.Array) -> npt.NDArray[np.bool_]:
    if array.null_count == 0:
        return np.zeros(1, dtype=bool)
    return np.asarray(array.is_null())


_BYTES = {
    pa.string(): (np.int32, np.float32),
    pa.large_string(): (np.int64, np.float32),
    pa.binary(): (np.int32, np.float64),
    pa.large_binary(): (np.int64, np.float64),
}
"""How lists of numbers come as bytes: the types of their offsets, and of the numbers."""


def _lists(array: pa.Array, refuse: _Refuse) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """The lengths of an array of lists, and all their values one after the other."""
    if array.type in _BYTES:
        return _packed_lists(array, refuse)
    values = array.flatten()
    offsets = np.asarray(array.offsets)
    if values.null_count:
        inside = offsets - offsets[0]
        counts = np.concatenate([[0], np.cumsum(np.asarray(values.is_null()))])
        refuse(counts[inside[1:]] > counts[inside[:-1]], "an element of the array is null")
    return np.diff(offsets), np.asarray(values)


def _packed_lists(array: pa.Array, refuse: _Refuse) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """As `_lists`, of lists as bytes."""
    of_offsets, of_numbers = _BYTES[array.type]
    _, given, data = array.buffers()
    offsets = np.frombuffer(given, of_offsets)[array.offset : array.offset + len(array) + 1]
    size = np.dtype(of_numbers).itemsize
    lengths, rest = np.divmod(np.diff(offsets), size)
    refuse(rest > 0, "an element of the array is null")
    values = np.frombuffer(b"" if data is None else data, np.uint8)[offsets[0] : offsets[-1]]
    return lengths, values.view(of_numbers)


def _dense(lengths: npt.NDArray[Any], values: npt.NDArray[Any], refuse: _Refuse, width: int | None) -> Dense:
    expected = _one_width(lengths, refuse, width)
    block = values.reshape(len(lengths), expected)
    with np.errstate(over="ignore", invalid="ignore"):
        total = values.sum()
    if not np.isfinite(total):  # any NaN or infinity reaches the sum; so may an overflow
        refuse(~np.isfinite(block).all(axis=1), _ENDLESS, lambda row: _first_endless(block[row]))
    return block


_ENDLESS = "the vector holds NaN or infinity"


def _one_width(widths: npt.NDArray[Any], refuse: _Refuse, width: int | None) -> int:
    expected = int(widths[0]) if width is None else width
    refuse(widths == 0, "the vector is empty")
    refuse(
        widths != expected,
        f"the vector is not {expected} wide as those before it",
        lambda row: f", but {widths[row]}",
    )
    return expected


def _first_endless(values: npt.NDArray[Any], indices: npt.NDArray[Any] | None = None) -> str:
    """Where the first NaN or infinity is, and how the vector begins, that the row can be found."""
    at = int(np.argmin(np.isfinite(values)))
    shown = ", ".join(f"{value:g}" for value in values[:4])
    more = ", ..." if len(values) > 4 else ""
    return f": {values[at]:g} at index {at if indices is None else indices[at]}; its values are {shown}{more}"


def _marked(lengths: npt.NDArray[Any], starts: npt.NDArray[Any], values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Which rows begin with MARK."""
    found = np.asarray(lengths >= _HEAD) & (values.dtype == np.float64)
    for place, expected in enumerate(MARK):
        held = values[starts[found] + place]
        found[found] = np.isnan(held) if np.isnan(expected) else held == expected
    return found


def _sparse(
    lengths: npt.NDArray[Any],
    starts: npt.NDArray[Any],
    packed: npt.NDArray[Any],
    marked: npt.NDArray[np.bool_],
    refuse: _Refuse,
    width: int | None,
) -> Block:
    """Rows of which those `marked` are sparse vectors."""
    sizes = lengths.copy()
    sizes[marked] = packed[starts[marked] + len(MARK)]
    expected = _one_width(sizes, refuse, width)
    head = np.where(marked, _HEAD, 0)
    stored = np.where(marked, (lengths - _HEAD) // 2, lengths)
    place = np.arange(len(packed)) - np.repeat(starts + head, lengths)
    after = np.repeat(stored, lengths)
    values, from_sparse = packed[(place >= 0) & (place < after)], np.repeat(marked, stored)
    indices = np.empty(len(values), dtype=np.int32)
    indices[~from_sparse] = np.tile(np.arange(expected, dtype=np.int32), int((~marked).sum()))
    indices[from_sparse] = packed[place >= after]
    begins = np.concatenate([[0], np.cumsum(stored)])
    finite = np.isfinite(values)
    if not finite.all():
        refuse(
            np.add.reduceat(~np.append(finite, True), begins[:-1]) * (stored > 0) > 0,
            _ENDLESS,
            lambda row: _first_endless(*(each[begins[row] : begins[row + 1]] for each in (values, indices))),
        )
    return sparse.csr_matrix((values, indices, begins.astype(np.int32)), shape=(len(lengths), expected))
