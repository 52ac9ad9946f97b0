"""The one schema for interactions, items and users, in memory.

Readers produce these objects, splits and models take them. Ids are kept once, in an `IdMap`; everything else
refers to items and users by code. All objects are immutable; methods return new ones.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy import sparse

from palate.dataset.ids import Codes, IdMap, Ids
from palate.errors import SchemaError

Floats = npt.NDArray[np.float32]
Seconds = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Interactions:
    """What users did with items: one row per event, in columns.

    user_codes, item_codes: `(n,) int32` into `users` and `items`.
    weights: `(n,) float32`, a strength or a rating; None means 1 for each row.
    timestamps: `(n,) int64` seconds since 1970 UTC, or None.
    kinds: `(n,) int16` into `kind_names` (view, click, purchase, ...), or None.
    """

    users: IdMap
    items: IdMap
    user_codes: Codes
    item_codes: Codes
    weights: Floats | None = None
    timestamps: Seconds | None = None
    kinds: npt.NDArray[np.int16] | None = None
    kind_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("item_codes", "weights", "timestamps", "kinds"):
            column = getattr(self, name)
            if column is not None and len(column) != len(self.user_codes):
                raise SchemaError(f"column {name} has {len(column)} rows, user_codes has {len(self.user_codes)}.")
        if self.weights is not None and not np.isfinite(self.weights).all():
            row = int(np.argmin(np.isfinite(self.weights)))
            raise SchemaError(f"the weight {self.weights[row]} is not a finite number.", where=f"row {row}: weights")
        for codes, ids, name in (
            (self.user_codes, self.users, "user"),
            (self.item_codes, self.items, "item"),
        ):
            if len(codes) and (codes.min() < 0 or codes.max() >= len(ids)):
                raise SchemaError(f"a {name} code lies outside the {len(ids)} known {name}s.")

    @classmethod
    def from_ids(
        cls,
        users: Ids,
        items: Ids,
        weights: npt.ArrayLike | None = None,
        timestamps: npt.ArrayLike | None = None,
    ) -> Interactions:
        """From parallel sequences of ids; the id maps are the sorted unique ids."""
        user_map, item_map = IdMap.from_values(users, where="users"), IdMap.from_values(items, where="items")
        return cls(
            user_map,
            item_map,
            user_map.encode(users),
            item_map.encode(items),
            None if weights is None else np.asarray(weights, dtype=np.float32),
            None if timestamps is None else np.asarray(timestamps, dtype=np.int64),
        )

    def __len__(self) -> int:
        return len(self.user_codes)

    @property
    def n_users(self) -> int:
        return len(self.users)

    @property
    def n_items(self) -> int:
        return len(self.items)

    def take(self, rows: npt.NDArray[Any]) -> Interactions:
        """The rows of a boolean mask or an index, with the same id maps."""
        return replace(
            self,
            user_codes=self.user_codes[rows],
            item_codes=self.item_codes[rows],
            weights=None if self.weights is None else self.weights[rows],
            timestamps=None if self.timestamps is None else self.timestamps[rows],
            kinds=None if self.kinds is None else self.kinds[rows],
        )

    def matrix(self, *, binary: bool = False) -> sparse.csr_matrix:
        """Users by items, `(n_users, n_items) float32` CSR with sorted indices.

        Repeated pairs are summed, or count once with `binary`. Rows of weight zero or less stay out unless `binary`.
        """
        users, items = self.user_codes, self.item_codes
        values: Floats
        if binary or self.weights is None:
            values = np.ones(len(self), np.float32)
        else:
            held = self.weights > 0
            users, items, values = users[held], items[held], self.weights[held]
        matrix = sparse.csr_matrix((values, (users, items)), shape=(self.n_users, self.n_items), dtype=np.float32)
        matrix.sum_duplicates()
        if binary:
            matrix.data[:] = 1
        return matrix

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over ids and columns: equal data, equal fingerprint, whatever file it came from."""
        digest = hashlib.sha256()
        for ids in (self.users, self.items):
            digest.update("\n".join(map(str, ids.ids.to_pylist())).encode())
            digest.update(b"\0")
        for column in (self.user_codes, self.item_codes, self.weights, self.timestamps, self.kinds):
            digest.update(b"-" if column is None else np.ascontiguousarray(column).tobytes())
            digest.update(b"\0")
        digest.update("\n".join(self.kind_names).encode())
        return digest.hexdigest()


ITEM_SCHEMA = pa.schema(
    [
        ("title", pa.large_string()),
        ("text", pa.large_string()),
        ("categories", pa.list_(pa.large_string())),
        ("tags", pa.list_(pa.large_string())),
        ("image", pa.large_string()),
        ("available", pa.bool_()),
        ("timestamp", pa.int64()),
        ("attributes", pa.large_string()),
    ]
)
"""Columns of an item beside its id; each may be null. `attributes` is one JSON object as text;
`timestamp` is when the item appeared, in seconds since 1970 UTC."""

USER_SCHEMA = pa.schema(
    [
        ("categories", pa.list_(pa.large_string())),
        ("tags", pa.list_(pa.large_string())),
        ("attributes", pa.large_string()),
    ]
)
"""Columns of a user beside the id: the categories and tags they say they like, any other attributes as JSON."""


def _conform(table: pa.Table | None, n: int, schema: pa.Schema, what: str) -> pa.Table:
    """`table` with exactly the columns of `schema`: missing ones null, foreign ones refused."""
    if table is None:
        return pa.table({f.name: pa.nulls(n, f.type) for f in schema}, schema=schema)
    foreign = [name for name in table.column_names if name not in schema.names]
    if foreign:
        raise SchemaError(
            f"{what} have no column {foreign[0]!r}.",
            hint=f"Known are {', '.join(schema.names)}; put others into attributes.",
        )
    if table.num_rows != n:
        raise SchemaError(f"{n} {what} ids but {table.num_rows} rows.")
    columns = {
        f.name: table[f.name].cast(f.type) if f.name in table.column_names else pa.nulls(n, f.type) for f in schema
    }
    return pa.table(columns, schema=schema)


@dataclass(frozen=True)
class Items:
    """The catalogue: `table` has one row per id of `ids`, in code order, with the columns of ITEM_SCHEMA."""

    ids: IdMap
    table: pa.Table = field(default=None)

    def __post_init__(self) -> None:
        object.__setattr__(self, "table", _conform(self.table, len(self.ids), ITEM_SCHEMA, "items"))

    def __len__(self) -> int:
        return len(self.ids)

    def strings(self, column: str) -> list[str]:
        """A text column with "" for null."""
        return [value or "" for value in self.table[column].to_pylist()]

    def lists(self, column: str) -> list[list[str]]:
        """A list column with [] for null."""
        return [value or [] for value in self.table[column].to_pylist()]

    @property
    def available(self) -> npt.NDArray[np.bool_]:
        """`(n,) bool`; an item that says nothing is available."""
        return np.array([value is not False for value in self.table["available"].to_pylist()], dtype=bool)

    def take(self, codes: npt.NDArray[np.integer] | Sequence[int]) -> Items:
        """The items of the codes, renumbered from 0 in that order."""
        index = pa.array(np.asarray(codes, dtype=np.int64))
        return Items(IdMap(self.ids.ids.take(index)), self.table.take(index))

    def aligned(self, ids: IdMap) -> Items:
        """These items in the code order of `ids`; an id without a row here gets an empty one."""
        if ids == self.ids:
            return self
        codes = self.ids.encode(ids.ids)
        index = pa.array(codes.astype(np.int64), mask=codes < 0)
        return Items(ids, self.table.take(index))


@dataclass(frozen=True)
class Users:
    """What is known of users beside their interactions, one row per id, with the columns of USER_SCHEMA."""

    ids: IdMap
    table: pa.Table = field(default=None)

    def __post_init__(self) -> None:
        object.__setattr__(self, "table", _conform(self.table, len(self.ids), USER_SCHEMA, "users"))

    def __len__(self) -> int:
        return len(self.ids)

    def lists(self, column: str) -> list[list[str]]:
        """A list column with [] for null."""
        return [value or [] for value in self.table[column].to_pylist()]

    def with_attribute(self, name: str, ids: Ids, values: Sequence[Any]) -> Users:
        """These users, and those of `ids` that are new, with one more attribute (or another value of it).

        values: JSON-serializable, one per id. Raises SchemaError if the lengths differ or `attributes` is no JSON.
        """
        union = self.ids.extended(ids)
        codes = union.encode(ids)
        if len(codes) != len(values):
            raise SchemaError(f"{len(codes)} ids but {len(values)} values.", where=name)
        index = self.ids.encode(union.ids)
        table = self.table.take(pa.array(index.astype(np.int64), mask=index < 0))
        texts = table["attributes"].to_pylist()
        for code, value in zip(codes.tolist(), values, strict=True):
            try:
                held = json.loads(texts[code] or "{}")
            except ValueError:
                raise SchemaError(
                    "is no JSON object.", where=f"attributes of user {union.decode([code])[0]!r}"
                ) from None
            texts[code] = json.dumps({**held, name: value}, ensure_ascii=False)
        place = table.column_names.index("attributes")
        return Users(union, table.set_column(place, "attributes", pa.array(texts, pa.large_string())))


@dataclass(frozen=True)
class Dataset:
    """Interactions with, where known, the catalogue and the users. `source` says where they came from."""

    interactions: Interactions
    items: Items | None = None
    users: Users | None = None
    source: str = ""
