"""Which of ours is which of theirs, and what both sides had when they were last alike.

Every function is part of a transaction that the caller opened.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, insert, or_, select, update

from labeling.label_studio.tables import linked_answers, linked_tasks, links, refused
from labeling.store.definition import Project
from labeling.store.tables import tasks
from palate.errors import ConflictError, UnknownIdError
from palate.store.types import clock

SILENT = timedelta(minutes=2)
"""A synchronisation that has said nothing for so long is dead: another may go on."""
BATCH = 500


class BusyError(ConflictError):
    """Another synchronisation of the project is under way."""


def digest(value: Any) -> str:
    """SHA-256 of a value as JSON, the order of keys aside."""
    plain = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(plain.encode()).hexdigest()


def meaning(result: Sequence[Mapping[str, Any]]) -> list[str]:
    """What an answer says, whatever ids and origins its regions have: equal lists say the same."""
    parts = ("from_name", "to_name", "type", "value")
    told = [
        region if region.get("type") == "relation" else {name: region.get(name) for name in parts} for region in result
    ]
    return sorted(json.dumps(each, sort_keys=True) for each in told)


# Links


@dataclass(frozen=True)
class Link:
    """A project and the Label Studio project `remote_id` at `url`; None while that is being made."""

    project_id: int
    url: str
    remote_id: int | None
    mark: str
    config_digest: str | None
    remote_config_digest: str | None
    seen: str
    seen_at: datetime | None
    synced: datetime | None


def link(connection: Connection, project_id: int) -> Link | None:
    """The project's link, if it has one."""
    columns = [links.c[name] for name in Link.__dataclass_fields__]
    row = connection.execute(select(*columns).where(links.c.project_id == project_id)).first()
    return None if row is None else Link(*row)


def linked_to(connection: Connection, url: str) -> list[int]:
    """Which projects here are linked with some there."""
    return list(connection.execute(select(links.c.project_id).where(links.c.url == url)).scalars())


def linked_with(connection: Connection, url: str, remote_id: int) -> int | None:
    """Which project here is linked with one there."""
    query = select(links.c.project_id).where(links.c.url == url, links.c.remote_id == remote_id)
    found: int | None = connection.execute(query).scalar_one_or_none()
    return found


def make_link(connection: Connection, project_id: int, url: str, remote_id: int | None) -> Link:
    """Link a project. Raises ConflictError if it, or the project there, is linked with another one."""
    present = link(connection, project_id)
    if present is not None:
        if present.url != url or remote_id not in (None, present.remote_id):
            raise ConflictError(
                f"project {project_id} is linked with project {present.remote_id} of {present.url}.",
                hint="A project is kept alike with one other.",
            )
        return present
    if remote_id is not None:
        other = linked_with(connection, url, remote_id)
        if other is not None:
            raise ConflictError(f"project {remote_id} there is linked with project {other} here.", where=url)
    mark = f"palate:{secrets.token_hex(8)}"
    row = {"project_id": project_id, "url": url, "remote_id": remote_id, "mark": mark}
    connection.execute(insert(links).values(row))
    return Link(project_id, url, remote_id, mark, None, None, "", None, None)


def note(connection: Connection, project_id: int, **values: Any) -> None:
    """Set fields of the link."""
    connection.execute(update(links).where(links.c.project_id == project_id).values(**values))


def hold(connection: Connection, project_id: int, holder: str) -> None:
    """Begin a synchronisation, or go on with it. Raises BusyError while another one is at it."""
    now = clock(connection)
    free = or_(links.c.holder.is_(None), links.c.holder == holder, links.c.held_until < now)
    taken = update(links).where(links.c.project_id == project_id, free)
    if connection.execute(taken.values(holder=holder, held_until=now + SILENT)).rowcount == 0:
        raise BusyError(f"project {project_id} is being synchronised already.", hint="Try again once that is done.")


def let_go(connection: Connection, project_id: int, holder: str) -> None:
    """End a synchronisation, whole or not."""
    mine = (links.c.project_id == project_id) & (links.c.holder == holder)
    connection.execute(update(links).where(mine).values(holder=None, held_until=None))


# Tasks


@dataclass(frozen=True)
class Task:
    """One of ours: its number, name, data and place in the queue."""

    id: int
    external_id: str
    data: dict[str, Any]
    position: int
    rank: float


def our_tasks(connection: Connection, project: Project, remote_ids: Iterable[int]) -> dict[int, Task]:
    """Ours by theirs, as far as they are linked."""
    found: dict[int, Task] = {}
    joined = tasks.join(linked_tasks, linked_tasks.c.task_id == tasks.c.id)
    query = select(linked_tasks.c.remote_id, *_TASK).select_from(joined)
    for batch in batched(list(remote_ids)):
        mine = (linked_tasks.c.project_id == project.id) & linked_tasks.c.remote_id.in_(batch)
        for row in connection.execute(query.where(mine)):
            found[row[0]] = Task(*row[1:])
    return found


def unlinked(connection: Connection, project: Project, names: Iterable[str]) -> dict[str, Task]:
    """Ours that are linked with nothing and carry one of these names; gold tasks are never linked."""
    found: dict[str, Task] = {}
    joined = tasks.outerjoin(linked_tasks, linked_tasks.c.task_id == tasks.c.id)
    query = select(*_TASK).select_from(joined).where(tasks.c.project_id == project.id, _UNLINKED)
    for batch in batched(list(names)):
        for row in connection.execute(query.where(tasks.c.external_id.in_(batch))):
            found[row.external_id] = Task(*row)
    return found


def next_unlinked(connection: Connection, project: Project, after: int, limit: int) -> list[Task]:
    """The next of ours that are linked with nothing, in the order of import."""
    joined = tasks.outerjoin(linked_tasks, linked_tasks.c.task_id == tasks.c.id)
    query = select(*_TASK).select_from(joined)
    mine = query.where(tasks.c.project_id == project.id, _UNLINKED, tasks.c.position > after)
    return [Task(*row) for row in connection.execute(mine.order_by(tasks.c.position).limit(limit))]


def link_tasks(connection: Connection, project: Project, pairs: Iterable[tuple[int, int]]) -> None:
    """Of each pair the first is ours, the second theirs."""
    rows = [{"project_id": project.id, "task_id": ours, "remote_id": theirs} for ours, theirs in pairs]
    if rows:
        connection.execute(insert(linked_tasks), rows)


_TASK = (tasks.c.id, tasks.c.external_id, tasks.c.data, tasks.c.position, tasks.c.rank)
_UNLINKED = linked_tasks.c.task_id.is_(None) & tasks.c.gold.is_(None)


# Answers


@dataclass
class Pair:
    """An answer here and an annotation there. digest, remote_digest: what each was when they were last alike.

    remote_id: None while it is being sent.
    """

    id: int
    task_id: int
    person: str
    remote_id: int | None
    digest: str
    remote_digest: str | None


def pairs_of(connection: Connection, task_ids: Sequence[int]) -> dict[int, list[Pair]]:
    """By task."""
    found: dict[int, list[Pair]] = {task: [] for task in task_ids}
    columns = [linked_answers.c[name] for name in Pair.__dataclass_fields__]
    for batch in batched(list(task_ids)):
        query = select(*columns).where(linked_answers.c.task_id.in_(batch)).order_by(linked_answers.c.id)
        for row in connection.execute(query):
            found[row.task_id].append(Pair(*row))
    return found


def add_pair(
    connection: Connection, project: Project, task_id: int, person: str, remote_id: int | None, ours: str, theirs: str
) -> int:
    """ours, theirs: digests. Its number."""
    row = {"project_id": project.id, "task_id": task_id, "person": person, "remote_id": remote_id}
    made = insert(linked_answers).values(**row, digest=ours, remote_digest=theirs).returning(linked_answers.c.id)
    return int(connection.execute(made).scalar_one())


def set_pair(connection: Connection, pair: int, **values: Any) -> None:
    connection.execute(update(linked_answers).where(linked_answers.c.id == pair).values(**values))


def drop_pair(connection: Connection, pair: int) -> None:
    connection.execute(delete(linked_answers).where(linked_answers.c.id == pair))


# What does not fit here


def refusals(connection: Connection, project: Project) -> dict[int, str]:
    """By annotation there: the digest that was refused."""
    query = select(refused.c.remote_id, refused.c.remote_digest).where(refused.c.project_id == project.id)
    return {row.remote_id: row.remote_digest for row in connection.execute(query)}


def refuse(connection: Connection, project: Project, remote_id: int, remote_digest: str, reason: str) -> None:
    allow(connection, project, remote_id)
    row = {"project_id": project.id, "remote_id": remote_id, "remote_digest": remote_digest, "reason": reason}
    connection.execute(insert(refused).values(row))


def allow(connection: Connection, project: Project, remote_id: int) -> None:
    mine = (refused.c.project_id == project.id) & (refused.c.remote_id == remote_id)
    connection.execute(delete(refused).where(mine))


def batched(values: list[Any], size: int = BATCH) -> Iterator[list[Any]]:
    return (values[first : first + size] for first in range(0, len(values), size))


def require_link(connection: Connection, project_id: int) -> Link:
    """Raises UnknownIdError for a project that is linked with nothing."""
    found = link(connection, project_id)
    if found is None:
        raise UnknownIdError(
            f"project {project_id} is kept alike with no Label Studio.", hint="palate label sync begins it."
        )
    return found
