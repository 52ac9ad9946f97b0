"""How many of a project's tasks each person has answered and skipped.

Somebody who works for days has answered thousands, and to count these at each turn would be most of the turn's work. So
the answers of whoever has many are counted once a second; at the turns between, those that came since.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, Connection, Select, Text, bindparam, func, select

from labeling.store.each import each
from labeling.store.tables import answers, skips
from palate.store.prepared import Prepared

AGE = 1.0
MANY = 500
"""Answers from which on they are remembered."""


def _counting(who: ColumnElement[str], since: ColumnElement[datetime]) -> Select[tuple[str, int, datetime | None, int]]:
    """Who it is, how many answers came later than `since`, when the last one did, and how many tasks they skipped."""
    newer, skipped = (
        (table.c.project_id == bindparam("project")) & (table.c.person == who) for table in (answers, skips)
    )
    newer &= answers.c.created > since
    return select(
        who,
        select(func.count()).where(newer).scalar_subquery(),
        select(func.max(answers.c.created)).where(newer).scalar_subquery(),
        select(func.count()).where(skipped).scalar_subquery(),
    )


_ONE = Prepared(_counting(bindparam("who", type_=Text), bindparam("since", type_=answers.c.created.type)))
_people = each("people", who=Text, since=answers.c.created.type)
_EACH = Prepared(_counting(_people.c.who, _people.c.since))


@dataclass(frozen=True)
class _Kept:
    """How many answers there were up to and at a moment; until when that is good."""

    answers: int
    upto: datetime
    until: float


_NONE = _Kept(0, datetime.min.replace(tzinfo=UTC), 0.0)


class Own:
    """What people have done, as (answers, skipped tasks). New answers count at once; what is withdrawn elsewhere, of
    somebody who has answered many, within a second. Safe to share between threads.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: dict[tuple[int, str], _Kept] = {}

    def of(self, connection: Connection, project_id: int, person: str) -> tuple[int, int]:
        """What this person has done."""
        kept = self._known(project_id, person)
        ((_, *found),) = _ONE.all(connection, project=project_id, who=person, since=kept.upto)
        return self._taken(project_id, person, kept, *found)

    def of_each(self, connection: Connection, project_id: int, people: Sequence[str]) -> dict[str, tuple[int, int]]:
        """What each of these people has done. On PostgreSQL only."""
        kept = {person: self._known(project_id, person) for person in people}
        rows = _EACH.all(connection, project=project_id, who=list(kept), since=[each.upto for each in kept.values()])
        return {person: self._taken(project_id, person, kept[person], *found) for person, *found in rows}

    def forget(self, project_id: int, person: str) -> None:
        """Count all of it anew: some of it is gone."""
        self._kept.pop((project_id, person), None)

    def _known(self, project_id: int, person: str) -> _Kept:
        kept = self._kept.get((project_id, person), _NONE)
        return kept if self._clock() < kept.until else _NONE

    def _taken(
        self, project_id: int, person: str, kept: _Kept, newer: int, last: datetime | None, skipped: int
    ) -> tuple[int, int]:
        if kept is _NONE and newer >= MANY and last is not None:
            self._kept[project_id, person] = _Kept(newer, last, self._clock() + AGE)
        return kept.answers + newer, skipped
