"""Files that are there whole, or as they were before: the one way in which commands and jobs write a result."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from palate.errors import InputError


@contextmanager
def written_whole(path: Path, *, private: bool = False) -> Iterator[BinaryIO]:
    """A file to write to, beside `path`; it takes the name once all is on the disk, and never if anything fails.

    A link stays a link. A device or a pipe (such as /dev/stdout) is written to, never replaced.
    private: readable by its owner alone. Raises InputError if it cannot be written.
    """
    try:
        target = path.resolve()
        if target.exists() and not target.is_file():
            with open(target, "wb") as file:
                yield file
            return
        beside = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
        try:
            made = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if private else 0o666)
            with os.fdopen(made, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, target)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror or error}.", where=str(path)) from error
