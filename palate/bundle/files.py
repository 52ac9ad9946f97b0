"""Files that are there whole or not at all: written, flushed to the disk, and only then given their name."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from palate.errors import BundleError

_TEMPORARY = ".tmp-"
_STALE = 24 * 3600.0
"""Seconds after which a leftover of a killed writer is cleared away."""


class HashingFile:
    """A file being written that keeps the sha256 and the size of what went through it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self.size = 0

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B") if not isinstance(data, bytes) else data
        self._digest.update(view)
        self.size += len(view)
        return self._file.write(view)

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()


def write_durably(path: Path, write: Callable[[HashingFile], object]) -> HashingFile:
    """Creates the file (it must not exist), lets `write` fill it and brings it to the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "xb") as file:
        hashing = HashingFile(file)
        write(hashing)
        file.flush()
        os.fsync(file.fileno())
    return hashing


def sync_directory(path: Path) -> None:
    """Brings the names in a directory to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(path: Path) -> None:
    for folder, _, _ in os.walk(path, topdown=False):
        sync_directory(Path(folder))


def replace_durably(path: Path, content: bytes) -> None:
    """Gives `path` new content; a reader sees the old or the new, never a part."""
    beside = path.parent / f"{_TEMPORARY}{path.name}-{secrets.token_hex(6)}"
    try:
        write_durably(beside, lambda file: file.write(content))
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    sync_directory(path.parent)


@contextmanager
def directory_beside(parent: Path) -> Iterator[Path]:
    """A new directory in `parent` under a name that readers ignore; gone at the end unless it was renamed."""
    try:
        parent.mkdir(parents=True, exist_ok=True)
        _clear_stale(parent)
        beside = parent / f"{_TEMPORARY}{secrets.token_hex(8)}"
        beside.mkdir()
    except OSError as error:
        raise BundleError(f"nothing can be written here: {error.strerror}.", where=str(parent)) from error
    try:
        yield beside
    except OSError as error:
        raise BundleError(f"writing failed: {error.strerror or error}.", where=str(parent)) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _clear_stale(parent: Path) -> None:
    for leftover in parent.glob(f"{_TEMPORARY}*"):
        try:
            if leftover.is_dir() and time.time() - leftover.stat().st_mtime > _STALE:
                shutil.rmtree(leftover, ignore_errors=True)
        except OSError:  # another writer was quicker
            continue
