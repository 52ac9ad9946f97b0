"""What all workers counted of the variants: requests, lists, clicks, latencies, in slots of time."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from sqlalchemy import Connection, Engine, Row, Table, Text, cast, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from palate.store.engine import reading, writing
from services.variants.tables import Tables
from services.variants.tallies import BLOCK, SLOT, Tally

KEPT_DAYS = 30
"""How long blocks of counts, and clicks, are kept."""
SLOT_DAYS = 2
"""How long the slots of counts are kept."""

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
        with writing(self.engine) as db:
            self._counting(db)  # one worker at a time: no sum must be lost
            for (token, slot), tally in counts.items():
                _add(db, self.tables.tallies, token, slot, tally)
                _add(db, self.tables.blocks, token, slot // BLOCK * BLOCK, tally)

    def add_clicks(self, lists: Iterable[tuple[str, str, int]]) -> None:
        """Notes that lists (id, token, slot) were clicked; each counts once."""
        rows = [{"list": name, "token": token, "slot": slot} for name, token, slot in lists]
        if rows and self.tables.clicks is not None:
            with writing(self.engine) as db:
                once = postgresql.insert if db.dialect.name == "postgresql" else sqlite.insert
                db.execute(once(self.tables.clicks).on_conflict_do_nothing(), rows)

    def forget_counts(self, now: float) -> None:
        """Forgets what was counted more than `KEPT_DAYS` ago, and slots of more than `SLOT_DAYS` ago."""
        tables = self.tables
        with writing(self.engine) as db:
            for table, days in ((tables.tallies, SLOT_DAYS), (tables.blocks, KEPT_DAYS), (tables.clicks, KEPT_DAYS)):
                if table is not None:
                    db.execute(delete(table).where(table.c.slot < int(now // SLOT) - days * 86_400 // SLOT))

    def counted(self, tokens: Sequence[str], since: float = 0.0) -> dict[str, Tally]:
        """What was counted of each variant, by token, since a time in seconds since 1970.

        Before the last two days it begins with the next half hour.
        """
        first = int(since // SLOT)
        with reading(self.engine) as db:
            found = self.totals(db, tokens, first)
            for token, _, number in self._clicks(db, tokens, first, None, None):
                found[token] += Tally(clicks=number)
        return found

    def totals(self, db: Connection, tokens: Sequence[str], first: int) -> dict[str, Tally]:
        """What was counted from slot `first` on, but for clicks, by token: whole blocks, and slots to the first one."""
        found = dict.fromkeys(tokens, Tally())
        start = -(-first // BLOCK) * BLOCK
        for table, begin, end in ((self.tables.tallies, first, start), (self.tables.blocks, start, None)):
            text = func.aggregate_strings(cast(table.c.latencies, Text), ",").label("classes")
            query = select(table.c.token, *_sums(table), text).where(table.c.token.in_(tokens), table.c.slot >= begin)
            if end is not None:
                query = query.where(table.c.slot < end)
            for row in db.execute(query.group_by(table.c.token)):
                classes = np.array(json.loads(f"[{row.classes}]")).sum(axis=0)
                found[row.token] += replace(_summed(row), latencies=tuple(classes.tolist()))
        return found

    def over_time(self, tokens: Sequence[str], first: int, width: int) -> dict[tuple[str, int], Tally]:
        """What was counted from slot `first` on, but for latencies, by token and stretch of `width` slots.

        Where both are multiples of BLOCK it is known for 30 days, and quickly told; else for two.
        """
        table = self.tables.tallies if first % BLOCK or width % BLOCK else self.tables.blocks
        at = ((table.c.slot - first) // width).label("block")
        counts = select(table.c.token, at, *_sums(table)).where(table.c.token.in_(tokens), table.c.slot >= first)
        found: dict[tuple[str, int], Tally] = {}
        with reading(self.engine) as db:
            for row in db.execute(counts.group_by(table.c.token, "block")):
                found[row.token, int(row.block)] = _summed(row)
            for token, place, number in self._clicks(db, tokens, first, None, width):
                found[token, place] = found.get((token, place), Tally()) + Tally(clicks=number)
        return found

    def by_slot(
        self, db: Connection, tokens: Sequence[str], first: int, end: int | None = None
    ) -> dict[tuple[str, int], Tally]:
        """By token and slot, from slot `first` to the one before `end`, of the last two days."""
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


def _add(db: Connection, table: Table, token: str, slot: int, tally: Tally) -> None:
    this = (table.c.token == token, table.c.slot == slot)
    row = db.execute(select(table).where(*this)).first()
    values = vars(tally if row is None else tally + _tally(row)).copy()
    values["latencies"] = list(values["latencies"])
    del values["clicks"]
    if row is None:
        db.execute(insert(table).values(token=token, slot=slot, **values))
    else:
        db.execute(update(table).where(*this).values(**values))


def _sums(table: Table) -> list[Any]:
    return [func.sum(table.c[name]).label(name) for name in ("requests", "lists", "errors", "dropped")]


def _summed(row: Any) -> Tally:
    return Tally(int(row.requests), int(row.lists), int(row.errors), int(row.dropped))


def _tally(row: Row[Any]) -> Tally:
    return Tally(row.requests, row.lists, row.errors, row.dropped, 0, tuple(row.latencies))
