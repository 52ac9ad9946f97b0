"""Batch transform: a model asked about every row of a file, some at a time, the answers written as another file.

Files are those of the formats that can be cut between rows: CSV and JSON Lines (a row a line), and RecordIO. The
result is there whole, or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from werkzeug.exceptions import NotAcceptable

from palate.errors import InputError, PalateError, ParameterError
from palate.files import written_whole
from palate.models.protocol import Artifact
from services.endpoints import answers, payloads, recordio

FORMATS = {
    ".csv": payloads.CSV,
    ".jsonl": payloads.LINES,
    ".jsonlines": payloads.LINES,
    ".recordio": payloads.RECORDS,
    ".pbr": payloads.RECORDS,
}
"""The ending of a file's name to what it holds, where nothing else is said."""
_LINES = 2000
_BYTES = 4 << 20
"""How many rows, and bytes of them, are asked about at once."""
_LONGEST = 64 << 20
"""Bytes of one row; a file that has no ends of lines is refused, not read into memory."""
Told = Callable[[float, str], None]
"""How far it is, 0 to 1, and in words."""


def format_of(name: str, said: str | None, where: str) -> str:
    """What a file holds: what is said, or what its name ends with. Raises ParameterError for neither."""
    found = said or FORMATS.get(Path(name).suffix.lower(), "")
    if found not in FORMATS.values():
        known = ", ".join(dict.fromkeys(FORMATS.values()))
        raise ParameterError(
            f"{said or name!r} is nothing that can be cut between rows.", where=where, hint=f"Say one of {known}."
        )
    return found


def transform(
    artifact: Artifact,
    source: Path,
    target: Path,
    *,
    content_type: str,
    accept: str,
    told: Told = lambda done, words: None,
) -> int:
    """Writes to `target` what the model says of each row of `source`; how many rows.

    Raises InputError naming the first row of the part at fault; then nothing is written. What `told` raises ends it.
    """
    signature, key = artifact.signature(), answers.shape_of(artifact).key
    done = 0
    try:
        total = max(source.stat().st_size, 1)
        file = source.open("rb")
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}.", where=source.name) from error
    with file, written_whole(target) as out:
        for block, rows in _blocks(file, content_type):
            try:
                batch = payloads.read(block, content_type, signature)
                out.write(answers.write(answers.predict(artifact, batch), accept, key))
            except PalateError as error:
                if error.status >= 500:
                    raise
                where = f"{source.name}, rows {done} to {done + rows - 1}"
                raise InputError(str(error), where=where) from error
            except NotAcceptable as error:
                raise InputError(str(error.description), where=target.name) from error
            done += rows
            told(min(file.tell() / total, 1.0), f"{done} rows")
        if not done:
            raise InputError("there are no rows.", where=source.name)
    return done


def _blocks(file: BinaryIO, content_type: str) -> Iterator[tuple[bytes, int]]:
    """Whole rows that follow each other, and how many they are."""
    rows = _records(file) if content_type == payloads.RECORDS else _lines(file)
    while some := list(_some(rows)):
        yield b"".join(some), len(some)


def _some(rows: Iterator[bytes]) -> Iterator[bytes]:
    size = 0
    for row in islice(rows, _LINES):
        yield row
        size += len(row)
        if size >= _BYTES:
            return


def _lines(file: BinaryIO) -> Iterator[bytes]:
    while line := file.readline(_LONGEST):
        if len(line) >= _LONGEST:
            raise InputError(f"a row is longer than {_LONGEST} bytes.")
        if line.strip():
            yield line if line.endswith(b"\n") else line + b"\n"


def _records(file: BinaryIO) -> Iterator[bytes]:
    while head := file.read(8):
        length = recordio.length_of(head)
        if length > _LONGEST:
            raise InputError(f"a record is longer than {_LONGEST} bytes.")
        yield head + file.read(length + -length % 4)
