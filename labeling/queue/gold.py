"""Gold tasks: those whose answer is known, mixed in among the others to see how well people answer.

They are for everybody: a gold task has no slots until it is handed out, and then one for each person. So it never
counts against the overlap, and the constraints on slots hold for it as for any other.
"""

from __future__ import annotations

import zlib
from datetime import datetime

from sqlalchemy import Connection, exists, func, insert, select, update

from labeling.store.definition import Project
from labeling.store.tables import FREE, LEASED, answers, skips, slots, tasks


def is_due(connection: Connection, project: Project, person: str) -> bool:
    """Whether this person's next task is a gold one: one in every so many is, nobody can tell which."""
    if project.gold_rate <= 0 or project.golds == 0:
        return False
    size = max(1, round(1 / project.gold_rate))
    block, place = divmod(_tasks_so_far(connection, project, person), size)
    return place == zlib.crc32(f"{project.id}/{person}/{block}".encode()) % size


def _tasks_so_far(connection: Connection, project: Project, person: str) -> int:
    answered = select(func.count()).where(answers.c.project_id == project.id, answers.c.person == person)
    held = select(func.count()).where(
        slots.c.project_id == project.id, slots.c.person == person, slots.c.state == LEASED
    )
    return connection.execute(answered).scalar_one() + connection.execute(held).scalar_one()


def take(connection: Connection, project: Project, person: str, until: datetime, now: datetime) -> int | None:
    """The id of a gold task this person has not had, leased to them; None if there is none."""
    theirs = exists().where(slots.c.task_id == tasks.c.id, slots.c.person == person)
    passed = exists().where(skips.c.task_id == tasks.c.id, skips.c.person == person)
    # Who makes a slot for a gold task locks its row first, so that no two make one of the same number.
    found = connection.execute(
        select(tasks.c.id, tasks.c.position, tasks.c.rank)
        .where(tasks.c.project_id == project.id, tasks.c.gold.is_not(None), ~theirs, ~passed)
        .order_by(tasks.c.position)
        .limit(1)
        .with_for_update(skip_locked=True)
    ).first()
    if found is None:
        return None
    held = {"state": LEASED, "person": person, "leased": now, "expires": until}
    free = select(func.min(slots.c.id)).where(slots.c.task_id == found.id, slots.c.state == FREE).scalar_subquery()
    if not connection.execute(update(slots).where(slots.c.id == free).values(held)).rowcount:
        number = connection.execute(select(func.max(slots.c.number)).where(slots.c.task_id == found.id)).scalar_one()
        place = {"position": found.position, "rank": found.rank, "number": 0 if number is None else number + 1}
        row = {"project_id": project.id, "task_id": found.id, "gold": True}
        connection.execute(insert(slots).values(row | place | held))
    task: int = found.id
    return task
