"""A person's turns: answer the task in their hands, skip it, go back.

Each function is one transaction's work on a connection the caller opened for writing.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import BindParameter, Connection, and_, bindparam, delete, insert, null, or_, select, update

from labeling.answers import check
from labeling.hooks.announce import announce
from labeling.queue.drafts import forget
from labeling.queue.leases import LEASE, Turn, require_task, spent, stale, turn, unknown
from labeling.store import budgets
from labeling.store.definition import Project
from labeling.store.life import require_open
from labeling.store.remarks import check_remark
from labeling.store.tables import ANSWERED, FREE, LEASED, answers, drafts, is_held, skips, slots, tasks
from palate.errors import ConflictError
from palate.store.prepared import Prepared
from palate.store.types import clock

# Statements of every turn are made once, as in `labeling.queue.leases`.
_who: BindParameter[str] = bindparam("who")
_BEFORE = Prepared(
    select(tasks.c.data, answers.c.id, answers.c.value, answers.c.verdict, drafts.c.task_id.label("draft"))
    .select_from(
        tasks.outerjoin(answers, and_(answers.c.task_id == tasks.c.id, answers.c.person == _who)).outerjoin(
            drafts, and_(drafts.c.task_id == tasks.c.id, drafts.c.person == _who)
        )
    )
    .where(tasks.c.id == bindparam("task"), tasks.c.project_id == bindparam("project"))
)
_FILL = Prepared(
    update(slots)
    .where(slots.c.task_id == bindparam("task"), slots.c.person == _who, is_held)
    .values(state=ANSWERED, expires=None)
    .returning(slots.c.id)
)
_ANSWER = Prepared(
    insert(answers).values(
        {
            name: bindparam(name)
            for name in ("project_id", "task_id", "slot_id", "person", "value", "seconds", "created")
        }
        | {"updated": bindparam("created")}
    )
)


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

    value: in either form that `labeling.answers.check` takes. Sending the same answer again changes nothing; another
    one, and one that was sent back, waits for a review again.
    Raises ConflictError if the person no longer holds the task.
    """
    now = now or clock(connection)
    this: dict[str, Any] = {"task": task_id, "who": person}
    before = _BEFORE.first(connection, project=project.id, **this) if 0 < task_id < 2**63 else None
    if before is None:
        raise unknown(project, task_id)
    data, answered, was, verdict, draft = before
    value = check(project.interface, data, value)
    if draft is not None:
        forget(connection, person, task_id)
    if answered is not None:
        if was != value or verdict == "returned":
            anew = {"verdict": None, "reviewer": None, "review_expires": None, "note": None, "original": None}
            anew |= {"suspect": None}
            mine = (answers.c.task_id == task_id) & (answers.c.person == person)
            connection.execute(update(answers).where(mine).values(value=value, updated=now, changed=now, **anew))
        return False
    filled = _FILL.first(connection, **this)
    if filled is None:
        raise stale(task_id)
    place = {"project_id": project.id, "task_id": task_id, "slot_id": filled[0], "person": person}
    _ANSWER.all(connection, **place, value=value, seconds=seconds, created=now)
    return True


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
    withdraw(connection, project, task_id, person)
    forget(connection, person, task_id)
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


def withdraw(connection: Connection, project: Project, task_id: int, person: str) -> None:
    """Take the person's answer to the task away, if there is one, and have it told."""
    theirs = (answers.c.task_id == task_id) & (answers.c.person == person)
    gone = connection.execute(delete(answers).where(theirs).returning(answers.c.id)).first()
    if gone is not None:
        name = connection.execute(select(tasks.c.external_id).where(tasks.c.id == task_id)).scalar_one()
        one = {"id": gone.id, "task": task_id, "external_id": name, "person": person}
        announce(connection, project, "answers.withdrawn", answers=[one])


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
    if others have taken it meanwhile, or nothing is handed out now, it stays skipped and ConflictError says so.
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
        return turn(connection, person, task_id, None, value)
    require_open(project, now)
    budget = budgets.of(connection, project, hold=True)
    full = budget is not None and budget.reached is not None
    over = slots.c.expires <= now
    free = (
        select(slots.c.id)
        .where(slots.c.task_id == task_id, over if full else or_(slots.c.state == FREE, over))
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
        if budget is not None and full:
            raise spent(budget.why)
        raise ConflictError(f"task {task_id}, which you skipped, is with somebody else now.", where="task")
    connection.execute(delete(skips).where(skips.c.task_id == task_id, skips.c.person == person))
    return turn(connection, person, task_id, now + lease)


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
