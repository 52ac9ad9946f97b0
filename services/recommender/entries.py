"""What answers show of the items, in code order, without an object for each item of which nothing is told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from palate.dataset.ids import IdMap

Entry = dict[str, Any]
"""`{"item", "title", "categories"}`; never written once it is in the list."""


class Entries:
    """A list of entries. Those of items that only the model knows are made when they are asked for: of a million items
    all of them would take half a gigabyte in each worker, and every collection would walk through them."""

    __slots__ = ("_held", "_ids")

    def __init__(self, ids: IdMap, held: list[Entry | None] | None = None) -> None:
        self._ids = ids
        self._held: list[Entry | None] = [None] * len(ids) if held is None else held

    def __len__(self) -> int:
        return len(self._held)

    def __getitem__(self, code: int) -> Entry:
        found = self._held[code]
        return {"item": self._ids.ids[int(code)].as_py(), "title": None, "categories": []} if found is None else found

    def __iter__(self) -> Iterator[Entry]:
        return (self[code] for code in range(len(self)))

    def __setitem__(self, code: int, entry: Entry) -> None:
        self._held[code] = entry

    def copy(self) -> Entries:
        return Entries(self._ids, self._held.copy())

    def resized(self, ids: IdMap) -> Entries:
        """With more ids at the end, or with fewer."""
        more = len(ids) - len(self)
        return Entries(ids, self._held + [None] * more if more >= 0 else self._held[:more])

    def told(self, code: int, name: str) -> Any:
        """One field of an entry; None where nothing is told of the item."""
        found = self._held[code]
        return None if found is None else found[name]
