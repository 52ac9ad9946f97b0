"""What answers show of the items, and what else the store tells of them, without an object for each of which nothing is
told: of a million items that only the model knows they would take half a gigabyte in each worker."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

from palate.dataset.ids import IdMap

T = TypeVar("T")
Entry = dict[str, Any]
"""`{"item", "title", "categories"}`; never written once it is in the list."""


class Told(Sequence[T]):
    """A list in code order, of which only what is not `nothing` is held."""

    __slots__ = ("_held", "_length", "_nothing")

    def __init__(self, length: int, nothing: T, held: dict[int, T] | None = None) -> None:
        self._length, self._nothing = length, nothing
        self._held: dict[int, T] = {} if held is None else held

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, code: int) -> T:  # type: ignore[override]
        return self._held.get(int(code), self._nothing)

    def __iter__(self) -> Iterator[T]:
        held, nothing = self._held, self._nothing
        return (held.get(code, nothing) for code in range(self._length))

    def __setitem__(self, code: int, value: T) -> None:
        self._held[int(code)] = value

    def copy(self) -> Told[T]:
        return Told(self._length, self._nothing, self._held.copy())

    def resized(self, length: int) -> Told[T]:
        """With more of which nothing is told at the end, or with fewer."""
        kept = self._held if length >= self._length else {code: v for code, v in self._held.items() if code < length}
        return Told(length, self._nothing, kept.copy())


class Entries:
    """A list of entries. Those of items of which nothing is told are made when they are asked for."""

    __slots__ = ("_ids", "_told")

    def __init__(self, ids: IdMap, told: Told[Entry | None] | None = None) -> None:
        self._ids = ids
        self._told: Told[Entry | None] = Told(len(ids), None) if told is None else told

    def __len__(self) -> int:
        return len(self._told)

    def __getitem__(self, code: int) -> Entry:
        (found,) = self.of((code,))
        return found

    def of(self, codes: Iterable[int]) -> list[Entry]:
        """Those of some codes, in their order: what an answer shows."""
        told, name = self._told, self._ids.at
        return [told[code] or {"item": name(code), "title": None, "categories": []} for code in map(int, codes)]

    def __iter__(self) -> Iterator[Entry]:
        return (self[code] for code in range(len(self)))

    def __setitem__(self, code: int, entry: Entry) -> None:
        self._told[code] = entry

    def copy(self) -> Entries:
        return Entries(self._ids, self._told.copy())

    def resized(self, ids: IdMap) -> Entries:
        """With more ids at the end, or with fewer."""
        return Entries(ids, self._told.resized(len(ids)))

    def told(self, code: int, name: str) -> Any:
        """One field of an entry; None where nothing is told of the item."""
        found = self._told[code]
        return None if found is None else found[name]
