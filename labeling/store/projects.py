"""Projects and their tasks: made, read, added to.

Every function takes a connection inside a transaction that the caller opened, so that a project and its tasks
are written together or not at all.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Integer, Text, bindparam, func, insert, literal, or_, select, text, true, update

from labeling.answers import check
from labeling.store.definition import Definition, NewTask, Project
from labeling.store.each import each
from labeling.store.ranking import rank_of
from labeling.store.tables import answers, automatic, consensus, projects, rounds, runs, slots, tasks
from palate.errors import ConflictError, ParameterError, UnknownIdError
from palate.store.prepared import Prepared
from palate.store.types import clock

BATCH = 5_000
"""Rows per statement on import: bounds the memory of one import, not its size."""
MANY = 1_000
"""New tasks from which on PostgreSQL is told to count anew, if the project has become at least twice as large."""
_one = select(projects).where(projects.c.id == bindparam("project"))
_enter = _one.add_columns(
    # This first, then the clock: that of a turn is read once it is this turn's turn.
    func.pg_advisory_xact_lock(bindparam("turns", type_=Integer), bindparam("mine", type_=Integer)).label("alone"),
    func.clock_timestamp().label("now"),
)
_ONE = Prepared(_one)
_ONE_HELD = Prepared(_one.with_for_update(read=True, key_share=True))
_ENTER = Prepared(_enter)
_ENTER_HELD = Prepared(_enter.with_for_update(of=projects, read=True, key_share=True))
_person = each("person", mine=Integer, who=Text)
_ALONE = Prepared(
    select(_person.c.who).where(func.pg_try_advisory_xact_lock(bindparam("turns", type_=Integer), _person.c.mine))
)
_ENTER_ALL = Prepared(
    _one.add_columns(
        func.clock_timestamp().label("now"),
        # Less than after what PostgreSQL looks for a deadlock: it is not the others that then give up.
        func.set_config("lock_timeout", "500ms", true()).label("patience"),
    ).with_for_update(of=projects, read=True, key_share=True, skip_locked=True)
)
_TURNS = zlib.crc32(b"palate labeling turns") - 2**31
"""Which of PostgreSQL's advisory locks are those of turns."""


def create(connection: Connection, definition: Definition) -> tuple[Project, bool]:
    """The project of this title, and whether it was made now.

    Asking again for the same project gives the one there is; another definition under its title raises ConflictError.
    """
    present = connection.execute(select(projects).where(projects.c.title == definition.title)).mappings().first()
    if present is not None:
        project = Project.of(present)
        same = (project.config, project.overlap) == (definition.config, definition.overlap)
        if not same or (definition.instructions and definition.instructions != project.instructions):
            raise ConflictError(
                f"there is a project {definition.title!r} already, and it is defined differently.",
                where="title",
                hint=f"Add tasks to project {project.id}, or choose another title.",
            )
        return project, False
    made = connection.execute(
        insert(projects).returning(projects),
        {
            "title": definition.title,
            "kind": definition.kind,
            "labels": list(definition.labels),
            "instructions": definition.instructions,
            "overlap": definition.overlap,
            "config": definition.config,
            "created": clock(connection),
        },
    )
    return Project.of(made.mappings().one()), True


def get(connection: Connection, project_id: int, *, hold: bool = False) -> Project:
    """The project. Raises UnknownIdError.

    hold: what it asks stays as it is until the transaction ends. Imports and other turns go on all the same.
    """
    found = None
    if 0 < project_id < 2**63:
        found = (_ONE_HELD if hold else _ONE).made(connection, Project.of, project=project_id)
    if found is None:
        raise _unknown(project_id)
    return found


def enter(connection: Connection, project_id: int, person: str, *, hold: bool = False) -> tuple[Project, datetime]:
    """The project for a turn of this person, and the time. Until the transaction ends no other turn of theirs begins,
    also on another machine. Raises UnknownIdError.
    """
    if connection.dialect.name != "postgresql":  # SQLite lets one writer in at a time anyway
        return get(connection, project_id), clock(connection)
    if not 0 < project_id < 2**63:
        raise _unknown(project_id)
    mine = _place(project_id, person)
    found = (_ENTER_HELD if hold else _ENTER).named(connection, project=project_id, turns=_TURNS, mine=mine)
    if found is None:
        raise _unknown(project_id)
    del found["alone"]
    now: datetime = found.pop("now")
    return Project.of(found), now.astimezone(UTC)


def enter_all(
    connection: Connection, project_id: int, people: Sequence[str]
) -> tuple[Project, datetime, set[str]] | None:
    """As `enter` with `hold`, for turns of several people; None if there is no such project, or it is held by others.

    With those of them of whom no other turn is under way: none is waited for, nor any lock for more than half a second,
    after which statements raise StoreError. On PostgreSQL only.
    """
    if not 0 < project_id < 2**63:
        return None
    places = [_place(project_id, person) for person in people]
    free = {person for (person,) in _ALONE.all(connection, turns=_TURNS, mine=places, who=list(people))}
    found = _ENTER_ALL.named(connection, project=project_id)
    if found is None:
        return None
    del found["patience"]
    now: datetime = found.pop("now")
    return Project.of(found), now.astimezone(UTC), free


def _place(project_id: int, person: str) -> int:
    """Of a person's turns among those of everybody."""
    return zlib.crc32(f"{project_id}\n{person}".encode()) - 2**31


def _unknown(project_id: int) -> UnknownIdError:
    return UnknownIdError(
        f"there is no project {project_id}.", hint="GET /v1/projects and palate label list name them."
    )


def listed(connection: Connection) -> list[Project]:
    """All projects, the newest first."""
    rows = connection.execute(select(projects).order_by(projects.c.created.desc(), projects.c.id.desc())).mappings()
    return [Project.of(row) for row in rows]


def add_tasks(connection: Connection, project: Project, new: Sequence[NewTask]) -> int:
    """Add the tasks whose external id the project lacks, in the order given; how many were added.

    Raises ParameterError if one external id comes twice. Imports into one project wait for each other.
    """
    wanted = check_tasks(project, new)
    # Locks the project's row: nobody else can be given the positions we are about to use, or change the order.
    locked = update(projects).where(projects.c.id == project.id).values(tasks=projects.c.tasks).returning(projects)
    project = Project.of(connection.execute(locked).mappings().one())
    start = project.tasks
    fresh = [task for ids in _batched(list(wanted)) for task in _absent(connection, project, ids, wanted)]
    now = clock(connection)
    for first in range(0, len(fresh), BATCH):
        _insert(connection, project, fresh[first : first + BATCH], start + first, now)
    golds = sum(task.gold is not None for task in fresh)
    counts = {"tasks": start + len(fresh), "golds": projects.c.golds + golds}
    connection.execute(update(projects).where(projects.c.id == project.id).values(counts))
    if connection.dialect.name == "postgresql" and len(fresh) >= max(start, MANY):
        # The server does so by itself, but up to a minute later: until then it thinks the tables small, and to hand out
        # a task it would sort all that is open.
        connection.execute(text(f"ANALYZE {tasks.name}, {slots.name}"))
    return len(fresh)


def check_tasks(project: Project, new: Sequence[NewTask]) -> dict[str, NewTask]:
    """The tasks by their external id, gold answers in their long form. Raises ParameterError if one does not fit."""
    wanted: dict[str, NewTask] = {}
    for number, task in enumerate(new):
        if wanted.setdefault(task.external_id, task) is not task:
            raise ParameterError(f"the id {task.external_id[:80]!r} comes twice.", where=f"tasks[{number}].external_id")
        missing = project.interface.missing(task.data)
        if missing is not None:
            raise ParameterError(
                f"{task.external_id[:80]!r} has no {missing!r}, which this project's people work on.",
                where=f"tasks[{number}].data",
            )
        if task.gold is not None:
            gold = check(project.interface, task.data, task.gold, where=f"tasks[{number}].gold")
            wanted[task.external_id] = replace(task, gold=gold)
    return wanted


def _batched(ids: list[str], size: int = 500) -> Iterator[list[str]]:
    for first in range(0, len(ids), size):
        yield ids[first : first + size]


def _absent(connection: Connection, project: Project, ids: list[str], wanted: dict[str, NewTask]) -> list[NewTask]:
    query = select(tasks.c.external_id).where(tasks.c.project_id == project.id, tasks.c.external_id.in_(ids))
    present = set(connection.execute(query).scalars())
    return [wanted[name] for name in ids if name not in present]


def _insert(connection: Connection, project: Project, new: Sequence[NewTask], start: int, now: datetime) -> None:
    rows = [
        {
            "project_id": project.id,
            "position": start + offset,
            "external_id": task.external_id,
            "data": dict(task.data),
            "created": now,
            "priority": task.priority,
            "rank": rank_of(project, task, start + offset),
            "gold": task.gold,
        }
        for offset, task in enumerate(new)
    ]
    connection.execute(insert(tasks), rows)
    # The slots are copied from the rows just written, so that their ids need not travel to us and back.
    for number in range(project.overlap):
        source = select(tasks.c.project_id, tasks.c.id, literal(number), tasks.c.position, tasks.c.rank).where(
            tasks.c.project_id == project.id,
            tasks.c.gold.is_(None),
            tasks.c.position >= start,
            tasks.c.position < start + len(new),
        )
        connection.execute(insert(slots).from_select(["project_id", "task_id", "number", "position", "rank"], source))


@dataclass(frozen=True)
class Answered:
    """One annotation with its task, as exports want it; or a task without one.

    agreed: the consensus of all answers to the task. label: what a model labeled it, in the latest run's last round.
    """

    task_id: int
    position: int
    external_id: str
    data: dict[str, Any]
    task_created: datetime
    annotation_id: int | None
    person: str | None
    value: list[dict[str, Any]] | None
    seconds: float | None
    created: datetime | None
    updated: datetime | None
    agreed: list[dict[str, Any]] | None = None
    agreed_confidence: float | None = None
    decided: bool = False
    label: str | None = None
    label_confidence: float | None = None
    model: str | None = None
    round: int | None = None
    threshold: float | None = None


def answered(connection: Connection, project: Project, *, unanswered: bool = False) -> Iterator[Answered]:
    """Every annotation in task order, streamed, and every task that only a model has labeled; with `unanswered`, all
    other tasks come too, their answer None.
    """
    # A label is looked up by run, round and task: a subquery of all of them would be gone through for every task.
    latest = select(runs.c.round).where(runs.c.id == project.run).scalar_subquery()
    of_latest = (automatic.c.run_id == project.run) & (automatic.c.round == latest) & ~automatic.c.withdrawn
    joined = (
        tasks.outerjoin(answers, answers.c.task_id == tasks.c.id)
        .outerjoin(consensus, consensus.c.task_id == tasks.c.id)
        .outerjoin(automatic, (automatic.c.task_id == tasks.c.id) & of_latest)
        .outerjoin(rounds, (rounds.c.run_id == automatic.c.run_id) & (rounds.c.round == automatic.c.round))
    )
    query = (
        select(
            tasks.c.id.label("task_id"),
            tasks.c.position,
            tasks.c.external_id,
            tasks.c.data,
            tasks.c.created.label("task_created"),
            answers.c.id.label("annotation_id"),
            answers.c.person,
            answers.c.value,
            answers.c.seconds,
            answers.c.created,
            answers.c.updated,
            consensus.c.value.label("agreed"),
            consensus.c.confidence.label("agreed_confidence"),
            func.coalesce(consensus.c.decided, False).label("decided"),
            automatic.c.label,
            automatic.c.confidence.label("label_confidence"),
            rounds.c.model,
            automatic.c.round,
            rounds.c.threshold,
        )
        .select_from(joined)
        .where(tasks.c.project_id == project.id)
        .order_by(tasks.c.position, answers.c.id)
    )
    if not unanswered:
        query = query.where(or_(answers.c.id.is_not(None), automatic.c.label.is_not(None)))
    for row in connection.execute(query.execution_options(yield_per=1000)).mappings():
        yield Answered(**row)
