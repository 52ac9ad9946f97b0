"""How far a project is, for everybody and for one person."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, Table, exists, func, select, union

from labeling.store.definition import Project
from labeling.store.life import is_pending
from labeling.store.tables import ANSWERED, answers, skips, slots


@dataclass(frozen=True)
class Progress:
    """tasks = done + remaining, without gold ones; a task is done when it has as many answers as the project's overlap.

    answers of needed were given; mine are this person's, skipped are the tasks they passed by. Where answers are
    reviewed, a task is done once all of its are accepted or corrected; to_review wait for that.
    """

    tasks: int
    done: int
    remaining: int
    answers: int
    needed: int
    mine: int
    skipped: int
    to_review: int = 0


def progress(connection: Connection, project: Project, person: str) -> Progress:
    """Counted from the slots still open, which are few when a project is nearly done."""
    is_open = (slots.c.project_id == project.id) & (slots.c.state != ANSWERED) & ~slots.c.gold
    open_slots, open_tasks = connection.execute(
        select(func.count(), func.count(slots.c.task_id.distinct())).where(is_open)
    ).one()
    to_review = 0
    if project.review != "none":
        gold = exists().where(slots.c.id == answers.c.slot_id, slots.c.gold)
        pending = (answers.c.project_id == project.id) & is_pending() & ~gold
        to_review = connection.execute(select(func.count()).where(pending)).scalar_one()
        unfinished = union(select(slots.c.task_id).where(is_open), select(answers.c.task_id).where(pending)).subquery()
        open_tasks = connection.execute(select(func.count()).select_from(unfinished)).scalar_one()
    plain = project.tasks - project.golds
    needed = plain * project.overlap
    return Progress(
        tasks=plain,
        done=plain - open_tasks,
        remaining=open_tasks,
        answers=needed - open_slots,
        needed=needed,
        mine=_count(connection, answers, project, person),
        skipped=_count(connection, skips, project, person),
        to_review=to_review,
    )


def _count(connection: Connection, table: Table, project: Project, person: str) -> int:
    query = select(func.count()).where(table.c.project_id == project.id, table.c.person == person)
    return connection.execute(query).scalar_one()
