"""Dense input of artifacts that take a column of feature vectors: checked once, in one place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from palate.errors import SchemaError

Floats = npt.NDArray[np.float32]


def dense_column(batch: Mapping[str, Any], column: str, width: int) -> Floats:
    """The column as `(n, width) float32`.

    Raises SchemaError, naming the column and the first row at fault, when the column is missing, when a row is no list
    of `width` numbers, or when a value is not finite (in float32).
    """
    if column not in batch:
        given = ", ".join(map(str, batch)) or "nothing"
        raise SchemaError(f"the column {column!r} is missing.", where="predict", hint=f"Given: {given}.")
    rows = batch[column]
    if isinstance(rows, (str, bytes, Mapping)) or not hasattr(rows, "__len__"):
        raise SchemaError(f"must be a list of vectors, not {type(rows).__name__}.", where=column)
    if len(rows) == 0:
        return np.empty((0, width), dtype=np.float32)
    matrix = _as_matrix(rows)
    if matrix is None:
        _blame_row(rows, column, width)
        raise SchemaError(f"must be a list of vectors of {width} numbers.", where=column)
    if matrix.shape[1] != width:
        raise SchemaError(f"the vectors have {matrix.shape[1]} numbers, the model takes {width}.", where=column)
    with np.errstate(over="ignore"):
        dense = matrix.astype(np.float32, copy=False)
    if not np.isfinite(dense).all():
        row, at = map(int, np.argwhere(~np.isfinite(dense))[0])
        raise SchemaError(f"{matrix[row, at]} is not a finite number.", where=f"{column}:{row}:{at}")
    return np.ascontiguousarray(dense)


def _as_matrix(rows: Any) -> npt.NDArray[Any] | None:
    """`rows` as a 2-D numeric array, or None if they do not form one (text and bool count as no numbers)."""
    try:
        matrix = np.asarray(rows if isinstance(rows, np.ndarray) and rows.dtype != object else list(rows))
    except ValueError:
        return None
    return matrix if matrix.ndim == 2 and matrix.dtype.kind in "iuf" else None


def _blame_row(rows: Any, column: str, width: int) -> None:
    """Raise for the first row that is no vector of `width` numbers."""
    for index, row in enumerate(rows):
        where = f"{column}:{index}"
        if isinstance(row, (str, bytes)) or not hasattr(row, "__len__"):
            raise SchemaError(f"must be a vector of {width} numbers, not {type(row).__name__}.", where=where)
        if len(row) != width:
            raise SchemaError(f"has {len(row)} numbers, the model takes {width}.", where=where)
        for at, value in enumerate(row):
            if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
                raise SchemaError(f"{str(value)[:40]!r} is not a number.", where=f"{where}:{at}")


def float_matrix(values: Any, name: str) -> Floats:
    """A parameter array as `(rows, columns) float32`; raises SchemaError unless it is 2-D, not empty and finite."""
    matrix = np.asarray(values)
    if matrix.ndim != 2 or 0 in matrix.shape or matrix.dtype.kind not in "iuf":
        raise SchemaError(
            f"must be a matrix of numbers with rows and columns, not of shape {matrix.shape}.", where=name
        )
    if not np.isfinite(matrix).all():
        raise SchemaError("holds a value that is not finite.", where=name)
    return np.ascontiguousarray(matrix, dtype=np.float32)
