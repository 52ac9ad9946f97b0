"""In which order tasks are handed out: each task has a rank, the lowest comes first, equals in the order of import.

Ranks are stored, and copied to the slots the queue looks at, so that taking the next task is one step in an index
however the project is ordered.
"""

from __future__ import annotations

import hashlib
from typing import Any

from sqlalchemy import Connection, bindparam, func, select, update

from labeling.store.definition import NewTask, Project
from labeling.store.tables import ANSWERED, predictions, projects, slots, tasks
from palate.errors import ParameterError

ORDERS = ("import", "priority", "random", "uncertainty")
"""As imported; the highest priority first; shuffled by the project's seed; the least sure prediction first."""
UNPREDICTED = -1.0
"""Under `uncertainty`, nothing is known of a task without a prediction: it comes before all others."""
BATCH = 5_000


def check_order(order: Any) -> None:
    """Raises ParameterError for an order there is not."""
    if order not in ORDERS:
        raise ParameterError(
            f"{str(order)[:40]!r} is no order.", where="order", hint=f"Use one of {', '.join(ORDERS)}."
        )


def rank_of(project: Project, task: NewTask, position: int) -> float:
    """The rank of a task that is imported now."""
    if project.ordering == "priority":
        return float(-task.priority)
    if project.ordering == "random":
        return shuffled(project.seed, position)
    return UNPREDICTED if project.ordering == "uncertainty" else 0.0


def shuffled(seed: int, position: int) -> float:
    """A number from 0 to 1 that depends on the seed and the position alone."""
    digest = hashlib.blake2b(f"{seed}/{position}".encode(), digest_size=6).digest()
    return int.from_bytes(digest, "big") / 2**48


def rank_all(connection: Connection, project: Project) -> None:
    """Rank all tasks anew, after the project's order or its seed has changed."""
    mine = tasks.c.project_id == project.id
    # Imports lock the project's row as well: none ranks its tasks by the order of before.
    connection.execute(update(projects).where(projects.c.id == project.id).values(tasks=projects.c.tasks))
    if project.ordering == "random":
        found = connection.execute(select(tasks.c.id, tasks.c.position).where(mine)).all()
        change = update(tasks).where(tasks.c.id == bindparam("this")).values(rank=bindparam("to"))
        for first in range(0, len(found), BATCH):
            batch = found[first : first + BATCH]
            connection.execute(change, [{"this": each, "to": shuffled(project.seed, at)} for each, at in batch])
    else:
        score = select(predictions.c.score).where(predictions.c.task_id == tasks.c.id).scalar_subquery()
        ranks = {"import": 0.0, "priority": -tasks.c.priority, "uncertainty": func.coalesce(score, UNPREDICTED)}
        connection.execute(update(tasks).where(mine).values(rank=ranks[project.ordering]))
    copy_ranks(connection, project)


def copy_ranks(connection: Connection, project: Project) -> None:
    """From the tasks to those of their slots that are still open."""
    rank = select(tasks.c.rank).where(tasks.c.id == slots.c.task_id).scalar_subquery()
    is_open = (slots.c.project_id == project.id) & (slots.c.state != ANSWERED)
    connection.execute(update(slots).where(is_open, slots.c.rank != rank).values(rank=rank))
