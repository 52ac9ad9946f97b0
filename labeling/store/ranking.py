"""In which order tasks are handed out: each task has a rank, the lowest comes first, equals in the order of import.

Ranks are stored, and copied to the slots the queue looks at, so that taking the next task is one step in an index
however the project is ordered.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, func, select, update

from labeling.store.definition import NewTask, Project
from labeling.store.tables import ANSWERED, is_open, predictions, projects, slots, tasks
from palate.errors import ParameterError

ORDERS = ("import", "priority", "random", "uncertainty", "diversity")
"""As imported; the highest priority first; shuffled by the project's seed; the least sure prediction first; each task
as unlike those before it as can be."""
UNPREDICTED = -1.0
"""Under `uncertainty`, nothing is known of a task without a prediction: it comes before all others."""
WAITING = 2.0
"""Under `diversity` a job ranks tasks from 0 to 1 (`labeling.work.diversity`). Those it does not know yet come after
all others; their rank is the time, in seconds, since when they wait for it."""
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
    if project.ordering == "diversity":
        return time.time()
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
        ranks["diversity"] = time.time()
        connection.execute(update(tasks).where(mine).values(rank=ranks[project.ordering]))
    copy_ranks(connection, project)


def copy_ranks(connection: Connection, project: Project) -> None:
    """From the tasks to those of their slots that are still open."""
    rank = select(tasks.c.rank).where(tasks.c.id == slots.c.task_id).scalar_subquery()
    is_open = (slots.c.project_id == project.id) & (slots.c.state != ANSWERED)
    connection.execute(update(slots).where(is_open, slots.c.rank != rank).values(rank=rank))


def waits(connection: Connection, project: Project) -> float | None:
    """Since when the task that came last waits to be ranked by `diversity`; None if there is none."""
    latest = 0.0
    for number in range(project.overlap):  # one by one, each is the last entry of the queue's index
        mine = (slots.c.project_id == project.id) & (slots.c.number == number) & is_open & ~slots.c.gold
        query = select(slots.c.rank).where(mine).order_by(slots.c.rank.desc()).limit(1)
        latest = max(latest, connection.execute(query).scalar() or 0.0)
    return latest if latest >= WAITING else None


def rank_these(connection: Connection, ranks: Sequence[tuple[int, float]]) -> None:
    """Rank these tasks, by id, and those of their slots that are still open."""
    rows = [{"this": task, "to": rank} for task, rank in ranks]
    if rows:
        for change in (
            update(tasks).where(tasks.c.id == bindparam("this")),
            update(slots).where(slots.c.task_id == bindparam("this"), slots.c.state != ANSWERED),
        ):
            connection.execute(change.values(rank=bindparam("to")), rows)
