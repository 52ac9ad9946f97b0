"""What EndpointModel's tasks do: rows into requests, answers into columns, in order.

An answer's fields are `Output`s, known before any row is sent.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, InvalidStateError, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

import pyarrow as pa
from pyspark.errors import PySparkException
from pyspark.ml.functions import array_to_vector
from pyspark.ml.linalg import VectorUDT
from pyspark.sql import Column
from pyspark.sql.pandas.types import to_arrow_type
from pyspark.sql.types import (
    ArrayType,
    BooleanType,
    DataType,
    DoubleType,
    FloatType,
    IntegerType,
    LongType,
    StringType,
    StructType,
)

from palate import arrowjson
from palate.client.endpoints import FIELDS, Field
from palate.errors import ParameterError, RemoteError
from palate.spark.stages.blocks import Block, placed, to_block

_READABLE = (BooleanType, IntegerType, LongType, FloatType, DoubleType, StringType)


@dataclass(frozen=True)
class Output:
    """A field of the answer as a column of Spark's type `spark`; convert: what was read -> as `told`."""

    field: Field
    spark: DataType
    convert: Callable[[pa.Array], pa.Array]

    @property
    def told(self) -> DataType:
        """What Python answers. Of a vector its numbers: for rows of a columnar scan (Parquet, say) Spark 4.3 refuses a
        function whose answer holds a vector."""
        return ArrayType(DoubleType()) if isinstance(self.spark, VectorUDT) else self.spark

    def column(self, told: Column) -> Column:
        """The column of type `spark` made of that of type `told`."""
        return array_to_vector(told) if isinstance(self.spark, VectorUDT) else told


def _vectors(values: pa.Array) -> pa.Array:
    if arrowjson.matrix(values) is None and len(values):
        raise RemoteError("the projections of one answer differ in length.")
    return values.cast(pa.list_(pa.float64()))


def outputs_of_kind(kind: str) -> list[Output]:
    """The fields of a kind that `FIELDS` lists."""
    types: dict[str, tuple[DataType, Callable[[pa.Array], pa.Array]]] = {
        "projection": (VectorUDT(), _vectors),
        "closest_cluster": (IntegerType(), lambda values: values.cast(pa.int32())),
    }
    number = (DoubleType(), lambda values: values.cast(pa.float64()))
    return [Output(field, *types.get(field.name, number)) for field in FIELDS[kind]]


def declared_outputs(ddl: str, where: str) -> list[Output]:
    """The fields that a schema declares. Raises ParameterError for no schema, or a type that no answer has."""
    try:
        schema = StructType.fromDDL(ddl)
    except PySparkException as error:
        raise ParameterError(f"{ddl!r} is no schema: {str(error).splitlines()[0][:200]}", where=where) from None
    made = []
    for each in cast("StructType", schema).fields:
        inner = each.dataType
        while isinstance(inner, ArrayType):
            inner = inner.elementType
        if not isinstance(inner, _READABLE):
            raise ParameterError(
                f"{each.name!r} cannot be {each.dataType.simpleString()}.",
                where=where,
                hint="Use boolean, int, bigint, float, double, string, or arrays of them.",
            )
        kind = to_arrow_type(each.dataType)
        made.append(Output(Field(each.name, kind, optional=True), each.dataType, lambda values: values))
    return made


def spark_type(kind: str) -> str:
    """Spark's name of a type as signatures have it. Raises KeyError for one that Spark's JSON reader lacks."""
    if kind.startswith("list<"):
        return f"array<{spark_type(kind.removeprefix('list<').removesuffix('>').removeprefix('item: '))}>"
    return {
        "bool": "boolean",
        "int32": "int",
        "int64": "bigint",
        "float": "float",
        "double": "double",
        "string": "string",
        "large_string": "string",
    }[kind]


@dataclass(frozen=True)
class Request:
    """Rows `start` to `end`, counted within the task from 0, both included."""

    block: Block
    task: int
    start: int
    end: int


def requests_of(arrays: Iterator[pa.Array], column: str, size: int) -> Iterator[Request]:
    width = None
    for array, task, start in placed(arrays):
        if len(array):
            block = to_block(array, column, task, start, width)
            width = int(block.shape[1])
            for first in range(0, len(array), size):
                part = block[first : first + size]
                yield Request(part, task, start + first, start + first + part.shape[0] - 1)


def in_order(
    one: Callable[[Request], pa.Array], requests: Iterator[Request], at_once: int, stop: Callable[[], None]
) -> Iterator[pa.Array]:
    """The answers in the order of the requests, `at_once` of them on the way.

    The first request to fail ends it, wherever it stands in the order. However it ends, `stop` is called, after which
    `one` has to give up soon; those still on the way are not waited for.
    """
    waiting: deque[Future[pa.Array]] = deque()
    failed: Future[None] = Future()

    def tried(request: Request) -> pa.Array:
        try:
            return one(request)
        except BaseException as error:
            with suppress(InvalidStateError):  # another one failed first
                failed.set_exception(error)
            raise

    def first() -> pa.Array:
        wait([waiting[0], failed], return_when=FIRST_COMPLETED)
        if failed.done():
            failed.result()
        return waiting.popleft().result()

    pool = ThreadPoolExecutor(at_once, thread_name_prefix="palate-endpoint")
    try:
        for request in requests:
            waiting.append(pool.submit(tried, request))
            if len(waiting) >= at_once:
                yield first()
        while waiting:
            yield first()
    finally:
        stop()
        pool.shutdown(wait=False, cancel_futures=True)
