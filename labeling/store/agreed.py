"""The consensus of a project as it is kept: one row per task, everybody's skill, and what it was computed from."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select

from labeling.store.definition import Project
from labeling.store.tables import answers, consensus, consolidations, predictions, skills, tasks
from palate.store.types import clock

MAX_SHOWN = 1_000


@dataclass(frozen=True)
class Row:
    """The consensus on one task."""

    task_id: int
    external_id: str
    value: list[dict[str, Any]]
    confidence: float | None
    posterior: dict[str, dict[str, float]]
    answers: int
    decided: bool


@dataclass(frozen=True)
class Consolidated:
    """What was computed last: the method, when, of how many answers, and whether answers have come or changed since."""

    method: str
    computed: datetime
    stale: bool
    tasks: int
    report: dict[str, Any]
    skills: list[dict[str, Any]]


def basis(connection: Connection, project: Project, method: str) -> str:
    """A text that differs whenever another consensus may follow: other answers, another interface, another method."""
    mine = answers.c.project_id == project.id
    # Each from an index alone; when an answer was updated stands in one only if it was after it was given.
    count, latest = connection.execute(select(func.count(), func.max(answers.c.created)).where(mine)).one()
    changed = select(func.max(answers.c.updated)).where(mine, answers.c.changed.is_not(None))
    latest = max((moment for moment in (latest, connection.execute(changed).scalar_one()) if moment), default=None)
    asked = zlib.crc32(project.config.encode())
    return f"{method}/{count}/{latest.isoformat() if latest is not None else '-'}/{asked}"


def given(connection: Connection, project: Project) -> Iterator[Any]:
    """Every answer but those to gold tasks: task_id, person, what they said themselves, and what a reviewer made of it
    (None unless it was corrected).
    """
    said = func.coalesce(answers.c.original, answers.c.value, type_=answers.c.value.type).label("said")
    query = (
        select(answers.c.task_id, answers.c.person, said, answers.c.verdict, answers.c.value)
        .join(tasks, tasks.c.id == answers.c.task_id)
        .where(answers.c.project_id == project.id, tasks.c.gold.is_(None))
        .order_by(answers.c.task_id, answers.c.id)
    )
    yield from connection.execute(query.execution_options(yield_per=1000))


def predicted(connection: Connection, project: Project) -> dict[int, tuple[list[dict[str, Any]], float]]:
    """By task, what a model says and how sure it is."""
    query = select(predictions.c.task_id, predictions.c.value, predictions.c.score)
    rows = connection.execute(query.where(predictions.c.project_id == project.id))
    return {row.task_id: (row.value, row.score) for row in rows}


def keep(connection: Connection, project: Project, rows: Sequence[dict[str, Any]]) -> None:
    """Put these tasks' consensus in place of what there was."""
    if rows:
        connection.execute(delete(consensus).where(consensus.c.task_id.in_([row["task_id"] for row in rows])))
        connection.execute(insert(consensus), [{"project_id": project.id, **row} for row in rows])


def conclude(
    connection: Connection, project: Project, method: str, from_: str, people: Sequence[dict[str, Any]], report: Any
) -> None:
    """All rows are kept: note what they were computed from, everybody's skill, and forget tasks without an answer."""
    answered = select(answers.c.task_id).where(answers.c.project_id == project.id)
    gone = (consensus.c.project_id == project.id) & consensus.c.task_id.not_in(answered)
    connection.execute(delete(consensus).where(gone))
    connection.execute(delete(skills).where(skills.c.project_id == project.id))
    if people:
        connection.execute(insert(skills), [{"project_id": project.id, **row} for row in people])
    connection.execute(delete(consolidations).where(consolidations.c.project_id == project.id))
    row = {"project_id": project.id, "method": method, "basis": from_, "computed": clock(connection), "report": report}
    connection.execute(insert(consolidations), row)


def latest(connection: Connection, project: Project) -> Any:
    """The row of what was computed last, None if nothing was."""
    return connection.execute(select(consolidations).where(consolidations.c.project_id == project.id)).first()


def consolidated(connection: Connection, project: Project) -> Consolidated | None:
    """What was computed last, None if nothing was."""
    row = latest(connection, project)
    if row is None:
        return None
    count = select(func.count()).where(consensus.c.project_id == project.id)
    people = select(skills.c.control, skills.c.person, skills.c.skill, skills.c.answers)
    ordered = people.where(skills.c.project_id == project.id).order_by(skills.c.control, skills.c.answers.desc())
    return Consolidated(
        method=row.method,
        computed=row.computed,
        stale=row.basis != basis(connection, project, row.method),
        tasks=connection.execute(count).scalar_one(),
        report=row.report,
        skills=[dict(each) for each in connection.execute(ordered).mappings()],
    )


def listed(connection: Connection, project: Project, after: int = 0, limit: int = 100) -> list[Row]:
    """The consensus on tasks with ids above `after`, in the order of ids."""
    columns = [getattr(consensus.c, name) for name in ("value", "confidence", "posterior", "answers", "decided")]
    query = (
        select(consensus.c.task_id, tasks.c.external_id, *columns)
        .join(tasks, tasks.c.id == consensus.c.task_id)
        .where(consensus.c.project_id == project.id, consensus.c.task_id > after)
        .order_by(consensus.c.task_id)
        .limit(min(limit, MAX_SHOWN))
    )
    return [Row(**row) for row in connection.execute(query).mappings()]
