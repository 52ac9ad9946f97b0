"""Files that are on their way in or out, kept in the database so that any worker on any machine can read them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select, update

from labeling.store.definition import Project
from labeling.store.tables import file_parts, files
from palate.errors import UnknownIdError
from palate.store.types import clock

PART = 1 << 20
"""Bytes of one part; a file is written part by part, each in a transaction of its own."""


@dataclass(frozen=True)
class File:
    """A file without its bytes. whole: all its parts are there."""

    id: int
    project_id: int
    name: str
    size: int
    whole: bool
    created: datetime


def begin(connection: Connection, project: Project, name: str) -> int:
    """The id of a new file without parts."""
    row = {"project_id": project.id, "name": name, "size": 0, "whole": False, "created": clock(connection)}
    found: int = connection.execute(insert(files).returning(files.c.id), row).scalar_one()
    return found


def add(connection: Connection, file_id: int, number: int, data: bytes) -> None:
    """Add a part."""
    connection.execute(insert(file_parts), {"file_id": file_id, "number": number, "data": data})
    connection.execute(update(files).where(files.c.id == file_id).values(size=files.c.size + len(data)))


def end(connection: Connection, file_id: int) -> None:
    """All parts are there."""
    connection.execute(update(files).where(files.c.id == file_id).values(whole=True))


def get(connection: Connection, file_id: int) -> File:
    """The file. Raises UnknownIdError."""
    row = connection.execute(select(files).where(files.c.id == file_id)).mappings().first()
    if row is None:
        raise UnknownIdError(f"there is no file {file_id}.")
    return File(**row)


def parts(connection: Connection, file_id: int) -> Iterator[bytes]:
    """The file's bytes in order."""
    query = select(file_parts.c.data).where(file_parts.c.file_id == file_id).order_by(file_parts.c.number)
    yield from connection.execute(query.execution_options(yield_per=4)).scalars()


def remove(connection: Connection, file_id: int) -> None:
    connection.execute(delete(files).where(files.c.id == file_id))


def remove_older(connection: Connection, project_id: int, name: str, keep: int) -> None:
    """Forget all but the latest `keep` files of a name."""
    mine = (files.c.project_id == project_id) & (files.c.name == name)
    latest = select(files.c.id).where(mine).order_by(files.c.id.desc()).limit(keep)
    connection.execute(delete(files).where(mine, files.c.id.not_in(list(connection.execute(latest).scalars()))))
