"""What files, folders and code are, as hashes of their content.

Reading terabytes to see that nothing changed would cost more than it saves: a file whose size, time of change, inode
and time of the inode's own change (which nobody can set back) are those it was hashed with is not read again. Files
changed within two seconds of being hashed are, since a clock may be that coarse.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from functools import lru_cache
from importlib import metadata, util
from pathlib import Path

from palate.errors import InputError
from palate.files import written_whole
from palate.spark.job import REPORT
from palate.spark.pipeline.jobs import Job

_SETTLED = 2 * 10**9
_BOOKKEEPING = re.compile(r"\..*\.crc|_SUCCESS|_started.*|_committed.*")


class Digests:
    """Hashes of files, remembered in `cache`. Safe to share between threads."""

    def __init__(self, cache: Path | None = None) -> None:
        self._cache = cache
        self._lock = threading.Lock()
        self._known: dict[str, list[int | str]] = {}
        if cache is not None and cache.is_file():
            try:
                found = json.loads(cache.read_text(encoding="utf-8"))
                self._known = found if isinstance(found, dict) else {}
            except (OSError, ValueError):  # only a cache
                self._known = {}

    def save(self) -> None:
        """Keeps what is known for the next process; entries of files that are gone are dropped."""
        if self._cache is None:
            return
        with self._lock:
            held = {path: entry for path, entry in self._known.items() if os.path.exists(path)}
        with written_whole(self._cache) as file:
            file.write(json.dumps(held).encode())

    def file(self, path: Path) -> str:
        """sha256 of the content; of a link to nothing where it leads, and of a pipe or device no more than that it is
        one. Raises InputError if it cannot be read."""
        try:
            if not path.exists() and path.is_symlink():
                return f"link to {os.readlink(path)}"
            if not path.is_file():
                return "no file"
            stamp = _stamp(path)
            with self._lock:
                entry = self._known.get(str(path))
            if entry is not None and entry[:4] == stamp and int(entry[4]) - stamp[3] > _SETTLED:
                return str(entry[5])
            now = time.time_ns()
            with open(path, "rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise InputError(f"cannot be read: {error.strerror}.", where=str(path)) from None
        with self._lock:
            self._known[str(path)] = [*stamp, now, found]
        return found

    def tree(self, path: Path) -> str | None:
        """One hash of a file, or of all files of a folder with their names; None if there is nothing."""
        if not path.exists():
            return None
        if not path.is_dir():
            return self.file(path)
        return _hash(f"{name} {self.file(path / name)}" for name in sorted(_names(path)))

    def output(self, path: Path) -> str | None:
        """As `tree`, of what a job wrote: without its report and Spark's bookkeeping."""
        if not path.is_dir():
            return self.tree(path)
        names = [name for name in _names(path) if name != REPORT and not _BOOKKEEPING.fullmatch(Path(name).name)]
        return _hash(f"{name} {self.file(path / name)}" for name in sorted(names))


def _stamp(path: Path) -> list[int]:
    found = path.stat()
    return [found.st_size, found.st_mtime_ns, found.st_ino, found.st_ctime_ns]


def _names(folder: Path) -> Iterator[str]:
    """All files, as paths within the folder; links are followed, and none into a circle."""
    seen: set[tuple[int, int]] = set()

    def walk(inner: Path) -> Iterator[str]:
        try:
            found = inner.stat()
            if (found.st_dev, found.st_ino) in seen:
                return
            seen.add((found.st_dev, found.st_ino))
            entries = sorted(inner.iterdir())
        except OSError as error:
            raise InputError(f"cannot be read: {error.strerror}.", where=str(inner)) from None
        for entry in entries:
            if entry.is_dir():
                yield from walk(entry)
            else:
                yield entry.relative_to(folder).as_posix()

    yield from walk(folder)


def _hash(lines: Iterator[str] | Sequence[str]) -> str:
    digest = hashlib.sha256()
    for line in lines:
        digest.update(line.encode("utf-8", "surrogateescape") + b"\n")
    return digest.hexdigest()


def code_digest(job: Job) -> str:
    """Of all that a job's answer depends on beside its options and inputs: Python's version, the whole source of
    palate, the job's own files, and the versions of the packages that palate can use. Editing any module of palate
    makes every step run again: which of them a job reaches cannot be told for certain."""
    spec = util.find_spec("palate")
    package = Path(spec.origin).parent if spec and spec.origin else Path()
    sources = [str(path.name) + _content(path) for path in job.sources]
    return _hash([sys.version, _package_digest(package), *sources, *_versions()])


def _content(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}.", where=str(path)) from None


@lru_cache(maxsize=1)
def _package_digest(package: Path) -> str:
    files = (name for name in sorted(_names(package)) if "__pycache__/" not in name and not name.endswith(".pyc"))
    return _hash([f"{name} {_content(package / name)}" for name in files])


@lru_cache(maxsize=1)
def _versions() -> list[str]:
    try:
        needed = metadata.requires("palate") or []
    except metadata.PackageNotFoundError:
        needed = []
    names = sorted({re.split(r"[^A-Za-z0-9_.-]", line)[0].lower() for line in needed} - {"palate"})
    found = []
    for name in [*names, "mxnet"]:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    return found
