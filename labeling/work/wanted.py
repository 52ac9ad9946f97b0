"""What the recommender wants to know, first in the queue: its wanted items become tasks, and these come by how much."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import Connection, Engine, bindparam, func, select, update

from labeling.store import life, projects
from labeling.store.definition import MAX_PRIORITY, NewTask, Project
from labeling.store.ranking import copy_ranks
from labeling.store.tables import is_open, slots, tasks
from labeling.work.abreast import abreast
from palate.client.answers import WantedItem
from palate.client.catalogue import Catalogue, Item
from palate.store import writing

SCALE = 1_000
"""A score as a priority: whole numbers, which keep three digits behind the point."""
_BATCH = 500
T = TypeVar("T")


@dataclass(frozen=True)
class Wanted:
    """How many tasks were added, how many that were there got another priority; how many wanted items are still to be
    answered.
    """

    added: int
    changed: int
    waiting: int


def take_wanted(
    engine: Engine, project_id: int, wanted: Sequence[WantedItem], catalogue: Catalogue, limit: int
) -> Wanted:
    """Have the project ask for these items first, the most wanted of all before the others.

    Of the first `limit`, those it lacks are added, as the catalogue has them; a task's external id is the item's. Tasks
    of all of them get their place by what they are worth now, and no other task stays before them: one which was wanted
    more, or is wanted no longer, goes back. From now on the project goes by priority.
    """
    worth = {str(each.item): _priority(each) for each in wanted}
    with writing(engine) as db:
        project = projects.get(db, project_id)
        present = _present(db, project, list(worth))
    lacking = [item for item in list(worth)[:limit] if item not in present]
    known = abreast(catalogue.item, lacking)
    new = [NewTask(name, _data(name, item or {}), worth[name]) for name, item in zip(lacking, known, strict=True)]
    with writing(engine) as db:
        project = projects.get(db, project_id)
        if project.ordering != "priority":
            life.change(db, project, {"ordering": "priority"})
            project = projects.get(db, project_id)
        added = projects.add_tasks(db, project, new)
        moved = {present[item][0]: to for item, to in worth.items() if item in present and present[item][1] != to}
        if worth:
            behind = min(worth.values()) - 1
            moved.update(dict.fromkeys(_before(db, project, behind, worth), behind))
        if moved:
            change = update(tasks).where(tasks.c.id == bindparam("this"))
            rows = [{"this": task, "to": to, "rank_to": float(-to)} for task, to in moved.items()]
            db.execute(change.values(priority=bindparam("to"), rank=bindparam("rank_to")), rows)
            copy_ranks(db, project)
        return Wanted(added, len(moved), added + _open(db, [task for task, _ in present.values()]))


def _present(db: Connection, project: Project, names: Sequence[str]) -> dict[str, tuple[int, int]]:
    """The id and the priority of each task that is there."""
    found: dict[str, tuple[int, int]] = {}
    for some in _batches(names):
        query = select(tasks.c.external_id, tasks.c.id, tasks.c.priority).where(
            tasks.c.project_id == project.id, tasks.c.external_id.in_(some)
        )
        found.update({row.external_id: (row.id, row.priority) for row in db.execute(query)})
    return found


def _before(db: Connection, project: Project, priority: int, wanted: Container[str]) -> list[int]:
    """The tasks of other items that come before those of this priority."""
    query = select(tasks.c.id, tasks.c.external_id).where(tasks.c.project_id == project.id, tasks.c.priority > priority)
    return [row.id for row in db.execute(query) if row.external_id not in wanted]


def _open(db: Connection, found: Sequence[int]) -> int:
    """How many of these tasks lack an answer."""
    count = select(func.count(slots.c.task_id.distinct())).where(is_open)
    return sum(db.execute(count.where(slots.c.task_id.in_(some))).scalar_one() for some in _batches(found))


def _batches(things: Sequence[T]) -> Iterator[Sequence[T]]:
    return (things[first : first + _BATCH] for first in range(0, len(things), _BATCH))


def _priority(wanted: WantedItem) -> int:
    return min(round(SCALE * wanted.score), MAX_PRIORITY)


def _data(name: str, item: Item) -> dict[str, object]:
    """What people see of an item: what is known of it, without what they are asked for."""
    shown = {"item_id": name, "title": item.get("title") or name}
    shown |= {key: item.get(key) for key in ("text", "tags", "image")}
    return {key: value for key, value in shown.items() if value}
