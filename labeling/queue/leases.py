"""Leases: the task a person does next, theirs for a while.

The statement that takes a slot both finds and marks it, so two people never get the same one: SQLite lets one writer
in at a time, PostgreSQL skips rows another transaction holds.

A lease ends at its time, yet the slot stays its person's until somebody else needs it: an answer that comes late
still counts if nobody was given the task meanwhile, and is refused if somebody was.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Integer,
    Select,
    and_,
    bindparam,
    literal_column,
    or_,
    select,
    update,
)

from labeling.queue import gold
from labeling.store import budgets
from labeling.store.definition import Project
from labeling.store.life import require_open
from labeling.store.tables import (
    LEASED,
    answers,
    drafts,
    is_free,
    is_held,
    is_open,
    is_returned,
    predictions,
    skips,
    slots,
    tasks,
)
from palate.errors import ConflictError, UnknownIdError
from palate.store.prepared import Prepared
from palate.store.types import clock

LEASE = timedelta(minutes=15)
MAX_HELD = 10
"""Tasks one person may hold in a project at a time: the one shown and those loaded ahead, in a few tabs."""

# Statements of every turn: to make and wrap one costs several times what the database takes to answer it.
_mine = (slots.c.project_id == bindparam("project")) & (slots.c.person == bindparam("who"))
_HELD = Prepared(select(slots.c.task_id).where(_mine, is_held).order_by(slots.c.leased, slots.c.id))
_RENEW = (
    update(slots)
    .where(_mine, is_held, slots.c.task_id.in_(bindparam("these", expanding=True)))
    .values(expires=bindparam("until"))
)
_RETURNED = Prepared(
    select(answers.c.task_id, answers.c.value, answers.c.note)
    .where(answers.c.project_id == bindparam("project"), answers.c.person == bindparam("who"), is_returned)
    .order_by(answers.c.id)
)
_TASK = Prepared(
    select(tasks.c.data).where(tasks.c.id == bindparam("task"), tasks.c.project_id == bindparam("project"))
)
_other = slots.alias("other")
_over = slots.c.expires <= bindparam("now")
# Looked up for each slot in turn: without OFFSET PostgreSQL makes NOT EXISTS a join, for which it reads all that the
# person ever had. And were the 1 a parameter, it would not know how little it is asked for, and plan anew at each call.
_nothing = literal_column("0", Integer)
_had = select(_other.c.id).where(_other.c.task_id == slots.c.task_id, _other.c.person == bindparam("who"))
_skipped = select(skips.c.task_id).where(skips.c.task_id == slots.c.task_id, skips.c.person == bindparam("who"))
_theirs = (
    select(slots.c.id)
    .where(
        slots.c.project_id == bindparam("project"),
        is_open,
        ~slots.c.withheld,
        ~slots.c.gold,
        ~_had.offset(_nothing).exists(),
        ~_skipped.offset(_nothing).exists(),
    )
    .order_by(slots.c.number, slots.c.rank, slots.c.position)
    .limit(literal_column("1", Integer))
)


def _taking(which: ColumnElement[bool]) -> Prepared:
    first = _theirs.where(which).with_for_update(skip_locked=True)
    return Prepared(
        update(slots)
        .where(slots.c.id == first.scalar_subquery())
        .values(state=LEASED, person=bindparam("who"), leased=bindparam("now"), expires=bindparam("until"))
        .returning(slots.c.task_id)
    )


_TAKE, _TAKE_OVER = _taking(or_(is_free, _over)), _taking(_over)
_LEFT = Prepared(_theirs.where(is_free))


def seeing(these: FromClause, who: ColumnElement[str], *more: ColumnElement[Any]) -> Select[Any]:
    """What `turn_of` takes, of `tasks` and what is joined to it, and what a person had begun of them; `more` first."""
    begun = and_(drafts.c.task_id == tasks.c.id, drafts.c.person == who)
    return select(
        *more,
        tasks.c.id,
        tasks.c.position,
        tasks.c.external_id,
        tasks.c.data,
        drafts.c.value.label("draft"),
        predictions.c.value.label("predicted"),
        predictions.c.score,
        predictions.c.model,
    ).select_from(these.outerjoin(drafts, begun).outerjoin(predictions, predictions.c.task_id == tasks.c.id))


_TURN = Prepared(seeing(tasks, bindparam("who")).where(tasks.c.id == bindparam("task")))


@dataclass(frozen=True)
class Suggestion:
    """What a model says of a task, and how sure it is, from 0 to 1."""

    value: list[dict[str, Any]]
    score: float
    model: str


@dataclass(frozen=True)
class Turn:
    """A task in a person's hands.

    value: what they answered before, if they came back to it, or if a reviewer sent it back with this note.
    draft: what they had begun.
    """

    task_id: int
    position: int
    external_id: str
    data: dict[str, Any]
    expires: datetime | None
    value: list[dict[str, Any]] | None = None
    draft: list[dict[str, Any]] | None = None
    note: str | None = None
    suggestion: Suggestion | None = None


def next_task(
    connection: Connection,
    project: Project,
    person: str,
    *,
    holding: Collection[int] = (),
    lease: timedelta = LEASE,
    now: datetime | None = None,
) -> Turn | None:
    """The task this person does next, leased to them; None if there is none for them.

    holding: ids of tasks that the person has on screen or loaded ahead. Any other task they hold comes first, so a
    page that was reloaded finds its place again. Raises ConflictError when the project is paused or over, or its
    budget is spent and there would be more to do.
    """
    now = now or clock(connection)
    require_open(project, now)
    if project.review != "none" and (back := _returned(connection, project, person, holding)) is not None:
        return back
    held = _renew(connection, project, person, holding, now + lease, now)
    full = None
    if held is None:
        budget = budgets.of(connection, project, hold=True)
        full = budget.why if budget is not None and budget.reached else None
        if full is None and gold.is_due(connection, project, person):
            held = gold.take(connection, project, person, now + lease, now)
    if held is None:
        held = _take(connection, project, person, now + lease, now, full)
    return None if held is None else turn(connection, person, held, now + lease)


def _renew(
    connection: Connection, project: Project, person: str, holding: Collection[int], until: datetime, now: datetime
) -> int | None:
    """The first task the person holds and has not on screen, its lease renewed."""
    mine = {"project": project.id, "who": person}
    held: list[int] = [task for (task,) in _HELD.all(connection, **mine)]
    waiting = [task for task in held if task not in holding]
    # Whoever asks for more is at work on what they have on screen.
    renewed = [task for task in held if task in holding] + waiting[:1]
    if renewed:
        connection.execute(_RENEW, {**mine, "these": renewed, "until": until})
    if not waiting:
        if len(held) >= MAX_HELD:
            raise ConflictError(
                f"{len(held)} tasks of this project are in your hands already.",
                hint="Answer or skip them first; asking with an empty `holding` gives them again.",
            )
        return None
    return waiting[0]


def _returned(connection: Connection, project: Project, person: str, holding: Collection[int]) -> Turn | None:
    """The first answer that a reviewer sent back to the person and that is not on their screen."""
    for task, value, note in _RETURNED.all(connection, project=project.id, who=person):
        if task not in holding:
            return replace(turn(connection, person, task, None, value), note=note)
    return None


def _take(
    connection: Connection, project: Project, person: str, until: datetime, now: datetime, full: str | None
) -> int | None:
    """A free slot, or one whose lease is over, of a task this person has neither held, answered nor skipped.

    First slots come before second ones, so every task gets one answer before any gets two; among them the rank decides.
    full: why nothing more may be handed out. A place whose lease is over may be all the same: it changes hands.
    """
    take = _TAKE if full is None else _TAKE_OVER
    found = take.first(connection, project=project.id, who=person, now=now, until=until)
    if found is None and full is not None and _LEFT.first(connection, project=project.id, who=person) is not None:
        raise spent(full)
    return None if found is None else found[0]


def turn(connection: Connection, person: str, task_id: int, expires: datetime | None, value: Any = None) -> Turn:
    """The task as the person sees it, with what they had begun and what a model suggests."""
    (found,) = _TURN.all(connection, task=task_id, who=person)
    return turn_of(found, expires, value)


def turn_of(row: Sequence[Any], expires: datetime | None, value: Any = None) -> Turn:
    """From what `seeing` selects."""
    task_id, position, external_id, data, draft, predicted, score, model = row
    suggestion = None if model is None else Suggestion(predicted, score, model)
    return Turn(task_id, position, external_id, data, expires, value, draft, suggestion=suggestion)


def stale(task_id: int) -> ConflictError:
    """The refusal of a turn on a task that is not in the person's hands."""
    return ConflictError(
        f"task {task_id} is not leased to you: your lease ended and the task went to somebody else, or it was never "
        "yours. The answer was not stored.",
        where="task",
        hint="Ask for the next task.",
    )


def spent(why: str) -> ConflictError:
    """The refusal of more work than the project's budget allows."""
    return ConflictError(why, where="budget", hint="An administrator of the project can raise it.")


def require_task(connection: Connection, project: Project, task_id: int) -> dict[str, Any]:
    """The task's data. Raises UnknownIdError."""
    found = _TASK.first(connection, task=task_id, project=project.id) if 0 < task_id < 2**63 else None
    if found is None:
        raise unknown(project, task_id)
    data: dict[str, Any] = found[0]
    return data


def unknown(project: Project, task_id: int) -> UnknownIdError:
    """The refusal of a task that the project has not."""
    return UnknownIdError(f"project {project.id} has no task {task_id}.")
