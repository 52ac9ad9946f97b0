"""JSON written from Arrow columns and read into them, with no Python object per number.

Model endpoints and those who call them move whole batches; turning each number into a Python float first took four to
seven times as long (1,000 vectors of 784 numbers). Floats are written in the shortest form that gives the same float
again in their own width, so that a float32 that is read back as float32 is the one that was sent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json

from palate.errors import SchemaError


def vectors(matrix: npt.NDArray[Any]) -> pa.ListArray:
    """The rows of a matrix `(n, width)` as lists, without copying them where they lie in C order."""
    rows, width = matrix.shape
    offsets = np.arange(0, rows * width + 1, width) if width else np.zeros(rows + 1)
    return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), pa.array(np.ascontiguousarray(matrix).ravel()))


def texts(values: pa.Array) -> pa.Array:
    """Each value as JSON text; numbers, truth values, text, and lists of these. Null, NaN and infinity are `null`.

    Raises SchemaError for a type that is none of them.
    """
    kind = values.type
    if pa.types.is_null(kind):
        return pa.array(["null"] * len(values), pa.string())
    if pa.types.is_floating(kind):
        written = pc.if_else(pc.is_finite(values), values.cast(pa.string()), None)
    elif pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        written = values.cast(pa.string())
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        written = pa.array([None if each is None else json.dumps(each) for each in values.to_pylist()], pa.string())
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        written = _lists(values)
    else:
        raise SchemaError(f"a column of {kind} cannot be written as JSON.")
    return pc.fill_null(written, "null")


def _lists(values: pa.Array) -> pa.Array:
    return pc.if_else(values.is_valid(), pc.binary_join_element_wise("[", commas(values), "]", ""), None)


def commas(values: pa.Array) -> pa.Array:
    """The values of each list as JSON text with commas between them: a line of CSV, if they are numbers."""
    lengths = pc.fill_null(pc.list_value_length(values), 0)
    offsets = np.concatenate([[0], np.cumsum(lengths.to_numpy(zero_copy_only=False))]).astype(np.int32)
    return pc.binary_join(pa.ListArray.from_arrays(pa.array(offsets), texts(values.flatten())), ",")


def objects(columns: Mapping[str, pa.Array]) -> pa.Array:
    """Each row as the text of one JSON object; a column's text is taken as it is if `texts` made it (`Written`)."""
    pieces: list[Any] = []
    for number, (name, values) in enumerate(columns.items()):
        pieces += ["{" if number == 0 else ",", json.dumps(name) + ":"]
        pieces.append(values.text if isinstance(values, Written) else texts(values))
    return pc.binary_join_element_wise(*pieces, "}", "")


class Written:
    """A column that is JSON text already."""

    def __init__(self, text: pa.Array) -> None:
        self.text = text

    def __len__(self) -> int:
        return len(self.text)


def joined(rows: pa.Array, separator: str) -> bytes:
    """The texts of all rows as one."""
    whole = pa.ListArray.from_arrays(pa.array([0, len(rows)], pa.int32()), rows)
    found = pc.binary_join(whole, separator)[0].as_buffer()
    return b"" if found is None else found.to_pybytes()


def read(body: bytes, schema: pa.Schema, *, foreign: Literal["error", "ignore"] = "error") -> pa.Table:
    """JSON Lines as a table of exactly these columns; what a line lacks is null. One document is one line.

    foreign: what to do about other fields. Raises pyarrow's ArrowInvalid for what is no JSON, has another field, or a
    value of another type. Laxer than
    JSON in that NaN is a number.
    """
    begin = body.lstrip()[:1]
    if not begin:
        return schema.empty_table()
    if begin != b"{":  # Arrow's parser takes the process down with it on a null that comes first (apache/arrow#47409)
        raise pa.ArrowInvalid("it does not begin with an object")
    return pyarrow.json.read_json(
        pa.BufferReader(body),
        read_options=pyarrow.json.ReadOptions(use_threads=False, block_size=len(body) + 1),
        parse_options=pyarrow.json.ParseOptions(
            explicit_schema=schema, unexpected_field_behavior=foreign, newlines_in_values=True
        ),
    )


def matrix(values: pa.Array | pa.ChunkedArray) -> npt.NDArray[Any] | None:
    """Lists of equal length as `(n, width)`; None if a list or a number is missing, or the lengths differ."""
    lists = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    inner = lists.flatten()
    if lists.null_count or inner.null_count or len(lists) == 0:
        return None
    width = len(inner) // len(lists)
    if pc.any(pc.not_equal(pc.list_value_length(lists), width)).as_py():
        return None
    found: npt.NDArray[Any] = inner.to_numpy(zero_copy_only=False).reshape(len(lists), width)
    return found
