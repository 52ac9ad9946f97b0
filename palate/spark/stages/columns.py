"""Columns as stages are told them, by name: whether they are there, of a type that serves, and how Spark is asked; and
what Spark ML's own stages are told of those that a stage adds."""

from __future__ import annotations

from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as f
from pyspark.sql.types import (
    ArrayType,
    DataType,
    IntegralType,
    MapType,
    NumericType,
    StringType,
    StructField,
    StructType,
    UserDefinedType,
)

from palate.errors import SchemaError

NUMERIC: dict[str, Any] = {"ml_attr": {}}
"""The metadata of a column of numbers, as Spark ML's attributes have it."""


def nominal(values: int) -> dict[str, Any]:
    """The metadata of a column of labels or clusters 0 to `values` - 1, as Spark ML's attributes have it."""
    return {"ml_attr": {"type": "nominal", "num_vals": values}}


def sized(width: int) -> dict[str, Any]:
    """The metadata of a column of vectors of that width: a VectorAssembler, say, need not look at a row to know it."""
    return {"ml_attr": {"num_attrs": width}}


def named(column: Column, field: StructField) -> Column:
    """The column with the name and the metadata of the field."""
    return column.alias(field.name, metadata=field.metadata) if field.metadata else column.alias(field.name)


def quoted(name: str) -> str:
    """The name of a column as Spark's expressions take it, dots included."""
    return f"`{name.replace('`', '``')}`"


def by_row(frame: DataFrame) -> DataFrame:
    """The frame, about whose rows Python is going to be asked.

    Spark 4.3 asks about a columnar scan (of Parquet, say) as it is, and refuses it where any of its columns holds
    vectors, whatever Python is told of them. A filter in between, which lets all rows pass, makes rows of it.
    """
    if _holds_udt(frame.schema):
        return frame.where(f.spark_partition_id() >= 0)
    return frame


def _holds_udt(kind: DataType) -> bool:
    if isinstance(kind, StructType):
        return any(_holds_udt(field.dataType) for field in kind.fields)
    if isinstance(kind, MapType):
        return _holds_udt(kind.keyType) or _holds_udt(kind.valueType)
    return _holds_udt(kind.elementType) if isinstance(kind, ArrayType) else isinstance(kind, UserDefinedType)


def require_column(frame: DataFrame, name: str) -> DataType:
    """The type of the column, in upper or lower case as the session has it. Raises SchemaError if there is none, or
    more than one."""
    exact = frame.sparkSession.conf.get("spark.sql.caseSensitive") == "true"
    held = [kind for kind in frame.schema if kind.name == name or (not exact and kind.name.lower() == name.lower())]
    if len(held) > 1:
        raise SchemaError(f"there are {len(held)} columns {name!r}.", where=name, hint="Rename or drop the others.")
    if not held:
        raise SchemaError(f"there is no column {name!r}.", where=name, hint=f"There is: {', '.join(frame.columns)}.")
    return held[0].dataType


def require_numbers(frame: DataFrame, *names: str) -> None:
    """Raises SchemaError unless each column is there and holds numbers."""
    for name in names:
        _require_type(frame, name, NumericType, "no numbers", "Cast it to double.")


def require_categories(frame: DataFrame, *names: str) -> None:
    """Raises SchemaError unless each column is there and holds strings or integers."""
    for name in names:
        _require_type(frame, name, (StringType, IntegralType), "no categories", "Cast it to string.")


def _require_type(frame: DataFrame, name: str, kinds: Any, what: str, hint: str) -> None:
    kind = require_column(frame, name)
    if not isinstance(kind, kinds):
        raise SchemaError(f"the column holds {kind.simpleString()}, {what}.", where=name, hint=hint)
