"""The events of the store: each counts once, and all are read in the order in which they came."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Connection, Engine, Row, and_, bindparam, cast, func, insert, or_, select

from palate.errors import ConflictError
from palate.store.commits import Commits
from palate.store.engine import reading, writing
from palate.store.quick import Quick, QuickInsert
from services.recommender.counted import chunked, next_number
from services.recommender.tables import counters, events, exports

RECENT = 1000
"""How many of a user's latest events count."""


class Event(NamedTuple):
    """A user did something with an item. `id` makes it count once, however often it is sent.

    dated: whether whoever sent it said when it happened; else `timestamp` is when it came.
    """

    id: str
    user: str
    item: str
    kind: str = "view"
    weight: float | None = None
    timestamp: float = 0.0
    recommendation: str | None = None
    dated: bool = True


class EventStore:
    """The events in the recommender's database; the part of `Store` that is about them."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._commits = Commits(engine)
        self._put = QuickInsert(engine, events, (*Event._fields, "received", "change"))
        wanted: Any = bindparam("user")
        query = select(events.c.item, events.c.weight).where(events.c.user == wanted)
        self._touched = Quick(engine, query.order_by(events.c.change.desc(), events.c.id).limit(RECENT))

    def acts(self, user: str) -> tuple[tuple[str, str, float], ...]:
        """(item, kind, timestamp) of the user's latest events, newest first."""
        query = select(events.c.item, events.c.kind, events.c.timestamp).where(events.c.user == user)
        with reading(self.engine) as connection:
            found = connection.execute(query.order_by(events.c.change.desc(), events.c.id).limit(RECENT))
            return tuple((item, kind, when) for item, kind, when in found)

    def touched(self, user: str) -> list[tuple[str, float | None]]:
        """(item, weight) of the user's latest events, newest first."""
        return [(item, weight) for item, weight in self._touched.all(user=user)]

    def add_events(self, batch: Sequence[Event]) -> int:
        """Stores the events, all or none; says how many are new. Those whose id is stored already count once.

        They are on disk when it returns; batches of several threads share a commit. Raises ConflictError, naming the
        place in the batch, if an id is taken by an event that said anything else.
        """

        def write(connection: Connection) -> int:
            change, received = next_number(connection, "events"), time.time()
            stored = self._put.run(connection, [(*event, received, change) for event in batch])
            if stored < len(batch):
                _refuse_others(connection, batch)
            return stored

        return self._commits.write(write)

    def list_events(self, user: str | None, before: tuple[int, str] | None, limit: int) -> list[Row[Any]]:
        """Events, newest first, of one user or of all, from the one before `before` (its change and id) on."""
        query = select(events).order_by(events.c.change.desc(), events.c.id.desc()).limit(limit)
        if user is not None:
            query = query.where(events.c.user == user)
        if before is not None:
            change, name = before
            query = query.where(or_(events.c.change < change, and_(events.c.change == change, events.c.id < name)))
        with reading(self.engine) as connection:
            return list(connection.execute(query))

    def events_since(self, change: int) -> Iterator[Row[Any]]:
        """All events after that number, in order."""
        query = select(events).where(events.c.change > change).order_by(events.c.change, events.c.id)
        with reading(self.engine) as connection:
            yield from connection.execution_options(yield_per=2000).execute(query)

    def events_page(self, after: int, least: int) -> tuple[list[Row[Any]], int]:
        """At least so many events after a change, or all there are, in order; and the change up to which they go.

        What a page holds is settled when it is first asked for, and never changes: a page that was not full then is
        not filled up later. An empty one is settled by the first event that comes.
        """
        query = select(exports.c.until).where(exports.c.after == after, exports.c.least == least)
        with reading(self.engine) as connection:
            until = connection.execute(query).scalar()
        if until is None:
            try:
                until = self._settle(after, least)
            except ConflictError:  # another worker settled it meanwhile
                with reading(self.engine) as connection:
                    until = connection.execute(query).scalar_one()
        page = select(events).where(events.c.change > after, events.c.change <= until)
        with reading(self.engine) as connection:
            rows = list(connection.execute(page))
        # Sorted here: databases differ in how they sort text.
        return sorted(rows, key=lambda row: (row.change, row.id)), int(until)

    def _settle(self, after: int, least: int) -> int:
        counts = select(events.c.change, func.count()).where(events.c.change > after).group_by(events.c.change)
        with writing(self.engine) as connection:
            until, held = after, 0
            for change, count in connection.execute(counts.order_by(events.c.change).limit(least)):
                until, held = int(change), held + int(count)
                if held >= least:
                    break
            if until > after:
                connection.execute(insert(exports).values(after=after, least=least, until=until))
        return until

    def activity(self, change: int, hour: int, until: int | None = None) -> tuple[int, list[tuple[str, int, int]]]:
        """What was done after a change and since an hour: up to which change, and (item, hour, events) for each.

        Hours are counted since 1970 UTC. Events that say an item was not liked do not count, nor do those after the
        change `until`, if it is given.
        """
        # Rounding down, by what both databases have.
        bucket = cast(func.round(events.c.timestamp / 3600 - 0.5), BigInteger)
        with reading(self.engine) as connection:
            latest = connection.execute(select(counters.c.value).where(counters.c.name == "events")).scalar_one()
            latest = latest if until is None else max(0, min(latest, until))
            query = select(events.c.item, bucket, func.count()).where(
                events.c.change > change,
                events.c.change <= latest,
                events.c.timestamp >= hour * 3600.0,
                or_(events.c.weight.is_(None), events.c.weight > 0),
            )
            found = connection.execute(query.group_by(events.c.item, bucket)).all()
        return int(latest), [(item, int(at), int(count)) for item, at, count in found]


def _refuse_others(connection: Connection, batch: Sequence[Event]) -> None:
    """Raises ConflictError if an id of the batch, all of which are stored now, belongs to an event that differs."""
    held = {row.id: row for row in chunked(connection, select(events), events, [event.id for event in batch])}
    for index, event in enumerate(batch):
        same = held[event.id]
        if _said(same, same.dated) != _said(event, same.dated):
            raise ConflictError(
                f"the id {event.id[:80]!r} is taken by another event.",
                where=f"events[{index}].id",
                hint="Nothing of this batch was stored. Give each event an id of its own.",
            )


def _said(event: Event | Row[Any], dated: bool | None) -> tuple[Any, ...]:
    """What a request said of an event, to compare with another whose `dated` is that (None: not known)."""
    said = event.user, event.item, event.kind, event.weight, event.recommendation
    return said if dated is None else (*said, event.dated, event.timestamp if event.dated else None)
