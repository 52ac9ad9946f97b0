"""What all workers counted of the variants: requests, lists, clicks, latencies, in slots of time."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from sqlalchemy import Connection, Engine, Row, Select, Text, cast, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from palate.store.engine import reading, writing
from services.variants.tables import Tables
from services.variants.tallies import SLOT, Tally

KEPT_DAYS = 30
"""How long counts and clicks are kept."""

Counts = Mapping[tuple[str, int], Tally]
"""Token and slot to what was counted."""


class CountStore(ABC):
    """The counts in a house's database. A token names a variant with its model."""

    engine: Engine
    tables: Tables

    @abstractmethod
    def _counting(self, db: Connection) -> None:
        """Waits until no other transaction writes counts or looks at a roll-out; holds until this one ends."""

    def add_tallies(self, counts: Counts) -> None:
        """Adds what a worker counted to what all did."""
        tallies = self.tables.tallies
        with writing(self.engine) as db:
            self._counting(db)  # one worker at a time: no sum must be lost
            for (token, slot), tally in counts.items():
                this = (tallies.c.token == token, tallies.c.slot == slot)
                row = db.execute(select(tallies).where(*this)).first()
                values = vars(tally if row is None else tally + _tally(row)).copy()
                values = {**values, "latencies": list(values["latencies"])}
                del values["clicks"]
                if row is None:
                    db.execute(insert(tallies).values(token=token, slot=slot, **values))
                else:
                    db.execute(update(tallies).where(*this).values(**values))

    def add_clicks(self, lists: Iterable[tuple[str, str, int]]) -> None:
        """Notes that lists (id, token, slot) were clicked; each counts once."""
        rows = [{"list": name, "token": token, "slot": slot} for name, token, slot in lists]
        if rows and self.tables.clicks is not None:
            with writing(self.engine) as db:
                once = postgresql.insert if db.dialect.name == "postgresql" else sqlite.insert
                db.execute(once(self.tables.clicks).on_conflict_do_nothing(), rows)

    def forget_counts(self, now: float) -> None:
        """Forgets what was counted more than `KEPT_DAYS` ago."""
        oldest = int(now // SLOT) - KEPT_DAYS * 86_400 // SLOT
        with writing(self.engine) as db:
            for table in (self.tables.tallies, self.tables.clicks):
                if table is not None:
                    db.execute(delete(table).where(table.c.slot < oldest))

    def counted(self, tokens: Sequence[str], since: float = 0.0) -> dict[str, Tally]:
        """What was counted of each variant, by token, since a time in seconds since 1970."""
        tallies, first = self.tables.tallies, int(since // SLOT)
        which = tallies.c.token.in_(tokens), tallies.c.slot >= first
        found = dict.fromkeys(tokens, Tally())
        with reading(self.engine) as db:
            for row in db.execute(select(tallies.c.token, *self._sums()).where(*which).group_by(tallies.c.token)):
                found[row.token] = _summed(row)
            for token, _, text in db.execute(self._classes().where(*which)):
                latencies = np.array(json.loads(f"[{text}]")).sum(axis=0)
                found[token] += Tally(latencies=tuple(latencies.tolist()))
            for token, _, number in self._clicks(db, tokens, first, None, None):
                found[token] += Tally(clicks=number)
        return found

    def over_time(self, tokens: Sequence[str], first: int, width: int) -> dict[tuple[str, int], Tally]:
        """What was counted from slot `first` on, but for latencies, by token and block of `width` slots."""
        tallies = self.tables.tallies
        block = ((tallies.c.slot - first) // width).label("block")
        counts = select(tallies.c.token, block, *self._sums()).where(
            tallies.c.token.in_(tokens), tallies.c.slot >= first
        )
        found: dict[tuple[str, int], Tally] = {}
        with reading(self.engine) as db:
            for row in db.execute(counts.group_by(tallies.c.token, "block")):
                found[row.token, int(row.block)] = _summed(row)
            for token, at, number in self._clicks(db, tokens, first, None, width):
                found[token, at] = found.get((token, at), Tally()) + Tally(clicks=number)
        return found

    def by_slot(
        self, db: Connection, tokens: Sequence[str], first: int, end: int | None = None
    ) -> dict[tuple[str, int], Tally]:
        """By token and slot, from slot `first` to the one before `end`."""
        tallies = self.tables.tallies
        query = select(tallies).where(tallies.c.token.in_(tokens), tallies.c.slot >= first)
        if end is not None:
            query = query.where(tallies.c.slot < end)
        found = {(row.token, int(row.slot)): _tally(row) for row in db.execute(query)}
        for token, at, number in self._clicks(db, tokens, first, end, 1):
            key = token, first + at
            found[key] = found.get(key, Tally()) + Tally(clicks=number)
        return found

    def _clicks(
        self, db: Connection, tokens: Sequence[str], first: int, end: int | None, width: int | None
    ) -> list[tuple[str, int, int]]:
        """(token, block, clicks) from slot `first` to the one before `end`; width: slots of a block, None for one."""
        clicks = self.tables.clicks
        if clicks is None:
            return []
        block = (clicks.c.slot * 0 if width is None else (clicks.c.slot - first) // width).label("block")
        query = select(clicks.c.token, block, func.count()).where(clicks.c.token.in_(tokens), clicks.c.slot >= first)
        if end is not None:
            query = query.where(clicks.c.slot < end)
        return [(token, int(at), int(n)) for token, at, n in db.execute(query.group_by(clicks.c.token, "block"))]

    def _sums(self) -> list[Any]:
        return [
            func.sum(self.tables.tallies.c[name]).label(name) for name in ("requests", "lists", "errors", "dropped")
        ]

    def _classes(self) -> Select[Any]:
        """(token, day, latencies of its slots as one text of JSON): a month of slots is too much to read one by one."""
        tallies = self.tables.tallies
        text = func.aggregate_strings(cast(tallies.c.latencies, Text), ",")
        day = tallies.c.slot // (86_400 // SLOT)
        return select(tallies.c.token, day.label("day"), text).group_by(tallies.c.token, "day")


def _summed(row: Row[Any]) -> Tally:
    return Tally(int(row.requests), int(row.lists), int(row.errors), int(row.dropped))


def _tally(row: Row[Any]) -> Tally:
    return Tally(row.requests, row.lists, row.errors, row.dropped, 0, tuple(row.latencies))
