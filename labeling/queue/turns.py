"""A person's turns: take the next task, answer it, skip it, go back.

Each function is one transaction's work on a connection the caller opened for writing. The statement that takes a
slot both finds and marks it, so two people never get the same one: SQLite lets one writer in at a time, PostgreSQL
skips rows another transaction holds.

A lease ends at its time, yet the slot stays its person's until somebody else needs it: an answer that comes late
still counts if nobody was given the task meanwhile, and is refused if somebody was.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, exists, insert, null, or_, select, update

from labeling.answers import check
from labeling.store.definition import Project
from labeling.store.life import require_open
from labeling.store.remarks import check_remark
from labeling.store.tables import ANSWERED, FREE, LEASED, answers, skips, slots, tasks
from palate.errors import ConflictError, UnknownIdError
from palate.store.types import clock

LEASE = timedelta(minutes=15)
MAX_HELD = 10
"""Tasks one person may hold in a project at a time: the one shown and those loaded ahead, in a few tabs."""


@dataclass(frozen=True)
class Turn:
    """A task in a person's hands. `value` is what they answered before, if they came back to it."""

    task_id: int
    position: int
    external_id: str
    data: dict[str, Any]
    expires: datetime | None
    value: list[dict[str, Any]] | None = None


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
    page that was reloaded finds its place again. Raises ConflictError when the project is paused or over.
    """
    now = now or clock(connection)
    require_open(project, now)
    held = _renew(connection, project, person, holding, now + lease, now)
    if held is None:
        held = _take(connection, project, person, now + lease, now)
    return None if held is None else _turn(connection, held, now + lease)


def _renew(
    connection: Connection, project: Project, person: str, holding: Collection[int], until: datetime, now: datetime
) -> int | None:
    """The first task the person holds and has not on screen, its lease renewed."""
    mine = (slots.c.project_id == project.id) & (slots.c.person == person) & (slots.c.state == LEASED)
    held = list(connection.execute(select(slots.c.task_id).where(mine).order_by(slots.c.leased, slots.c.id)).scalars())
    shown = [task for task in held if task in set(holding)]
    if shown:  # whoever asks for more is at work on these
        connection.execute(update(slots).where(mine, slots.c.task_id.in_(shown)).values(expires=until))
    waiting = [task for task in held if task not in set(holding)]
    if not waiting:
        if len(held) >= MAX_HELD:
            raise ConflictError(
                f"{len(held)} tasks of this project are in your hands already.",
                hint="Answer or skip them first; asking with an empty `holding` gives them again.",
            )
        return None
    connection.execute(update(slots).where(mine, slots.c.task_id == waiting[0]).values(expires=until))
    found: int = waiting[0]
    return found


def _take(connection: Connection, project: Project, person: str, until: datetime, now: datetime) -> int | None:
    """A free slot, or one whose lease is over, of a task this person has neither held, answered nor skipped.

    First slots come before second ones, so every task gets one answer before any gets two.
    """
    other = slots.alias("other")
    theirs = exists().where(other.c.task_id == slots.c.task_id, other.c.person == person)
    passed = exists().where(skips.c.task_id == slots.c.task_id, skips.c.person == person)
    found = (
        select(slots.c.id)
        .where(
            slots.c.project_id == project.id,
            slots.c.state != ANSWERED,
            or_(slots.c.state == FREE, slots.c.expires <= now),
            ~theirs,
            ~passed,
        )
        .order_by(slots.c.number, slots.c.position)
        .limit(1)
        .with_for_update(skip_locked=True)
        .scalar_subquery()
    )
    taken = (
        update(slots)
        .where(slots.c.id == found)
        .values(state=LEASED, person=person, leased=now, expires=until)
        .returning(slots.c.task_id)
    )
    return connection.execute(taken).scalar_one_or_none()


def _turn(connection: Connection, task_id: int, expires: datetime | None, value: Any = None) -> Turn:
    row = connection.execute(select(tasks).where(tasks.c.id == task_id)).mappings().one()
    return Turn(task_id, row["position"], row["external_id"], row["data"], expires, value)


def submit(
    connection: Connection,
    project: Project,
    person: str,
    task_id: int,
    value: Any,
    *,
    seconds: float | None = None,
    now: datetime | None = None,
) -> bool:
    """Store the person's answer; True if it is new, False if they had answered already and this replaces it.

    value: in either form that `labeling.answers.check` takes. Sending the same answer again changes nothing.
    Raises ConflictError if the person no longer holds the task.
    """
    now = now or clock(connection)
    value = check(project.interface, require_task(connection, project, task_id), value)
    mine = (answers.c.task_id == task_id) & (answers.c.person == person)
    present = connection.execute(select(answers.c.value).where(mine)).scalar_one_or_none()
    if present is not None:
        if present != value:
            connection.execute(update(answers).where(mine).values(value=value, updated=now))
        return False
    slot = connection.execute(
        update(slots)
        .where(slots.c.task_id == task_id, slots.c.person == person, slots.c.state == LEASED)
        .values(state=ANSWERED, expires=None)
        .returning(slots.c.id)
    ).scalar_one_or_none()
    if slot is None:
        raise stale(task_id)
    connection.execute(
        insert(answers).values(
            project_id=project.id,
            task_id=task_id,
            slot_id=slot,
            person=person,
            value=value,
            seconds=seconds,
            created=now,
            updated=now,
        )
    )
    return True


def stale(task_id: int) -> ConflictError:
    """The refusal of a turn on a task that is not in the person's hands."""
    return ConflictError(
        f"task {task_id} is not leased to you: your lease ended and the task went to somebody else, or it was never "
        "yours. The answer was not stored.",
        where="task",
        hint="Ask for the next task.",
    )


def skip(
    connection: Connection,
    project: Project,
    person: str,
    task_id: int,
    *,
    reason: str | None = None,
    now: datetime | None = None,
) -> None:
    """Give the task back for others to do; this person is not offered it again unless they ask for it.

    An answer they had given is withdrawn with it. Raises ConflictError if the task is not in their hands.
    """
    now = now or clock(connection)
    if reason is not None:
        check_remark(reason, "reason")
    require_task(connection, project, task_id)
    mine = (skips.c.task_id == task_id) & (skips.c.person == person)
    if connection.execute(select(skips.c.task_id).where(mine)).first() is not None:
        return
    connection.execute(delete(answers).where(answers.c.task_id == task_id, answers.c.person == person))
    freed = connection.execute(
        update(slots)
        .where(slots.c.task_id == task_id, slots.c.person == person)
        .values(state=FREE, person=None, leased=None, expires=None)
        .returning(slots.c.id)
    ).first()
    if freed is None:
        raise stale(task_id)
    skipped = {"task_id": task_id, "person": person, "project_id": project.id, "created": now, "reason": reason}
    connection.execute(insert(skips), skipped)


def undo(
    connection: Connection,
    project: Project,
    person: str,
    *,
    before: int | None = None,
    lease: timedelta = LEASE,
    now: datetime | None = None,
) -> Turn | None:
    """The task of the person's last turn; None if they have none.

    before: the task they have before them; if they came back to that one, the turn before it is given.
    An answer stays stored and counts until it is replaced or the task is skipped. A skipped task is leased again;
    if others have taken it meanwhile it stays skipped and ConflictError says so.
    """
    now = now or clock(connection)
    since = None
    if before is not None and 0 < before < 2**63:
        since = _turned(connection, project, person, before)
    last = _last(connection, project, person, since)
    if last is None:
        return None
    task_id, value = last
    if value is not None:
        return _turn(connection, task_id, None, value)
    free = (
        select(slots.c.id)
        .where(slots.c.task_id == task_id, or_(slots.c.state == FREE, slots.c.expires <= now))
        .order_by(slots.c.number)
        .limit(1)
        .with_for_update(skip_locked=True)
        .scalar_subquery()
    )
    taken = connection.execute(
        update(slots)
        .where(slots.c.id == free)
        # Leased since long ago, so that it comes before tasks loaded ahead if the page is reloaded.
        .values(state=LEASED, person=person, leased=now - timedelta(days=1), expires=now + lease)
        .returning(slots.c.id)
    ).first()
    if taken is None:
        raise ConflictError(f"task {task_id}, which you skipped, is with somebody else now.", where="task")
    connection.execute(delete(skips).where(skips.c.task_id == task_id, skips.c.person == person))
    return _turn(connection, task_id, now + lease)


def _turned(connection: Connection, project: Project, person: str, task_id: int) -> datetime | None:
    """When the person answered or skipped the task, None if they did not."""
    for table in (answers, skips):
        query = select(table.c.created).where(
            table.c.project_id == project.id, table.c.task_id == task_id, table.c.person == person
        )
        found: datetime | None = connection.execute(query).scalar_one_or_none()
        if found is not None:
            return found
    return None


def _last(connection: Connection, project: Project, person: str, since: datetime | None) -> tuple[int, Any] | None:
    """The task of the latest turn, before `since` if given, and its answer (None if it was skipped)."""
    found: list[tuple[datetime, int, Any]] = []
    for table in (answers, skips):
        answer = answers.c.value if table is answers else null()
        query = select(table.c.created, table.c.task_id, answer).where(
            table.c.project_id == project.id, table.c.person == person
        )
        if since is not None:
            query = query.where(table.c.created < since)
        row = connection.execute(query.order_by(table.c.created.desc(), table.c.task_id.desc()).limit(1)).first()
        if row is not None:
            found.append((row[0], row[1], row[2]))
    if not found:
        return None
    _, task_id, value = max(found, key=lambda turn: turn[0])
    return task_id, value


def return_skipped(connection: Connection, project: Project, person: str) -> int:
    """Offer the person the tasks they skipped once more; how many."""
    gone = connection.execute(delete(skips).where(skips.c.project_id == project.id, skips.c.person == person))
    return gone.rowcount


def require_task(connection: Connection, project: Project, task_id: int) -> dict[str, Any]:
    """The task's data. Raises UnknownIdError."""
    query = select(tasks.c.data).where(tasks.c.id == task_id, tasks.c.project_id == project.id)
    found = connection.execute(query).first() if 0 < task_id < 2**63 else None
    if found is None:
        raise UnknownIdError(f"project {project.id} has no task {task_id}.")
    data: dict[str, Any] = found[0]
    return data
