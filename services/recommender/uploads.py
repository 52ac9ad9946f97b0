"""Files on their way into the catalogue, kept in the database in parts, so that any worker on any machine can read
them; and read line by line, whatever their size."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Iterator
from itertools import count

from sqlalchemy import Engine, delete, insert, select

from palate.errors import InputError
from palate.store.engine import reading, writing
from services.recommender.tables import uploads

PART = 1 << 20
"""Bytes of one part; a file is written part by part, each in a transaction of its own."""
LONGEST_LINE = 1 << 20
_FORGOTTEN = 7 * 86_400.0
"""Seconds after which a file goes that nothing has imported: its sender broke off, or the import was cancelled."""


def keep(engine: Engine, pieces: Iterable[bytes]) -> tuple[str, int]:
    """Write a file; its id, and how many bytes it has. If its pieces end with an error, nothing is kept."""
    upload, held, number, size = uuid.uuid4().hex, bytearray(), 0, 0

    def write(data: bytes) -> None:
        row = {"upload": upload, "number": number, "data": data, "kept": time.time()}
        with writing(engine) as connection:
            connection.execute(insert(uploads), row)

    with writing(engine) as connection:
        connection.execute(delete(uploads).where(uploads.c.kept < time.time() - _FORGOTTEN))
    try:
        for piece in pieces:
            held += piece
            size += len(piece)
            if len(held) >= PART:
                write(bytes(held))
                held, number = bytearray(), number + 1
        write(bytes(held))
    except BaseException:
        remove(engine, upload)
        raise
    return upload, size


def lines(engine: Engine, upload: str) -> Iterator[tuple[int, bytes]]:
    """The lines that hold anything, each with its number from 1. Raises InputError for one that is too long."""
    held, number = b"", 0
    for part in _parts(engine, upload):
        *whole, held = (held + part).split(b"\n")
        for line in whole:
            number += 1
            if line.strip():
                yield number, _short(line, number)
        _short(held, number + 1)
    if held.strip():
        yield number + 1, held


def remove(engine: Engine, upload: str) -> None:
    with writing(engine) as connection:
        connection.execute(delete(uploads).where(uploads.c.upload == upload))


def _parts(engine: Engine, upload: str) -> Iterator[bytes]:
    """One by one: between two of them the database is not held."""
    for number in count():
        query = select(uploads.c.data).where(uploads.c.upload == upload, uploads.c.number == number)
        with reading(engine) as connection:
            data = connection.execute(query).scalar_one_or_none()
        if data is None:
            return
        yield data


def _short(line: bytes, number: int) -> bytes:
    if len(line) > LONGEST_LINE:
        raise InputError(f"it is longer than {LONGEST_LINE:,} bytes.", where=f"line {number}")
    return line
