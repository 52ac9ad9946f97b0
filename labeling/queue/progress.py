"""How far a project is, for everybody and for one person."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, Table, func, select

from labeling.store.definition import Project
from labeling.store.tables import ANSWERED, answers, skips, slots


@dataclass(frozen=True)
class Progress:
    """tasks = done + remaining, without gold ones; a task is done when it has as many answers as the project's overlap.

    answers of needed were given; mine are this person's, skipped are the tasks they passed by.
    """

    tasks: int
    done: int
    remaining: int
    answers: int
    needed: int
    mine: int
    skipped: int


def progress(connection: Connection, project: Project, person: str) -> Progress:
    """Counted from the slots still open, which are few when a project is nearly done."""
    is_open = (slots.c.project_id == project.id) & (slots.c.state != ANSWERED) & ~slots.c.gold
    open_slots, open_tasks = connection.execute(
        select(func.count(), func.count(slots.c.task_id.distinct())).where(is_open)
    ).one()
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
    )


def _count(connection: Connection, table: Table, project: Project, person: str) -> int:
    query = select(func.count()).where(table.c.project_id == project.id, table.c.person == person)
    return connection.execute(query).scalar_one()
