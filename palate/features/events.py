"""Features of users and items from what was done with them: defined once, computed as of any moment.

A training row that says what was known at its time, and the value that a service looks up now, come from the same
function over the same definition. What happens at a moment is not yet known at it: a row never sees itself.

Each value is computed from its own entity's events alone, in the order of time, so that the same history gives the
same number, to the last bit, however many others are computed beside it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from palate.dataset.ids import IdMap, id_array
from palate.errors import InputError, ParameterError, SchemaError

ENTITIES = ("user", "item")
AGGREGATES = ("count", "sum", "mean", "days_since")
DAY = 86_400.0
Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class EventFeature:
    """One number about a user or an item.

    of: "user" or "item". aggregate: "count" of the events, "sum" or "mean" of their weights (1 where they have none),
    "days_since" the latest. kinds: only events of these kinds; none: all. days: only events of so many days before the
    moment; None: all before it. Without any event `mean` and `days_since` are null, the others 0.
    """

    name: str
    of: str
    aggregate: str = "count"
    kinds: tuple[str, ...] = ()
    days: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.isidentifier() or self.name in _OWN:
            raise ParameterError(
                f"{str(self.name)[:80]!r} is no name of a feature.",
                where="name",
                hint=f"Letters, digits and underscores; not {', '.join(sorted(_OWN))}.",
            )
        for value, known, where in ((self.of, ENTITIES, "of"), (self.aggregate, AGGREGATES, "aggregate")):
            if value not in known:
                raise ParameterError(
                    f"must be one of {', '.join(known)}, not {str(value)[:80]!r}.", where=f"{self.name}.{where}"
                )
        if isinstance(self.kinds, str) or not all(isinstance(kind, str) for kind in self.kinds):
            raise ParameterError("must be a list of kinds.", where=f"{self.name}.kinds")
        object.__setattr__(self, "kinds", tuple(self.kinds))
        number = isinstance(self.days, int | float) and not isinstance(self.days, bool)
        if self.days is not None and not (number and 0 < self.days < 1e6):
            raise ParameterError("must be a number of days above 0.", where=f"{self.name}.days")


@dataclass(frozen=True)
class EventFeatures:
    """A set of features with different names."""

    features: tuple[EventFeature, ...]

    def __post_init__(self) -> None:
        names = [feature.name for feature in self.features]
        if not names:
            raise ParameterError("there is no feature.", where="feature")
        for name in names:
            if names.count(name) > 1:
                raise ParameterError("there are two features of this name.", where=name)

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """From a TOML file with a table `[[feature]]` for each. Raises InputError naming the place that is wrong."""
        try:
            held = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise InputError(f"it cannot be read as TOML: {error}.", where=str(path)) from error
        try:
            return cls.from_list(held.get("feature", []), set(held) - {"feature"})
        except ParameterError as error:
            raise ParameterError(error.message, where=f"{path}: {error.where}", hint=error.hint) from error

    @classmethod
    def from_list(cls, said: Any, others: set[str] | None = None) -> Self:
        """From a mapping for each. Raises ParameterError for one that is none, or that says what no feature has."""
        known = {field.name for field in fields(EventFeature)}
        if not isinstance(said, list) or not all(isinstance(each, Mapping) for each in said):
            raise ParameterError("must be tables [[feature]].", where="feature")
        for at, each in enumerate(said):
            for name in set(each) - known:
                raise ParameterError(f"there is no {str(name)[:80]!r}.", where=f"feature {at}", hint=_KNOWN)
            for name in {"name", "of"} - set(each):
                raise ParameterError(f"it lacks {name!r}.", where=f"feature {at}", hint=_KNOWN)
        if others:
            raise ParameterError("there is no such setting.", where=min(others), hint="Write [[feature]] tables.")
        return cls(tuple(EventFeature(**each) for each in said))

    def of(self, entity: str) -> tuple[EventFeature, ...]:
        return tuple(feature for feature in self.features if feature.of == entity)

    def as_of(self, events: pa.Table, rows: pa.Table) -> pa.Table:
        """The rows with a column for each feature: what was known of the row's user and item at its timestamp.

        events: columns `user`, `item`, `timestamp` (seconds since 1970 UTC), and where there are any `kind` and
        `weight`; in any order. rows: `timestamp`, and `user` and `item` as far as the features are of them.
        Only events before a row's timestamp count. Raises SchemaError for a missing column or value.
        """
        history = _History(events)
        when = _numbers(rows, "timestamp", "rows")
        for entity in ENTITIES:
            for feature in self.of(entity):
                values = history.values(feature, _ids(rows, entity, "rows"), when)
                if feature.name in rows.column_names:
                    raise SchemaError("the rows have a column of this name.", where=feature.name)
                rows = rows.append_column(feature.name, values)
        return rows

    def latest(self, entity: str, events: pa.Table, at: float) -> pa.Table:
        """A row for each user, or item, that the events before `at` name: its id and its features as of then."""
        if not np.isfinite(at):
            raise ParameterError("must be seconds since 1970.", where="at")
        before = events.filter(pa.array(_numbers(events, "timestamp", "events") < at))
        ids = _ids(before, entity, "events").unique()
        rows = pa.table({entity: ids, "timestamp": pa.array(np.full(len(ids), float(at)))})
        return EventFeatures(self.of(entity)).as_of(events, rows).drop_columns(["timestamp"])


class _History:
    """The events of each entity in the order of time."""

    def __init__(self, events: pa.Table) -> None:
        self._events = events
        self._times = _numbers(events, "timestamp", "events")
        self._moments = np.unique(self._times)
        weights = events["weight"] if "weight" in events.column_names else pa.nulls(len(events), pa.float64())
        filled = pa.table({"weight": pc.fill_null(weights.cast(pa.float64()), 1.0)})
        self._weights = _numbers(filled, "weight", "events")
        self._sorted: dict[tuple[str, tuple[str, ...]], tuple[IdMap, Places, Floats, Floats]] = {}

    def values(self, feature: EventFeature, asked: pa.Array, when: Floats) -> pa.Array:
        ids, keys, times, weights = self._of(feature.of, feature.kinds)
        codes = ids.encode(asked).astype(np.int64) if len(ids) else np.full(len(asked), -1, np.int64)
        known = codes >= 0
        upper = self._place(keys, codes, when)
        lower = self._place(
            keys, codes, np.full(len(when), -np.inf) if feature.days is None else when - feature.days * DAY
        )
        counts = np.where(known, upper - lower, 0)
        if feature.aggregate == "count":
            return pa.array(counts.astype(np.float64))
        some = counts > 0
        if feature.aggregate == "days_since":
            latest = times[np.where(some, upper - 1, 0)] if len(times) else np.zeros(len(when))
            return pa.array(np.where(some, (when - latest) / DAY, 0.0), mask=~some)
        sums = np.zeros(len(when))
        if some.any():
            # By parts, and not by the difference of two running sums: that would depend on the events before them.
            ends = np.column_stack([lower[some], upper[some]]).ravel()
            sums[some] = np.add.reduceat(np.append(weights, 0.0), ends)[::2]
        if feature.aggregate == "sum":
            return pa.array(sums)
        return pa.array(np.where(some, sums / np.maximum(counts, 1), 0.0), mask=~some)

    def _place(self, keys: Places, codes: Places, when: Floats) -> Places:
        """How many of the sorted events come before (entity, moment)."""
        moments = np.searchsorted(self._moments, when, side="left")
        return np.searchsorted(keys, codes * (len(self._moments) + 1) + moments, side="left").astype(np.int64)

    def _of(self, entity: str, kinds: tuple[str, ...]) -> tuple[IdMap, Places, Floats, Floats]:
        """Ids, keys by which (entity, moment) sort, times and weights of the events of these kinds."""
        found = self._sorted.get((entity, kinds))
        if found is not None:
            return found
        kept: npt.NDArray[np.bool_] = np.ones(len(self._times), bool)
        if kinds:
            if "kind" not in self._events.column_names:
                raise SchemaError("the column 'kind' is missing.", where="events")
            kept = np.array(pc.is_in(self._events["kind"], pa.array(kinds)).to_pylist(), bool)
        named = _ids(self._events, entity, "events").filter(pa.array(kept))
        times, weights = self._times[kept], self._weights[kept]
        ids = IdMap.from_values(named)
        moments = np.searchsorted(self._moments, times, side="left")
        keys = ids.encode(named).astype(np.int64) * (len(self._moments) + 1) + moments
        order = np.lexsort((weights, keys))  # equal moments by weight, so that no sum hangs on the order of the file
        found = self._sorted[entity, kinds] = ids, keys[order], times[order], weights[order]
        return found


def _column(table: pa.Table, name: str, where: str) -> pa.ChunkedArray:
    if name not in table.column_names:
        raise SchemaError(
            f"the column {name!r} is missing.", where=where, hint=f"It has: {_listed(table.column_names)}."
        )
    return table[name]


def _ids(table: pa.Table, name: str, where: str) -> pa.Array:
    return id_array(_column(table, name, where), where=f"{where}: {name}")


def _numbers(table: pa.Table, name: str, where: str) -> Floats:
    try:
        column = _column(table, name, where).cast(pa.float64())
    except pa.ArrowException:
        raise SchemaError(f"holds {table[name].type}, no numbers.", where=f"{where}: {name}") from None
    if column.null_count:
        raise SchemaError(f"{column.null_count} of {len(column)} are missing.", where=f"{where}: {name}")
    values: Floats = column.to_numpy()
    if not np.isfinite(values).all():
        row = int(np.argmax(~np.isfinite(values)))
        raise SchemaError(f"{values[row]} is not finite.", where=f"{where}: {name}: row {row}")
    return values


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:20]) or "none"


_OWN = {"user", "item", "timestamp", "as_of"}
_KNOWN = f"A feature has {', '.join(field.name for field in fields(EventFeature))}."
