"""Ratings out of a DataFrame into the memory of one executor: ids become codes as they stream by.

All partitions flow through one task, so that the driver never holds a rating and a lost executor means no more than
that Spark runs the task again. Ids are coded in the order in which they come and sorted at the end, so that neither the
order of the rows nor their partitioning changes what is fitted.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as f
from pyspark.sql.types import DataType, NumericType, StringType

from palate.dataset.ids import IdMap, id_array
from palate.errors import SchemaError
from palate.kernels.ratings import Ratings
from palate.spark.stages.blocks import bad_row
from palate.spark.stages.columns import quoted, require_column
from palate.spark.stages.tasks import Batches, task_number

BYTES = 20
"""What a rating takes while the matrix is built and fitted: 16 bytes, and a quarter more for what comes and goes."""
_AT_ONCE = 1 << 14
"""Ratings whose ids are coded together."""
_PART = 1 << 26
"""Bytes of an array sent to the driver in one piece: Spark's limit for a value is 2 GB."""


Refuse = Callable[[int, str], SchemaError]
"""(row, what is wrong with it) -> the error."""


class TooManyError(Exception):
    """There are more ratings than the memory that may be used for them holds."""


def require_ids(frame: DataFrame, column: str) -> DataType:
    """The type of a column of ids. Raises SchemaError unless it holds numbers or text."""
    kind = require_column(frame, column)
    if not isinstance(kind, NumericType | StringType):
        raise SchemaError(f"ids must be whole numbers or text, not {kind.simpleString()}.", where=column)
    return kind


def select_ratings(frame: DataFrame, user: str, item: str, rating: str) -> DataFrame:
    """Columns `user`, `item` and `rating` (float); an empty name of `rating` makes every rating 1, as in pyspark.ml.

    Raises SchemaError for a column that is missing or of a type that can't be meant.
    """
    for column in (user, item):
        require_ids(frame, column)
    value: Column = f.lit(1.0)
    if rating:
        kind = require_column(frame, rating)
        if not isinstance(kind, NumericType):
            raise SchemaError(f"ratings must be numbers, not {kind.simpleString()}.", where=rating)
        value = f.col(quoted(rating))
    return frame.select(
        f.col(quoted(user)).alias("user"), f.col(quoted(item)).alias("item"), value.cast("float").alias("rating")
    )


def in_one_task(frame: DataFrame) -> DataFrame:
    """The frame in one partition.

    What comes out of a cache is read by the one task; anything else is first computed by many tasks, and then moved.
    """
    leaves: Any = frame._jdf.queryExecution().withCachedData().collectLeaves()
    cached = all(leaves.apply(index).nodeName() == "InMemoryRelation" for index in range(leaves.size()))
    return frame.coalesce(1) if cached else frame.repartition(1)


@dataclass(frozen=True)
class Read:
    """Ratings, and the ids of their codes, sorted."""

    ratings: Ratings
    users: pa.Array
    items: pa.Array


def read_ratings(batches: Batches, names: Mapping[str, str], limit: int | None = None) -> Read:
    """All batches of the columns `user`, `item` and `rating` of `select_ratings`.

    names: what the caller calls these columns, for errors. limit: bytes of memory that may be used. Raises SchemaError
    for a null, a rating that is not finite, an id that is not whole, and for no rows; TooManyError beyond the limit.
    """
    users, items = _Codes(), _Codes()
    values: list[npt.NDArray[np.float32]] = []
    total, held, waiting = 0, 0, []
    for batch in batches:
        waiting.append(batch)
        held += batch.num_rows
        total += batch.num_rows
        if limit is not None and total * BYTES > limit:
            raise TooManyError
        if held >= max(_AT_ONCE, len(users), len(items)):
            _take(waiting, users, items, values, names, total - held)
            waiting, held = [], 0
    if held:
        _take(waiting, users, items, values, names, total - held)
    if not total:
        raise SchemaError("there are no rows to learn from.", where=names["rating"] or "ratings")
    waiting.clear()
    pa.default_memory_pool().release_unused()
    by_user, by_item = users.sorted(), items.sorted()
    ratings = Ratings.from_pieces(users.codes, items.codes, values, len(by_user), len(by_item))
    return Read(ratings, by_user, by_item)


def _take(
    batches: list[Any], users: _Codes, items: _Codes, values: list[Any], names: Mapping[str, str], start: int
) -> None:
    """Codes the batches' ids and keeps their ratings. start: how many rows there were before."""
    table = pa.Table.from_batches(batches)

    def refuse(column: str) -> Refuse:
        def error(row: int, what: str) -> SchemaError:
            others = [other for other in names if other != column]
            told = ", ".join(f"{names[other] or other} {table.column(other)[row].as_py()!r}" for other in others)
            return bad_row(names[column] or column, task_number(), start + row, f"{what} Beside it: {told}.")

        return error

    column = table.column("rating")
    if column.null_count:
        raise refuse("rating")(_first(column.is_null()), "the rating is null.")
    found = _kept(np.asarray(column, dtype=np.float32))
    endless = ~np.isfinite(found)
    if endless.any():
        row = int(np.argmax(endless))
        raise refuse("rating")(row, f"the rating is {found[row]} as a float32, no finite number.")
    users.add(table.column("user"), refuse("user"))
    items.add(table.column("item"), refuse("item"))
    values.append(found)


def _first(mask: Any) -> int:
    return int(np.argmax(np.asarray(mask)))


def _kept(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A copy in pages of its own, which go back to the system the moment it is let go: from a heap they would not."""
    pages = mmap.mmap(-1, max(1, array.nbytes), mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    copy = np.frombuffer(pages, array.dtype, len(array))
    copy[:] = array
    return copy


class _Codes:
    """Codes of the ids of one column, in the order of their first appearance until they are sorted."""

    def __init__(self) -> None:
        self.codes: list[npt.NDArray[np.int32]] = []
        self.known: Any = None

    def __len__(self) -> int:
        return 0 if self.known is None else len(self.known)

    def add(self, ids: pa.ChunkedArray, refuse: Refuse) -> None:
        encoded = plain_ids(ids, refuse).combine_chunks().dictionary_encode()
        dictionary = encoded.dictionary
        if self.known is None:
            self.known = dictionary
            self.codes.append(_kept(np.asarray(encoded.indices, dtype=np.int32)))
            return
        found = pc.index_in(dictionary, value_set=self.known)
        fresh = dictionary.filter(found.is_null())
        at = np.array(found.fill_null(-1), dtype=np.int32)
        at[at < 0] = np.arange(len(self), len(self) + len(fresh), dtype=np.int32)
        self.known = pa.concat_arrays([self.known, fresh]) if len(fresh) else self.known
        self.codes.append(_kept(at[np.asarray(encoded.indices)]))

    def sorted(self) -> pa.Array:
        """The ids in ascending order, which is from now on that of the codes."""
        order = np.asarray(pc.array_sort_indices(self.known))
        rank = np.empty(len(order), np.int32)
        rank[order] = np.arange(len(order), dtype=np.int32)
        for piece in self.codes:
            for start in range(0, len(piece), _AT_ONCE):
                part = piece[start : start + _AT_ONCE]
                part[:] = rank[part]
        return id_array(self.known.take(pa.array(order)))


def plain_ids(ids: Any, refuse: Refuse) -> Any:
    """Ids as integers or text. Raises what `refuse` makes of a null, and of a number that is no integer of 64 bits."""
    if ids.null_count:
        raise refuse(_first(ids.is_null()), "the id is null.")
    if pa.types.is_floating(ids.type) or pa.types.is_decimal(ids.type):
        try:
            return ids.cast(pa.int64())
        except pa.ArrowInvalid:
            row, wrong = next((row, value) for row, value in enumerate(ids.to_pylist()) if not _whole(value))
            raise refuse(row, f"the id {wrong} is not a whole number of 64 bits.") from None
    return ids


def _whole(value: Any) -> bool:
    try:
        return bool(int(value) == value) and -(2**63) <= int(value) < 2**63
    except (ValueError, OverflowError):  # NaN, infinity
        return False


def pack_ids(name: str, ids: pa.Array) -> dict[str, npt.NDArray[Any]]:
    """Ids as arrays that a task can give back, under names that begin with `name`."""
    if pa.types.is_integer(ids.type):
        return split(f"{name}.ids", np.asarray(ids))
    offsets, data = np.frombuffer(ids.buffers()[1], np.int64), ids.buffers()[2]
    offsets = offsets[ids.offset : ids.offset + len(ids) + 1]
    text = np.frombuffer(data, np.uint8)[offsets[0] : offsets[-1]] if data is not None else np.zeros(0, np.uint8)
    return split(f"{name}.offsets", offsets - offsets[0]) | split(f"{name}.text", text)


def unpack_ids(name: str, arrays: Mapping[str, npt.NDArray[Any]]) -> IdMap:
    """The sorted ids that `pack_ids` took apart."""
    if f"{name}.ids.0" in arrays:
        ids: pa.Array = pa.array(join(f"{name}.ids", arrays))
    else:
        buffers = [None, *(pa.py_buffer(join(f"{name}.{part}", arrays)) for part in ("offsets", "text"))]
        ids = pa.Array.from_buffers(pa.large_string(), len(join(f"{name}.offsets", arrays)) - 1, buffers)
    return IdMap(ids, np.arange(len(ids), dtype=np.int32))


def split(name: str, array: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
    """An array in pieces small enough to be sent, by rows: `name.0`, `name.1` and so on."""
    rows = max(1, _PART // max(1, array[:1].nbytes))
    starts = range(0, max(1, len(array)), rows)
    return {f"{name}.{index}": array[start : start + rows] for index, start in enumerate(starts)}


def join(name: str, arrays: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """What `split` split."""
    pieces: list[npt.NDArray[Any]] = []
    while f"{name}.{len(pieces)}" in arrays:
        pieces.append(arrays[f"{name}.{len(pieces)}"])
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)


def task_cores(spark: SparkSession) -> int | None:
    """How many cores the one task may use: those of its executor, None for all of its machine."""
    context = spark.sparkContext
    if str(context.master).startswith("local["):
        return context.defaultParallelism
    told = context.getConf().get("spark.executor.cores")
    return int(told) if told else None


def memory_limit(spark: SparkSession) -> int | None:
    """Bytes that Spark was told an executor's Python may have beside the JVM; None if it was told nothing."""
    conf, jvm = spark.sparkContext.getConf(), spark.sparkContext._jvm
    for name in ("spark.executor.pyspark.memory", "spark.executor.memoryOverhead"):
        told = conf.get(name)
        if told:
            return int(jvm.org.apache.spark.network.util.JavaUtils.byteStringAsMb(told)) << 20  # type: ignore[union-attr]
    return None
