"""A column of features on the driver: whether it is one, how it goes to Python, how a new column is made of it.

A column is VectorUDT (dense, sparse or both), array<float> or array<double>. Send Python `sent(frame, column)`, not the
column itself: blocks.py, which makes numpy of it on the executors, understands nothing else. What is sent is one list
of numbers per row, as its bytes (packing.py): a struct, of vectors' own fields or of fewer, took 1.6 times the
processor time or more, as Spark measures a batch after each row it puts in, longer the more fields there are.

    require_features   the type of the column, or an error that says what it is
    sent               the column in the form that goes to Python
    checked_vectors    the column for what computes in the JVM, which never sees blocks.py
    map_features       a new column computed from blocks
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, cast

import numpy as np
import pyarrow as pa
from pyspark.ml.functions import array_to_vector
from pyspark.ml.linalg import VectorUDT
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as f
from pyspark.sql.pandas.functions import arrow_udf
from pyspark.sql.types import ArrayType, DataType, DoubleType, FloatType

from palate.errors import SchemaError
from palate.spark.stages.blocks import MARK, Block, placed, to_block
from palate.spark.stages.columns import quoted, require_column
from palate.spark.stages.packing import as_bytes, without_nulls

_TYPES = "Give it VectorUDT, array<float> or array<double>."


def require_features(frame: DataFrame, column: str) -> DataType:
    """The type of the column. Raises SchemaError unless it is one that holds features."""
    kind = require_column(frame, column)
    if isinstance(kind, VectorUDT):
        return kind
    if isinstance(kind, ArrayType) and isinstance(kind.elementType, FloatType | DoubleType):
        return kind
    raise SchemaError(f"the column holds {kind.simpleString()}, no features.", where=column, hint=_TYPES)


def sent(frame: DataFrame, column: str) -> Column:
    """The column of features in the form that is sent to Python fastest. Raises SchemaError as `require_features`.

    Of an array and of a dense vector the values are sent; of a sparse one MARK, its width, what it stores, and where.
    All of it goes as bytes, or as arrays from a Spark that cannot make bytes of them.
    """
    kind = require_features(frame, column)
    precision = "" if isinstance(kind, VectorUDT) else cast("Any", kind).elementType.simpleString()
    return _sent(column, precision, frame.sparkSession._jvm)


@lru_cache(maxsize=64)
def _sent(column: str, precision: str, jvm: Any) -> Column:
    """What `sent` gives. precision: "float" or "double" of arrays, none of vectors. To say it to the JVM takes 40 ms,
    a tenth of a small fit."""
    given = f.col(quoted(column))
    if not precision:
        vector = f.unwrap_udt(given)
        values, indices = vector["values"], vector["indices"].cast("array<double>")
        marked = f.concat(f.array(*map(f.lit, MARK), vector["size"].cast("double")), values, indices)
        packed, thin = as_bytes(jvm, values, double=True), as_bytes(jvm, marked, double=True)
        if packed is None or thin is None:
            packed, thin = values, marked
        return f.when(vector["type"] == 1, packed).otherwise(thin).alias(column)
    packed = as_bytes(jvm, given, double=precision == "double")
    return (given if packed is None else packed).alias(column)


def checked_vectors(frame: DataFrame, column: str, width: int) -> Column:
    """The column of features as VectorUDT, for what computes in the JVM; a row of another width, without a vector, or
    with a null among its numbers fails there with a SchemaError's text. Raises SchemaError as `require_features`."""
    given = f.col(quoted(column))
    if isinstance(require_features(frame, column), VectorUDT):
        vector, fields = given, f.unwrap_udt(given)
        fits = f.when(fields["type"] == 1, f.size(fields["values"])).otherwise(fields["size"]) == width
    else:
        values = given.cast("array<double>")
        vector = array_to_vector(values)
        fits = (f.size(given) == width) & without_nulls(values, "double")
    what = f"the vector is null, holds a null, or is not {width} wide as those of the fit."
    refused = f.raise_error(f.lit(f"palate.errors.SchemaError: {column}: {what}"))
    return f.when(given.isNotNull() & fits, vector).otherwise(refused)


def map_features(
    frame: DataFrame, column: str, compute: Callable[[Block, int, int], pa.Array], to: DataType | str, width: int
) -> Column:
    """A new column computed from blocks of the column of features, in Python, the other columns staying where they are.

    compute: block, task and number of the first row there -> Arrow array with a value per row, of Spark's type `to`.
    """

    def run(arrays: Iterator[pa.Array]) -> Iterator[pa.Array]:
        for array, task, start in placed(arrays):
            block = to_block(array, column, task, start, width) if len(array) else np.zeros((0, width))
            yield compute(block, task, start)

    run.__annotations__ = {"arrays": Iterator[pa.Array], "return": Iterator[pa.Array]}
    made: Column = cast("Any", arrow_udf)(run, returnType=to)(sent(frame, column))
    return made
