"""What the recommender wants to know, first in the queue: its wanted items become tasks, and these come by how much."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, bindparam, select, update

from labeling.store import life, projects
from labeling.store.definition import MAX_PRIORITY, NewTask, Project
from labeling.store.ranking import copy_ranks
from labeling.store.tables import tasks
from palate.client.answers import WantedItem
from palate.client.catalogue import Catalogue, Item
from palate.store import writing

MOST = 10_000
"""Items that the recommender is asked about."""
SCALE = 1_000
"""A score as a priority: whole numbers, which keep three digits behind the point."""
_BATCH = 500


@dataclass(frozen=True)
class Wanted:
    """How many tasks were added, and how many that were there got another priority."""

    added: int
    changed: int


def take_wanted(
    engine: Engine, project_id: int, wanted: Sequence[WantedItem], catalogue: Catalogue, limit: int
) -> Wanted:
    """Have the project ask for these items first, the most wanted of all before the others.

    Of the first `limit`, those it lacks are added, as the catalogue has them; a task's external id is the item's. Tasks
    of all of them get their place by what they are worth now, so that one which was wanted more goes back. From now on
    the project goes by priority.
    """
    with writing(engine) as db:
        project = projects.get(db, project_id)
        present = _present(db, project, [str(each.item) for each in wanted])
    new = [
        NewTask(str(each.item), _data(str(each.item), catalogue.item(str(each.item)) or {}), _priority(each))
        for each in wanted[:limit]
        if str(each.item) not in present
    ]
    with writing(engine) as db:
        project = projects.get(db, project_id)
        if project.ordering != "priority":
            life.change(db, project, {"ordering": "priority"})
            project = projects.get(db, project_id)
        added = projects.add_tasks(db, project, new)
        rows = [
            {"this": present[str(each.item)][0], "to": _priority(each), "rank_to": float(-_priority(each))}
            for each in wanted
            if str(each.item) in present and present[str(each.item)][1] != _priority(each)
        ]
        if rows:
            change = update(tasks).where(tasks.c.id == bindparam("this"))
            db.execute(change.values(priority=bindparam("to"), rank=bindparam("rank_to")), rows)
            copy_ranks(db, project)
    return Wanted(added, len(rows))


def _present(db: Connection, project: Project, names: Sequence[str]) -> dict[str, tuple[int, int]]:
    """The id and the priority of each task that is there."""
    found: dict[str, tuple[int, int]] = {}
    for first in range(0, len(names), _BATCH):
        query = select(tasks.c.external_id, tasks.c.id, tasks.c.priority).where(
            tasks.c.project_id == project.id, tasks.c.external_id.in_(names[first : first + _BATCH])
        )
        found.update({row.external_id: (row.id, row.priority) for row in db.execute(query)})
    return found


def _priority(wanted: WantedItem) -> int:
    return min(round(SCALE * wanted.score), MAX_PRIORITY)


def _data(name: str, item: Item) -> dict[str, object]:
    """What people see of an item: what is known of it, without what they are asked for."""
    shown = {"item_id": name, "title": item.get("title") or name, "text": item.get("text"), "tags": item.get("tags")}
    return {key: value for key, value in shown.items() if value}
