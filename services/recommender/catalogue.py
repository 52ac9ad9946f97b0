"""What answers show and filter by: titles, categories, availability, age. Immutable; a change gives a new one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from palate.dataset.ids import Codes, Id, IdMap
from palate.dataset.schema import ITEM_SCHEMA, Items
from services.recommender.entries import Entries, Told
from services.recommender.filters.columns import FLAGS, LISTS, NUMBERS, TEXT, Columns, Facts

NO_TIME = -(2**63)
"""The timestamp of an item that has none: older than any other."""
_NONE: Codes = np.empty(0, dtype=np.int32)
_NO_ATTRIBUTES: Mapping[str, Any] = {}


@dataclass(frozen=True)
class ItemRow:
    """One item of the live catalogue, as the store keeps it. `change` is the number of its latest change."""

    id: str
    title: str | None = None
    text: str | None = None
    categories: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    image: str | None = None
    available: bool = True
    timestamp: int | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    deleted: bool = False
    change: int = 0

    @property
    def content(self) -> tuple[Any, ...]:
        """What a content model looks at."""
        return self.title, self.text, self.categories, self.tags


def items_of(rows: Iterable[ItemRow], ids: IdMap) -> Items:
    """The rows as the library's Items, their ids of the same type as those of `ids`."""
    rows = list(rows)
    names: list[Id] = [int(row.id) for row in rows] if ids.is_integer else [row.id for row in rows]
    columns = {
        "title": [row.title for row in rows],
        "text": [row.text for row in rows],
        "categories": [list(row.categories) for row in rows],
        "tags": [list(row.tags) for row in rows],
    }
    table = pa.table({name: pa.array(values, ITEM_SCHEMA.field(name).type) for name, values in columns.items()})
    return Items(IdMap(names), table)


def fits(item: str, ids: IdMap) -> bool:
    """Whether a catalogue with these ids can take this one: an integer catalogue holds 64-bit integers only."""
    if not ids.is_integer:
        return True
    digits = item[1:] if item.startswith("-") else item
    return (
        digits.isascii() and digits.isdigit() and len(digits) < 20 and str(int(item)) == item and abs(int(item)) < 2**63
    )


@dataclass(frozen=True)
class Catalogue:
    """Items in code order.

    entries: what answers show of each, `{"item", "title", "categories"}`; shared between snapshots, never written.
    available: `(n,) bool`; deleted items are not available. deleted: `(n,) bool`.
    timestamps: `(n,) int64` seconds since 1970 UTC, NO_TIME where unknown.
    by_category: category to the sorted codes of its items.
    tags, attributes: of each item, as the store has them; never written.
    """

    ids: IdMap
    entries: Entries
    available: npt.NDArray[np.bool_]
    deleted: npt.NDArray[np.bool_]
    timestamps: npt.NDArray[np.int64]
    by_category: Mapping[str, Codes]
    tags: Told[tuple[str, ...]]
    attributes: Told[Mapping[str, Any]]

    @classmethod
    def of(cls, ids: IdMap, timestamps: npt.NDArray[np.int64] | None = None) -> Catalogue:
        """A catalogue that knows nothing but the ids and, where given, when each item appeared."""
        n = len(ids)
        when = np.full(n, NO_TIME, np.int64) if timestamps is None else timestamps
        tags: Told[tuple[str, ...]] = Told(n, ())
        available, deleted = np.ones(n, bool), np.zeros(n, bool)
        return cls(ids, Entries(ids), available, deleted, when, {}, tags, Told(n, _NO_ATTRIBUTES))

    def __len__(self) -> int:
        return len(self.entries)

    @cached_property
    def barred(self) -> npt.NDArray[np.bool_]:
        """`(n,) bool`: what is never recommended."""
        return ~self.available

    @cached_property
    def latest(self) -> Codes:
        """Codes of the available items that have a timestamp, newest first; ties by code."""
        order = np.argsort(-self.timestamps.astype(np.float64), kind="stable")
        codes: Codes = order[(self.available & (self.timestamps != NO_TIME))[order]].astype(np.int32)
        return codes

    @cached_property
    def columns(self) -> Columns:
        """What filters look at. A changed catalogue takes it over, if there is one."""
        return Columns(self._facts())

    def _facts(self) -> Facts:
        ids, entries, tags, available, when = self.ids, self.entries, self.tags, self.available, self.timestamps
        everything = range(len(entries))

        def each(read: Callable[[int], Any]) -> Callable[[Sequence[int] | None], list[Any]]:
            return lambda codes: [read(code) for code in (everything if codes is None else codes)]

        categories = LISTS, each(lambda code: entries.told(code, "categories") or [])
        builtin = {
            "item": (TEXT, lambda codes: [str(item) for item in ids.decode(_codes(codes, len(entries)))]),
            "title": (TEXT, each(lambda code: entries.told(code, "title"))),
            "category": categories,
            "categories": categories,
            "tags": (LISTS, each(lambda code: tags[code])),
            "available": (FLAGS, lambda codes: available[_codes(codes, len(entries))].tolist()),
            "timestamp": (NUMBERS, each(lambda code: None if when[code] == NO_TIME else float(when[code]))),
        }
        return Facts(len(entries), builtin, self.attributes)

    def _handed_on(self, after: Catalogue, codes: Iterable[int]) -> Catalogue:
        """`after`, which differs from this in these items, with the columns of this."""
        held: Columns | None = self.__dict__.get("columns")
        if held is not None:
            after.__dict__["columns"] = held.changed(after._facts(), codes)
        return after

    def outside(self, categories: Iterable[str]) -> npt.NDArray[np.bool_]:
        """`(n,) bool`: the items that are in none of the categories."""
        mask = np.ones(len(self), dtype=bool)
        for category in categories:
            mask[self.by_category.get(category, _NONE)] = False
        return mask

    def grown(self, ids: IdMap) -> Catalogue:
        """The same with the ids that `ids` has beyond these; `ids` must begin with these."""
        if len(ids) == len(self):
            return self
        more = Catalogue.of(IdMap(ids.ids.slice(len(self))))
        after = Catalogue(
            ids,
            self.entries.resized(ids),
            np.concatenate([self.available, more.available]),
            np.concatenate([self.deleted, more.deleted]),
            np.concatenate([self.timestamps, more.timestamps]),
            self.by_category,
            self.tags.resized(len(ids)),
            self.attributes.resized(len(ids)),
        )
        return self._handed_on(after, range(len(self), len(after)))

    def first(self, n: int) -> Catalogue:
        """The first `n` items alone."""
        cut = {name: codes[codes < n] for name, codes in self.by_category.items()}
        ids = IdMap(self.ids.ids.slice(0, n))
        return Catalogue(
            ids,
            self.entries.resized(ids),
            self.available[:n],
            self.deleted[:n],
            self.timestamps[:n],
            {name: codes for name, codes in cut.items() if len(codes)},
            self.tags.resized(n),
            self.attributes.resized(n),
        )

    def changed(self, rows: Iterable[ItemRow]) -> Catalogue:
        """With these rows in place of what was known of their items; ids that are not here are passed over."""
        rows = list(rows)
        if not rows:
            return self
        entries, available = self.entries.copy(), self.available.copy()
        deleted, timestamps = self.deleted.copy(), self.timestamps.copy()
        tags, attributes = self.tags.copy(), self.attributes.copy()
        touched: list[int] = []
        left: dict[str, list[int]] = defaultdict(list)
        joined: dict[str, list[int]] = defaultdict(list)
        for row in rows:
            code = self.ids.code(row.id)
            if code < 0:
                continue
            touched.append(code)
            for category in entries[code]["categories"]:
                left[category].append(code)
            for category in row.categories:
                joined[category].append(code)
            shown = entries[code]["item"]
            entries[code] = {"item": shown, "title": row.title, "categories": list(row.categories)}
            available[code] = row.available and not row.deleted
            deleted[code] = row.deleted
            tags[code], attributes[code] = row.tags, row.attributes or _NO_ATTRIBUTES
            if row.timestamp is not None:
                timestamps[code] = row.timestamp
        by_category = dict(self.by_category)
        for category in {**left, **joined}:
            kept = np.setdiff1d(by_category.get(category, _NONE), np.array(left[category], np.int32))
            codes = np.union1d(kept, np.array(joined[category], np.int32)).astype(np.int32)
            by_category[category] = codes
            if not len(codes):
                del by_category[category]
        after = replace(
            self,
            entries=entries,
            available=available,
            deleted=deleted,
            timestamps=timestamps,
            by_category=by_category,
            tags=tags,
            attributes=attributes,
        )
        return self._handed_on(after, touched)


def _codes(codes: Sequence[int] | None, n: int) -> Codes:
    return np.arange(n, dtype=np.int32) if codes is None else np.asarray(codes, np.int32)
