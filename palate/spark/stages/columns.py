"""Columns as stages are told them, by name: whether they are there, of a type that serves, and how Spark is asked."""

from __future__ import annotations

from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql.types import DataType, IntegralType, NumericType, StringType

from palate.errors import SchemaError


def quoted(name: str) -> str:
    """The name of a column as Spark's expressions take it, dots included."""
    return f"`{name.replace('`', '``')}`"


def require_column(frame: DataFrame, name: str) -> DataType:
    """The type of the column. Raises SchemaError if there is none."""
    if name not in frame.columns:
        raise SchemaError(f"there is no column {name!r}.", where=name, hint=f"There is: {', '.join(frame.columns)}.")
    return frame.schema[name].dataType


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
