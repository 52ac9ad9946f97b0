"""Model endpoints from the caller's side: batches of vectors out, columns back, as SageMaker's formats have them.

Answers are asked for as JSON Lines and read by Arrow into float32, so that a number is the one that the model gave.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import quote

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse

from palate import arrowjson
from palate.client.calls import Caller
from palate.errors import RemoteError

KEY = "PALATE_ENDPOINT_KEY"
"""The environment variable that holds the key of who calls."""
CONTENT_TYPES = {"csv": "text/csv", "json": "application/json", "jsonlines": "application/jsonlines"}

Block: TypeAlias = "npt.NDArray[Any] | sparse.csr_matrix"
"""Vectors `(rows, width)`."""


@dataclass(frozen=True)
class Field:
    """A field of each row of the answer. optional: rows may lack it."""

    name: str
    type: pa.DataType
    optional: bool = False


FIELDS: Mapping[str, tuple[Field, ...]] = {
    "pca": (Field("projection", pa.list_(pa.float32())),),
    "kmeans": (Field("closest_cluster", pa.float32()), Field("distance_to_cluster", pa.float32())),
    "fm": (Field("score", pa.float32()), Field("predicted_label", pa.float32())),
}
"""What the kinds of model that SageMaker has too answer with."""


def key_of_environment() -> str | None:
    return os.environ.get(KEY, "").strip() or None


def encode(block: Block, content_type: str) -> bytes:
    """The body that asks about these vectors; content_type is one of CONTENT_TYPES' names.

    Sparse vectors go as keys and values, except in CSV, which has only dense ones.
    """
    if content_type == "csv":
        dense = block if isinstance(block, np.ndarray) else block.toarray()
        return arrowjson.joined(arrowjson.commas(arrowjson.vectors(dense)), "\n")
    if not isinstance(block, np.ndarray):
        rows = pc.binary_join_element_wise(
            '{"data":{"features":{"keys":[', _commas(block.indices, block), f'],"shape":[{block.shape[1]}],"values":[',
            _commas(block.data, block), "]}}}", "",
        )  # fmt: skip
    else:
        rows = arrowjson.objects({"features": arrowjson.vectors(block)})
    if content_type == "jsonlines":
        return arrowjson.joined(rows, "\n")
    return b'{"instances":[' + arrowjson.joined(rows, ",") + b"]}"


def _commas(values: Any, block: sparse.csr_matrix) -> pa.Array:
    offsets = pa.array(block.indptr.astype(np.int32))
    return arrowjson.commas(pa.ListArray.from_arrays(offsets, pa.array(values)))


def decode(body: bytes, fields: tuple[Field, ...], rows: int) -> list[pa.Array]:
    """The fields of an answer in JSON Lines, one array of `rows` values each.

    Raises RemoteError for an answer that cannot be read, has another number of rows, or lacks a field.
    """
    schema = pa.schema([(field.name, field.type) for field in fields])
    try:
        table = arrowjson.read(body, schema, foreign="ignore")
    except (pa.ArrowException, ValueError) as error:
        raise RemoteError(f"the answer cannot be read: {str(error).splitlines()[0][:200]}.") from None
    if table.num_rows != rows:
        raise RemoteError(f"the answer has {table.num_rows} rows for {rows}.")
    found = []
    for field in fields:
        values = table[field.name]
        if values.null_count and not field.optional:
            row = values.is_null().index(True).as_py()
            raise RemoteError(f"row {row} of the answer has no {field.name!r}.", hint="Is it another kind of model?")
        found.append(values.combine_chunks() if values.num_chunks != 1 else values.chunk(0))
    return found


class Endpoint:
    """One model endpoint, asked through `caller`."""

    def __init__(self, caller: Caller, name: str) -> None:
        self.caller, self.name = caller, name

    def ask(self, block: Block, content_type: str, fields: tuple[Field, ...]) -> list[pa.Array]:
        """What the model says of each vector. Raises RemoteError."""
        headers = {"Content-Type": CONTENT_TYPES[content_type], "Accept": CONTENT_TYPES["jsonlines"]}
        path = f"/endpoints/{quote(self.name, safe='')}/invocations"
        answer = self.caller.call("POST", path, encode(block, content_type), headers)
        return decode(answer.body, fields, block.shape[0])

    def describe(self) -> dict[str, Any]:
        """What stands behind it: `kind`, `inputs`, `outputs`, ... Raises RemoteError."""
        found: dict[str, Any] = self.caller.json("GET", f"/v1/endpoints/{quote(self.name, safe='')}")
        return found

    def deploy(self, source: Mapping[str, str]) -> dict[str, Any]:
        """Puts a model behind it: `{"bundle": path, "part": stage}`. Raises RemoteError."""
        found: dict[str, Any] = self.caller.json("PUT", f"/v1/endpoints/{quote(self.name, safe='')}", dict(source))
        return found
