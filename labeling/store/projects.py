"""Projects and their tasks: made, read, added to.

Every function takes a connection inside a transaction that the caller opened, so that a project and its tasks
are written together or not at all.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import InitVar, dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, insert, literal, select, update

from labeling.store.tables import EXTERNAL_ID_LENGTH, TITLE_LENGTH, answers, projects, slots, tasks
from palate.errors import ConflictError, ParameterError, UnknownIdError
from palate.store.types import clock

KINDS = ("choice",)
MAX_LABELS = 1000
MAX_LABEL_LENGTH = 200
MAX_INSTRUCTIONS = 20_000
MAX_OVERLAP = 100
MAX_DATA = 100_000
"""Bytes of one task's data as JSON."""
BATCH = 5_000
"""Rows per statement on import: bounds the memory of one import, not its size."""


@dataclass(frozen=True)
class Definition:
    """What a project is before it exists. Raises ParameterError naming the field that does not fit."""

    title: str
    labels: tuple[str, ...]
    instructions: str = ""
    overlap: int = 1
    kind: str = "choice"

    def __post_init__(self) -> None:
        object.__setattr__(self, "title", self.title.strip())
        if not self.title or len(self.title) > TITLE_LENGTH or not self.title.isprintable():
            raise ParameterError(f"a title is one line of 1 to {TITLE_LENGTH} characters.", where="title")
        if self.kind not in KINDS:
            raise ParameterError(f"{self.kind[:40]!r} is no kind of project.", where="kind", hint="Use: choice.")
        if len(self.instructions) > MAX_INSTRUCTIONS or not _is_text(self.instructions):
            raise ParameterError(
                f"instructions are text of at most {MAX_INSTRUCTIONS} characters.", where="instructions"
            )
        if not 1 <= self.overlap <= MAX_OVERLAP:
            raise ParameterError(f"{self.overlap} is not between 1 and {MAX_OVERLAP}.", where="overlap")
        _check_labels(self.labels)


def _is_text(value: str) -> bool:
    """Whether every database can keep it: no NUL, no half of a surrogate pair."""
    return not any(character == "\0" or "\ud800" <= character <= "\udfff" for character in value)


def _check_labels(labels: Sequence[str]) -> None:
    if not 2 <= len(labels) <= MAX_LABELS:
        raise ParameterError(
            f"a choice is between 2 to {MAX_LABELS} labels, {len(labels)} were given.",
            where="labels",
            hint="Name them, or take them from a catalogue that has categories.",
        )
    seen: set[str] = set()
    for number, label in enumerate(labels):
        where = f"labels[{number}]"
        if not label.strip() or label != label.strip() or len(label) > MAX_LABEL_LENGTH or not label.isprintable():
            raise ParameterError(
                f"{label[:40]!r} is not one line of 1 to {MAX_LABEL_LENGTH} characters without spaces around it.",
                where=where,
            )
        if label in seen:
            raise ParameterError(f"{label!r} is there twice.", where=where)
        seen.add(label)


@dataclass(frozen=True)
class Project:
    """One project as stored. `tasks` is how many it has."""

    id: int
    title: str
    kind: str
    labels: tuple[str, ...]
    instructions: str
    overlap: int
    tasks: int
    created: datetime

    @classmethod
    def of(cls, row: RowMapping) -> Project:
        return cls(**{**row, "labels": tuple(row["labels"])})


@dataclass(frozen=True)
class NewTask:
    """A task to add. `external_id` is the importer's own name for it: adding it again changes nothing.

    `where` tells errors which one of many it is.
    """

    external_id: str
    data: Mapping[str, Any] = field(default_factory=dict)
    where: InitVar[str] = ""

    def __post_init__(self, where: str) -> None:
        place = f"{where}." if where else ""
        if not self.external_id or len(self.external_id) > EXTERNAL_ID_LENGTH or not self.external_id.isprintable():
            raise ParameterError(
                f"{self.external_id[:40]!r} is not one line of 1 to {EXTERNAL_ID_LENGTH} characters.",
                where=f"{place}external_id",
            )
        try:
            size = len(json.dumps(self.data, allow_nan=False, ensure_ascii=False).encode())
        except (TypeError, ValueError, RecursionError) as error:  # NaN, half a surrogate pair, too deep
            raise ParameterError(
                f"is no plain JSON ({error}).", where=f"data of task {self.external_id[:80]}"
            ) from None
        if size > MAX_DATA:
            raise ParameterError(f"is {size} bytes long; at most {MAX_DATA} fit a task.", where=f"{place}data")


def create(connection: Connection, definition: Definition) -> tuple[Project, bool]:
    """The project of this title, and whether it was made now.

    Asking again for the same project gives the one there is; another definition under its title raises ConflictError.
    """
    present = connection.execute(select(projects).where(projects.c.title == definition.title)).mappings().first()
    if present is not None:
        project = Project.of(present)
        same = (project.labels, project.overlap, project.kind) == (
            definition.labels,
            definition.overlap,
            definition.kind,
        )
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
            "created": clock(connection),
        },
    )
    return Project.of(made.mappings().one()), True


def get(connection: Connection, project_id: int) -> Project:
    """The project. Raises UnknownIdError."""
    row = None
    if 0 < project_id < 2**63:
        row = connection.execute(select(projects).where(projects.c.id == project_id)).mappings().first()
    if row is None:
        raise UnknownIdError(f"there is no project {project_id}.", hint="GET /v1/projects lists them.")
    return Project.of(row)


def listed(connection: Connection) -> list[Project]:
    """All projects, the newest first."""
    rows = connection.execute(select(projects).order_by(projects.c.created.desc(), projects.c.id.desc())).mappings()
    return [Project.of(row) for row in rows]


def add_tasks(connection: Connection, project: Project, new: Sequence[NewTask]) -> int:
    """Add the tasks whose external id the project lacks, in the order given; how many were added.

    Raises ParameterError if one external id comes twice. Imports into one project wait for each other.
    """
    wanted: dict[str, NewTask] = {}
    for number, task in enumerate(new):
        if wanted.setdefault(task.external_id, task) is not task:
            raise ParameterError(f"the id {task.external_id[:80]!r} comes twice.", where=f"tasks[{number}].external_id")
    # Locks the project's row: nobody else can be given the positions we are about to use.
    start = connection.execute(
        update(projects).where(projects.c.id == project.id).values(tasks=projects.c.tasks).returning(projects.c.tasks)
    ).scalar_one()
    fresh = [task for ids in _batched(list(wanted)) for task in _absent(connection, project, ids, wanted)]
    now = clock(connection)
    for first in range(0, len(fresh), BATCH):
        _insert(connection, project, fresh[first : first + BATCH], start + first, now)
    connection.execute(update(projects).where(projects.c.id == project.id).values(tasks=start + len(fresh)))
    return len(fresh)


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
        }
        for offset, task in enumerate(new)
    ]
    connection.execute(insert(tasks), rows)
    # The slots are copied from the rows just written, so that their ids need not travel to us and back.
    for number in range(project.overlap):
        source = select(tasks.c.project_id, tasks.c.id, literal(number), tasks.c.position).where(
            tasks.c.project_id == project.id,
            tasks.c.position >= start,
            tasks.c.position < start + len(new),
        )
        connection.execute(insert(slots).from_select(["project_id", "task_id", "number", "position"], source))


@dataclass(frozen=True)
class Answered:
    """One annotation with its task, as exports want it."""

    task_id: int
    position: int
    external_id: str
    data: dict[str, Any]
    task_created: datetime
    annotation_id: int | None
    person: str | None
    value: dict[str, Any] | None
    seconds: float | None
    created: datetime | None
    updated: datetime | None


def answered(connection: Connection, project: Project, *, unanswered: bool = False) -> Iterator[Answered]:
    """Every annotation in task order, streamed; with `unanswered`, tasks without one come too, their answer None."""
    joined = tasks.join(answers, answers.c.task_id == tasks.c.id, isouter=unanswered)
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
        )
        .select_from(joined)
        .where(tasks.c.project_id == project.id)
        .order_by(tasks.c.position, answers.c.id)
    )
    for row in connection.execution_options(yield_per=1000).execute(query).mappings():
        yield Answered(**row)
