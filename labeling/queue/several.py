"""What `turns.submit` and `leases.next_task` do, for several people by one statement each. On PostgreSQL only.

What is done here is the ordinary: first answers, and tasks from the front of the queue. Whatever is not is left, with
nothing written for it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    Float,
    Integer,
    Text,
    and_,
    bindparam,
    cast,
    insert,
    or_,
    select,
    union_all,
    update,
)

from labeling.answers import check
from labeling.queue.leases import MAX_HELD, Turn, next_task, seeing, turn_of
from labeling.store.definition import Project
from labeling.store.each import each
from labeling.store.tables import (
    ANSWERED,
    LEASED,
    answers,
    drafts,
    is_free,
    is_held,
    is_open,
    is_returned,
    skips,
    slots,
    tasks,
)
from palate.errors import ConflictError, PalateError
from palate.store.prepared import Prepared

_these = slots.c.project_id == bindparam("project")
_can_be_had = and_(is_open, ~slots.c.withheld, ~slots.c.gold, or_(is_free, slots.c.expires <= bindparam("now")))

_asked = each("asked", task=BigInteger, who=Text)
_BEFORE = Prepared(
    select(_asked.c.who, tasks.c.data)
    .select_from(
        _asked.join(tasks, tasks.c.id == _asked.c.task)
        .outerjoin(answers, and_(answers.c.task_id == tasks.c.id, answers.c.person == _asked.c.who))
        .outerjoin(drafts, and_(drafts.c.task_id == tasks.c.id, drafts.c.person == _asked.c.who))
    )
    .where(tasks.c.project_id == bindparam("project"), answers.c.id.is_(None), drafts.c.task_id.is_(None))
)
"""The tasks of those who have neither answered theirs before nor left a draft of it."""

_given = each("given", task=BigInteger, who=Text, value=answers.c.value.type, seconds=Float)
_filled = (
    update(slots)
    .where(_these, slots.c.task_id == _given.c.task, slots.c.person == _given.c.who, is_held)
    .values(state=ANSWERED, expires=None)
    .returning(slots.c.id.label("slot"), *_given.c)
    .cte("filled")
)
_ANSWER = Prepared(
    insert(answers)
    .from_select(
        ["project_id", "task_id", "slot_id", "person", "value", "seconds", "created", "updated"],
        select(
            cast(bindparam("project"), BigInteger),
            _filled.c.task,
            _filled.c.slot,
            _filled.c.who,
            _filled.c.value,
            _filled.c.seconds,
            bindparam("now", type_=answers.c.created.type),
            bindparam("now", type_=answers.c.created.type),
        ),
    )
    .returning(answers.c.person)
)
"""Those whose answers were stored: a place was theirs still."""

_people = each("people", who=Text)
_HELD = Prepared(
    select(slots.c.person, slots.c.task_id).join(_people, slots.c.person == _people.c.who).where(_these, is_held)
)
_RETURNED = Prepared(
    select(answers.c.person)
    .join(_people, answers.c.person == _people.c.who)
    .where(answers.c.project_id == bindparam("project"), is_returned)
)
"""Those who have something to do again."""
_RENEW = Prepared(
    update(slots)
    .where(_these, slots.c.task_id == _asked.c.task, slots.c.person == _asked.c.who, is_held)
    .values(expires=bindparam("until", type_=slots.c.expires.type))
)

_FIRST = Prepared(
    select(slots.c.id, slots.c.task_id)
    .where(_these, _can_be_had)
    .order_by(slots.c.number, slots.c.rank, slots.c.position)
    .limit(select(bindparam("many", type_=Integer)).scalar_subquery())  # hidden, as by `each`: it would plan anew
    .with_for_update(skip_locked=True)
)
_those = each("those", task=BigInteger)
_HAD = Prepared(
    union_all(
        *(
            select(_those.c.task, table.c.person).join(_those, table.c.task_id == _those.c.task)
            for table in (slots, skips)
        )
    )
)
"""Who holds, has answered or has skipped one of the tasks; nobody where a place is free."""

_place = each("place", slot=BigInteger, who=Text)
_taken = (
    update(slots)
    .where(slots.c.id == _place.c.slot)
    .values(
        state=LEASED,
        person=_place.c.who,
        leased=bindparam("now"),
        expires=bindparam("until", type_=slots.c.expires.type),
    )
    .returning(slots.c.task_id, slots.c.person)
    .cte("taken")
)
_TAKE = Prepared(seeing(_taken.join(tasks, tasks.c.id == _taken.c.task_id), _taken.c.person, _taken.c.person))


@dataclass(frozen=True)
class Answer:
    """What somebody says of a task, and how long it took them."""

    task: int
    value: Any
    seconds: float | None


@dataclass(frozen=True)
class Ask:
    """A turn: an answer, or the next task beside those in `holding`, or both."""

    project: int
    person: str
    answer: Answer | None
    holding: Collection[int] | None


def submit_all(connection: Connection, project: Project, asks: Sequence[Ask], now: datetime) -> set[str]:
    """Store their answers; whose are stored. The others' are left: there's more to their turns, or an error to tell."""
    given = {ask.person: ask.answer for ask in asks if ask.answer is not None and 0 < ask.answer.task < 2**63}
    if not given:
        return set()
    before = _BEFORE.all(
        connection, project=project.id, task=[answer.task for answer in given.values()], who=list(given)
    )
    rows: dict[str, list[Any]] = {"task": [], "who": [], "value": [], "seconds": []}
    for person, data in before:
        answer = given[person]
        try:
            value = check(project.interface, data, answer.value)
        except PalateError:
            continue
        for name, said in (("task", answer.task), ("who", person), ("value", value), ("seconds", answer.seconds)):
            rows[name].append(said)
    return {person for (person,) in _ANSWER.all(connection, project=project.id, now=now, **rows)}


def next_tasks(
    connection: Connection,
    project: Project,
    asks: Sequence[Ask],
    *,
    many: bool,
    lease: timedelta,
    now: datetime,
) -> dict[str, Turn | None]:
    """The task that each of them does next, as `leases.next_task` has it. many: whether much is open. Where little is,
    no places are locked for one that another might be given meanwhile. Left out is who is refused one.
    """
    turns: dict[str, Turn | None] = {}
    if many and not (project.gold_rate and project.golds):
        until = now + lease
        people = _with_hands_free(connection, project, asks, until)
        turns.update(_take_all(connection, project, people, until, now))
    for ask in asks:
        if ask.person in turns:
            continue
        holding = ask.holding or ()
        with suppress(ConflictError):
            turns[ask.person] = next_task(connection, project, ask.person, holding=holding, lease=lease, now=now)
    return turns


def _with_hands_free(connection: Connection, project: Project, asks: Sequence[Ask], until: datetime) -> list[str]:
    """Those who hold nothing but what they have on screen, whose lease is renewed, and have nothing to do again."""
    who = [ask.person for ask in asks]
    held: dict[str, set[int]] = {person: set() for person in who}
    for person, task in _HELD.all(connection, project=project.id, who=who):
        held[person].add(task)
    if project.review != "none":
        for (person,) in _RETURNED.all(connection, project=project.id, who=who):
            held.pop(person, None)
    free = [
        ask.person
        for ask in asks
        if ask.person in held and len(held[ask.person]) < MAX_HELD and held[ask.person] <= set(ask.holding or ())
    ]
    pairs = [(task, person) for person in free for task in held[person]]
    if pairs:
        tasks_held, holders = zip(*pairs, strict=True)
        _RENEW.all(connection, project=project.id, task=list(tasks_held), who=list(holders), until=until)
    return free


def _take_all(
    connection: Connection, project: Project, people: Sequence[str], until: datetime, now: datetime
) -> dict[str, Turn]:
    """Who comes first gets the first place whose task they have not had; whoever finds none is left."""
    if not people:
        return {}
    free = dict(_FIRST.all(connection, project=project.id, now=now, many=len(people)))
    had = set(_HAD.all(connection, task=list(free.values())))
    theirs: dict[str, int] = {}
    for person in people:
        slot = next((slot for slot, task in free.items() if (task, person) not in had), None)
        if slot is not None:
            del free[slot]
            theirs[person] = slot
    rows = _TAKE.all(connection, slot=list(theirs.values()), who=list(theirs), now=now, until=until)
    return {person: turn_of(row, until) for person, *row in rows}
