"""What all workers counted of the variants: requests, lists, clicks, latencies, in slots of time."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from sqlalchemy import Connection, Engine, Row, Select, Text, cast, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from palate.store.engine import reading, writing
from services.recommender.counted import next_number
from services.recommender.deployments.records import SLOT
from services.recommender.deployments.rollouts import Tally
from services.recommender.deployments.tables import clicks, tallies

KEPT_DAYS = 30
"""How long counts and clicks are kept."""

Counts = Mapping[tuple[str, int], Tally]
"""Token and slot to what one worker counted."""


class CountStore:
    """The counts in the recommender's database; the part of `DeploymentStore` that is about them."""

    engine: Engine

    def add_tallies(self, counts: Counts) -> None:
        """Adds what a worker counted to what all did."""
        with writing(self.engine) as db:
            next_number(db, "tallies")  # one worker at a time: no sum must be lost
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

    def forget_counts(self, now: float) -> None:
        """Forgets what was counted more than `KEPT_DAYS` ago."""
        oldest = int(now // SLOT) - KEPT_DAYS * 86_400 // SLOT
        with writing(self.engine) as db:
            db.execute(delete(tallies).where(tallies.c.slot < oldest))
            db.execute(delete(clicks).where(clicks.c.slot < oldest))

    def add_clicks(self, lists: Iterable[tuple[str, str, int]]) -> None:
        """Notes that lists (id, token, slot) were clicked; each counts once."""
        rows = [{"list": name, "token": token, "slot": slot} for name, token, slot in lists]
        if rows:
            with writing(self.engine) as db:
                once = postgresql.insert if db.dialect.name == "postgresql" else sqlite.insert
                db.execute(once(clicks).on_conflict_do_nothing(), rows)

    def counted(self, tokens: Sequence[str], since: float = 0.0) -> dict[str, Tally]:
        """What was counted of each variant, by token, since a time in seconds since 1970."""
        first = int(since // SLOT)
        which = tallies.c.token.in_(tokens), tallies.c.slot >= first
        clicked = clicks.c.token.in_(tokens), clicks.c.slot >= first
        found = dict.fromkeys(tokens, Tally())
        with reading(self.engine) as db:
            for row in db.execute(select(tallies.c.token, *_sums()).where(*which).group_by(tallies.c.token)):
                found[row.token] = _summed(row)
            for token, _, text in db.execute(_classes().where(*which)):
                latencies = np.array(json.loads(f"[{text}]")).sum(axis=0)
                found[token] += Tally(latencies=tuple(latencies.tolist()))
            for token, number in db.execute(
                select(clicks.c.token, func.count()).where(*clicked).group_by(clicks.c.token)
            ):
                found[token] += Tally(clicks=int(number))
        return found

    def over_time(self, tokens: Sequence[str], first: int, width: int) -> dict[tuple[str, int], Tally]:
        """What was counted from slot `first` on, but for latencies, by token and block of `width` slots."""
        block = ((tallies.c.slot - first) // width).label("block")
        counts = select(tallies.c.token, block, *_sums()).where(tallies.c.token.in_(tokens), tallies.c.slot >= first)
        clicked_in = ((clicks.c.slot - first) // width).label("block")
        clicked = select(clicks.c.token, clicked_in, func.count()).where(
            clicks.c.token.in_(tokens), clicks.c.slot >= first
        )
        found: dict[tuple[str, int], Tally] = {}
        with reading(self.engine) as db:
            for row in db.execute(counts.group_by(tallies.c.token, "block")):
                found[row.token, int(row.block)] = _summed(row)
            for token, at, number in db.execute(clicked.group_by(clicks.c.token, "block")):
                key = token, int(at)
                found[key] = found.get(key, Tally()) + Tally(clicks=int(number))
        return found


def by_slot(db: Connection, tokens: Sequence[str], first: int, end: int | None = None) -> dict[tuple[str, int], Tally]:
    """By token and slot, from slot `first` to the one before `end`."""
    query = select(tallies).where(tallies.c.token.in_(tokens), tallies.c.slot >= first)
    clicked = select(clicks.c.token, clicks.c.slot, func.count()).where(
        clicks.c.token.in_(tokens), clicks.c.slot >= first
    )
    if end is not None:
        query, clicked = query.where(tallies.c.slot < end), clicked.where(clicks.c.slot < end)
    found = {(row.token, int(row.slot)): _tally(row) for row in db.execute(query)}
    for token, slot, count in db.execute(clicked.group_by(clicks.c.token, clicks.c.slot)):
        key = (token, int(slot))
        found[key] = found.get(key, Tally()) + Tally(clicks=int(count))
    return found


def _sums() -> list[Any]:
    return [func.sum(tallies.c[name]).label(name) for name in ("requests", "lists", "errors", "dropped")]


def _summed(row: Row[Any]) -> Tally:
    return Tally(int(row.requests), int(row.lists), int(row.errors), int(row.dropped))


def _classes() -> Select[Any]:
    """(token, day, latencies of its slots as one text of JSON): a month of slots is too much to read one by one."""
    text = func.aggregate_strings(cast(tallies.c.latencies, Text), ",")
    day = tallies.c.slot // (86_400 // SLOT)
    return select(tallies.c.token, day.label("day"), text).group_by(tallies.c.token, "day")


def _tally(row: Row[Any]) -> Tally:
    return Tally(row.requests, row.lists, row.errors, row.dropped, 0, tuple(row.latencies))
