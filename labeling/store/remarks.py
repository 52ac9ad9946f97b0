"""What people say about tasks: comments, and flags, which are comments that ask somebody to look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, RowMapping, insert, select, update

from labeling.store.definition import Project, is_text
from labeling.store.tables import comments
from palate.errors import ParameterError, UnknownIdError
from palate.store.types import clock

MAX_COMMENT = 5_000
SHOWN = 1_000
"""Comments given at a time, the newest first."""


@dataclass(frozen=True)
class Comment:
    """One comment. `flag`: it asks somebody to look, until it is `resolved`."""

    id: int
    task_id: int
    person: str
    text: str
    flag: bool
    resolved: bool
    created: datetime

    @classmethod
    def of(cls, row: RowMapping) -> Comment:
        return cls(**{name: value for name, value in row.items() if name != "project_id"})


def check_remark(text: str, where: str) -> None:
    """Raises ParameterError unless it is a text of some length that every database can keep."""
    if not text.strip() or len(text) > MAX_COMMENT or not is_text(text):
        raise ParameterError(f"is no text of 1 to {MAX_COMMENT} characters.", where=where)


def comment(
    connection: Connection, project: Project, task_id: int, person: str, text: str, *, flag: bool = False
) -> Comment:
    """Add a comment to a task, which the caller knows to be the project's."""
    check_remark(text, "text")
    row = {"project_id": project.id, "task_id": task_id, "person": person, "text": text.strip()}
    row |= {"flag": flag, "resolved": False, "created": clock(connection)}
    return Comment.of(connection.execute(insert(comments).returning(comments), row).mappings().one())


def listed(
    connection: Connection,
    project: Project,
    *,
    task_id: int | None = None,
    flag: bool | None = None,
    resolved: bool | None = None,
) -> Sequence[Comment]:
    """The project's comments, the newest first, at most `SHOWN`; those of one task, or only some."""
    query = select(comments).where(comments.c.project_id == project.id)
    for column, wanted in ((comments.c.task_id, task_id), (comments.c.flag, flag), (comments.c.resolved, resolved)):
        if wanted is not None:
            query = query.where(column == wanted)
    rows = connection.execute(query.order_by(comments.c.id.desc()).limit(SHOWN)).mappings()
    return [Comment.of(row) for row in rows]


def resolve(connection: Connection, project: Project, comment_id: int, *, resolved: bool) -> Comment:
    """Mark a comment as dealt with, or as open again. Raises UnknownIdError."""
    row = None
    if 0 < comment_id < 2**63:
        mine = (comments.c.id == comment_id) & (comments.c.project_id == project.id)
        changed = update(comments).where(mine).values(resolved=resolved).returning(comments)
        row = connection.execute(changed).mappings().first()
    if row is None:
        raise UnknownIdError(f"project {project.id} has no comment {comment_id}.")
    return Comment.of(row)
