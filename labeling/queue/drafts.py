"""Drafts: what a person has begun to answer, kept for them, never counted and never shown to others."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, delete, exists, insert, select

from labeling.answers import check
from labeling.queue.leases import require_task, stale
from labeling.store.definition import Project
from labeling.store.tables import drafts, slots
from palate.store.prepared import Prepared
from palate.store.types import clock

_FORGET = Prepared(delete(drafts).where(drafts.c.task_id == bindparam("task"), drafts.c.person == bindparam("who")))


def keep(
    connection: Connection, project: Project, person: str, task_id: int, value: Any, *, now: datetime | None = None
) -> None:
    """Keep the draft in place of an earlier one; None forgets it.

    What is in it must fit the project, but nothing need be whole. Raises ConflictError if the task is not theirs.
    """
    data = require_task(connection, project, task_id)
    if value is None:
        forget(connection, person, task_id)
        return
    value = check(project.interface, data, value, whole=False)
    mine = exists().where(slots.c.task_id == task_id, slots.c.person == person)
    if not connection.execute(select(mine)).scalar_one():
        raise stale(task_id)
    forget(connection, person, task_id)
    row = {"task_id": task_id, "person": person, "project_id": project.id, "value": value}
    connection.execute(insert(drafts), row | {"updated": now or clock(connection)})


def forget(connection: Connection, person: str, task_id: int) -> None:
    """Forget the person's draft, if there is one."""
    _FORGET.all(connection, task=task_id, who=person)
