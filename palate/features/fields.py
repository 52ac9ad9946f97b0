"""Columns of a table as the fields of a factorization machine: a fixed number of slots for each row.

A category has one slot, a list of categories as many as its longest row in training, a number two: its value, and which
of ten ranges it lies in; a moment (seconds since 1970 UTC) two: its hour and its weekday. What is unknown (a value that
training did not see, a null, a column that is not given) fills no slot: its weight is 0. The fitted encoder is part of
a model's bundle.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from palate.dataset.ids import IdMap
from palate.errors import SchemaError

Floats = npt.NDArray[np.float32]
Codes = npt.NDArray[np.int32]

KINDS = ("category", "list", "number", "moment")
_RANGES = 10
_HOURS, _WEEKDAYS = 24, 7
_THURSDAY = 3
"""1970 began with one; a week does with Monday, as 0."""
_LONGEST = 30
"""So many slots a list has at most; longer rows lose their rarest values."""


@dataclass(frozen=True)
class Rows:
    """codes: of features, `(n, slots) int32`; values: what each counts, `(n, slots) float32`, 0 in an empty slot."""

    codes: Codes
    values: Floats

    def __len__(self) -> int:
        return len(self.codes)

    def take(self, rows: npt.NDArray[Any] | slice) -> Rows:
        return Rows(self.codes[rows], self.values[rows])


@dataclass(frozen=True)
class Field:
    """One column. ids: its values, of a category or list. slots: how many it has. mean, spread, ends: of a number."""

    name: str
    kind: str
    ids: IdMap
    slots: int
    mean: float = 0.0
    spread: float = 1.0
    ends: tuple[float, ...] = ()

    @property
    def width(self) -> int:
        """How many features it has."""
        if self.kind == "moment":
            return _HOURS + _WEEKDAYS
        return 2 + len(self.ends) if self.kind == "number" else len(self.ids)


@dataclass(frozen=True)
class FieldEncoder:
    """Rows of named columns as slots. Features are numbered from 0, field after field."""

    fields: tuple[Field, ...]

    @classmethod
    def fit(cls, columns: Mapping[str, Sequence[Any]], kinds: Mapping[str, str], min_count: int = 1) -> Self:
        """Learn the values of equally long columns. min_count: a value that fewer rows have is not learned.

        Raises SchemaError for a missing column, columns of different lengths, or values of another kind.
        """
        n = _length(columns, list(kinds))
        if n == 0:
            raise SchemaError("there are no rows to learn from.", where=next(iter(kinds), "columns"))
        return cls(tuple(_field(columns[name], name, kind, min_count) for name, kind in kinds.items()))

    @property
    def width(self) -> int:
        return sum(field.width for field in self.fields)

    @property
    def slots(self) -> list[int]:
        """The field of each slot."""
        return [place for place, field in enumerate(self.fields) for _ in range(field.slots)]

    def encode(self, columns: Mapping[str, Sequence[Any]]) -> Rows:
        """Raises SchemaError if no column is known, or as `fit` does."""
        known = [field.name for field in self.fields if field.name in columns]
        if not known:
            wanted = ", ".join(field.name for field in self.fields)
            raise SchemaError("none of the columns is known.", where="predict", hint=f"Give any of: {wanted}.")
        n = _length(columns, known)
        codes, values, first = [], [], 0
        for field in self.fields:
            mine, weights = _encoded(columns[field.name], field) if field.name in columns else _nothing(n, field)
            codes.append(np.where(weights != 0, mine + first, 0))
            values.append(weights)
            first += field.width
        return Rows(
            np.ascontiguousarray(np.concatenate(codes, axis=1), dtype=np.int32),
            np.ascontiguousarray(np.concatenate(values, axis=1), dtype=np.float32),
        )

    def to_params(self) -> list[dict[str, Any]]:
        """JSON-serializable, beside the ids of each field."""
        return [
            {
                "name": field.name, "kind": field.kind, "slots": field.slots, "mean": field.mean,
                "spread": field.spread, "ends": list(field.ends),
            }
            for field in self.fields
        ]  # fmt: skip

    @classmethod
    def from_params(cls, params: Sequence[Mapping[str, Any]], ids: Sequence[IdMap]) -> Self:
        return cls(
            tuple(
                Field(**{**held, "ids": mine, "ends": tuple(held["ends"])})
                for held, mine in zip(params, ids, strict=True)
            )
        )


def _length(columns: Mapping[str, Sequence[Any]], names: Sequence[str]) -> int:
    for name in names:
        if name not in columns:
            given = ", ".join(map(str, columns)) or "nothing"
            raise SchemaError(f"the column {name!r} is missing.", where=name, hint=f"Given: {given}.")
        if isinstance(columns[name], (str, bytes, Mapping)) or not hasattr(columns[name], "__len__"):
            raise SchemaError("must be a column of values.", where=name)
    lengths = {len(columns[name]) for name in names}
    if len(lengths) > 1:
        raise SchemaError(f"columns are of different lengths: {sorted(lengths)}.", where=names[0])
    return lengths.pop() if lengths else 0


def _field(column: Sequence[Any], name: str, kind: str, min_count: int) -> Field:
    if kind not in KINDS:
        raise SchemaError(f"must be one of {', '.join(KINDS)}, not {kind!r}.", where=name)
    if kind == "moment":
        numbers(column, name)
        return Field(name, kind, IdMap([]), 2)
    if kind == "number":
        values = numbers(column, name)
        held = values[~np.isnan(values)]
        if len(held) == 0:
            raise SchemaError("holds no number.", where=name)
        spread = float(held.std())
        ends = np.unique(np.quantile(held, np.linspace(0, 1, _RANGES + 1)[1:-1]))
        return Field(name, kind, IdMap([]), 2, float(held.mean()), spread if spread > 0 else 1.0, tuple(ends.tolist()))
    rows = _lists(column, name) if kind == "list" else [[each] for each in _plain(column)]
    flat = [each for each in chain.from_iterable(rows) if each is not None]
    try:
        ids = IdMap.from_values(flat, where=name)
    except SchemaError as error:
        raise SchemaError(f"must be all text or all whole numbers ({error.message})", where=name) from None
    if min_count > 1:
        counts = np.bincount(ids.encode(flat), minlength=len(ids))
        ids = IdMap(ids.ids.take(np.flatnonzero(counts >= min_count)))
    longest = min(max(map(len, rows), default=1), _LONGEST)
    return Field(name, kind, ids, max(longest, 1))


def _encoded(column: Sequence[Any], field: Field) -> tuple[npt.NDArray[np.int64], Floats]:
    """Codes within the field, and what they count, `(n, slots)` each."""
    n = len(column)
    codes, values = np.zeros((n, field.slots), np.int64), np.zeros((n, field.slots), np.float32)
    if field.kind == "moment":
        held = numbers(column, field.name)
        known = ~np.isnan(held)
        codes[known, 0] = held[known] % _DAY // _HOUR
        codes[known, 1] = _HOURS + (held[known] // _DAY + _THURSDAY) % _WEEKDAYS
        values[known] = 1
        return codes, values
    if field.kind == "number":
        held = numbers(column, field.name)
        known = ~np.isnan(held)
        # A value far beyond those of training must not carry the score away with it.
        values[known, 0] = np.clip((held[known] - field.mean) / field.spread, -_FAR, _FAR)
        codes[known, 1] = 1 + np.searchsorted(field.ends, held[known], side="right")
        values[known, 1] = 1
        return codes, values
    rows = _lists(column, field.name) if field.kind == "list" else [[each] for each in _plain(column)]
    rows = [[each for each in row if each is not None] for row in rows]
    flat = list(chain.from_iterable(rows))
    try:
        found = field.ids.encode(flat) if flat else np.empty(0, np.int32)
    except SchemaError as error:
        raise SchemaError(error.message, where=field.name) from None
    at = np.repeat(np.arange(n), [len(row) for row in rows])
    at, found = at[found >= 0], found[found >= 0]
    place = np.arange(len(at)) - np.searchsorted(at, at)
    kept = place < field.slots
    codes[at[kept], place[kept]] = found[kept]
    counts = np.bincount(at[kept], minlength=n)
    values[at[kept], place[kept]] = 1 / np.sqrt(counts[at[kept]])
    return codes, values


def _nothing(n: int, field: Field) -> tuple[npt.NDArray[np.int64], Floats]:
    return np.zeros((n, field.slots), np.int64), np.zeros((n, field.slots), np.float32)


def _plain(column: Any) -> list[Any]:
    """Python values, whatever the column is made of."""
    values = column.to_pylist() if hasattr(column, "to_pylist") else column
    return values.tolist() if isinstance(values, np.ndarray) else list(values)


def _lists(column: Any, name: str) -> list[list[Any]]:
    rows = []
    for row, value in enumerate(_plain(column)):
        if isinstance(value, (str, bytes)) or (value is not None and not hasattr(value, "__len__")):
            raise SchemaError("must be a list.", where=f"{name}: row {row}")
        rows.append([] if value is None else list(value))
    return rows


def numbers(column: Any, name: str) -> npt.NDArray[np.float64]:
    """`(n,) float64`, NaN where unknown. Raises SchemaError naming the row of what is no number."""
    values = _plain(column)
    found = np.full(len(values), np.nan)
    for row, value in enumerate(values):
        if value is None:
            continue
        if isinstance(value, (str, bytes, bool)) or not isinstance(value, (int, float, np.number)):
            raise SchemaError(f"{str(value)[:40]!r} is not a number.", where=f"{name}: row {row}")
        number = float(value)
        if math.isinf(number):
            raise SchemaError(f"{number} is not finite.", where=f"{name}: row {row}")
        found[row] = number
    return found


_FAR = 5.0
_HOUR, _DAY = 3600, 86_400
