"""The shape that all Spark jobs share: arguments first, then Spark, then phases that are timed, then a report.

A job is a click command whose body opens `running(...)`. `main` runs it as a script: an error becomes one line on
standard error and an exit code (2 for bad input), never a traceback. Arguments are parsed and checked before Spark
starts, so that `--help` and mistakes answer at once.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlparse

import click

from palate import __version__
from palate.cli.exits import run
from palate.errors import ConflictError, InputError, ParameterError
from palate.files import written_whole
from palate.spark.failures import explain
from palate.spark.session import spark_session

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

REPORT = "job.json"
CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}
"""click's settings for every job."""
SPEAKER: ContextVar[str | None] = ContextVar("speaker", default=None)
"""Under whose name a job speaks: a pipeline, which runs jobs side by side, sets the step's."""


@dataclass
class Report:
    """What a job did: seconds per phase and facts, printed as it goes and kept as `job.json`."""

    job: str
    arguments: Mapping[str, Any]
    seconds: dict[str, float] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    started: float = field(default_factory=time.time)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Times what runs inside, and says on standard error when it is done."""
        self.say(f"{name} ...")
        start = time.perf_counter()
        yield
        took = time.perf_counter() - start
        self.seconds[name] = round(self.seconds.get(name, 0.0) + took, 3)
        self.say(f"{name}: {took:.1f} s")

    def say(self, text: str) -> None:
        click.echo(f"{SPEAKER.get() or self.job}: {text}", err=True)

    def note(self, **facts: Any) -> None:
        self.facts.update(facts)

    def write(self, path: Path) -> None:
        """The report as JSON."""
        told = {
            "job": self.job,
            "palate": __version__,
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.started)),
            "arguments": {name: _plain(value) for name, value in self.arguments.items()},
            "seconds": {**self.seconds, "total": round(time.time() - self.started, 3)},
            **self.facts,
        }
        with written_whole(path) as file:
            file.write((json.dumps(told, indent=2, ensure_ascii=False) + "\n").encode())


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return _plain({entry.name: getattr(value, entry.name) for entry in fields(value)})
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


@contextmanager
def running(report: Report) -> Iterator[SparkSession]:
    """A Spark session for the job, stopped at the end. A session that runs already (a notebook's, a pipeline's) is used
    and left, whichever thread started it."""
    borrowed = session_runs()
    with report.phase("start Spark"):
        spark = spark_session(f"palate {report.job}")
    report.note(master=spark.sparkContext.master)
    try:
        yield spark
    finally:
        if not borrowed:
            spark.stop()


def session_runs() -> bool:
    """Whether this process has a Spark session, active in this thread or not."""
    from pyspark import SparkContext

    return SparkContext._active_spark_context is not None


def local_path(value: str | Path, what: str) -> Path:
    """The path of an option as an absolute one. Raises ParameterError for a URI of another file system.

    Jobs hand directories over by renaming them and map bundles into memory, so outputs live on a disk that the driver
    and all executors share: the machine's own, or a network mount on a cluster.
    """
    text = str(value)
    if "://" in text or text.startswith("file:"):
        parsed = urlparse(text)
        if parsed.scheme != "file" or parsed.netloc not in ("", "localhost"):
            raise ParameterError(
                f"{text!r} is on another file system.", where=what, hint="Give a path that all machines mount."
            )
        text = unquote(parsed.path)
    if not text or "\0" in text:
        raise ParameterError("is not a path.", where=what)
    return Path(os.path.abspath(text))


def check_output(path: Path, *, overwrite: bool) -> None:
    """Raises ConflictError if there is something at `path` that may not be replaced.

    With `overwrite`, only what a job wrote (it holds a `job.json`) or an empty directory is replaced.
    """
    if not path.exists() and not path.is_symlink():
        return
    if path.is_dir() and not any(path.iterdir()):
        return
    if not overwrite:
        raise ConflictError("there is something here already.", where=str(path), hint="Give --overwrite to replace it.")
    if not (path / REPORT).is_file():
        raise ConflictError(
            "this was not written by a job (it has no job.json), so --overwrite leaves it alone.",
            where=str(path),
            hint="Move it away, or give another --output.",
        )


@contextmanager
def output_directory(path: Path, report: Report, *, overwrite: bool) -> Iterator[Path]:
    """A directory beside `path` to write into; it gets the report and takes its place when all went well.

    After an error nothing is left of it, and what was at `path` stays; what a killed job left is cleared away by the
    next one. Raises ConflictError as `check_output`.
    """
    clear_leftovers(path)
    check_output(path, overwrite=overwrite)
    beside = _beside(path, "partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir()
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}.", where=str(path)) from None
    try:
        yield beside
        report.write(beside / REPORT)
        with moved_aside(path):
            try:
                beside.rename(path)
            except OSError as error:
                raise InputError(f"cannot be written: {error.strerror}.", where=str(path)) from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)


@contextmanager
def moved_aside(path: Path) -> Iterator[None]:
    """Makes room at `path` for what the block writes there. After an error what was there before is put back."""
    aside = _beside(path, "replaced")
    if path.exists():
        path.rename(aside)
    try:
        yield
    except BaseException:
        if aside.exists():
            _discard(path, path)
            aside.rename(path)
        raise
    _discard(aside, path)


def clear_leftovers(path: Path) -> None:
    """Removes the directories that killed jobs left beside `path`; what one had only moved aside is put back.

    Theirs are those whose process, by its id in the name, runs no more on this machine. Another machine's are left.
    """
    name = re.escape(path.name)
    pattern = re.compile(rf"\.{name}\.(partial|replaced)-(?:{re.escape(_machine())}-)?(\d+)")
    try:
        found = [(entry, match) for entry in path.parent.iterdir() if (match := pattern.fullmatch(entry.name))]
    except OSError:
        return  # no such folder yet, or one that may not be read: whoever writes there will say so
    for entry, match in sorted(found):
        pid = int(match[2])
        if pid != os.getpid() and _lives(pid):
            continue
        if match[1] == "replaced" and not path.exists():
            entry.rename(path)
        else:
            _discard(entry, path)


def _beside(path: Path, what: str) -> Path:
    return path.with_name(f".{path.name}.{what}-{_machine()}-{os.getpid()}")


def _machine() -> str:
    return re.sub(r"[^A-Za-z0-9_]", "_", socket.gethostname())[:40]


def _discard(directory: Path, path: Path) -> None:
    """Removes a directory at or beside `path`; killed in the middle, it leaves nothing that looks whole."""
    doomed = _beside(path, "partial")
    shutil.rmtree(doomed, ignore_errors=True)
    if directory.exists():
        directory.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)


def _lives(pid: int) -> bool:
    """Whether a process of this machine runs; one that has ended and was not yet waited for does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # another user's
        return True
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0]
    except (OSError, IndexError):  # no /proc here
        return True
    return state not in ("Z", "X")


def main(command: click.Command, arguments: list[str] | None = None) -> None:
    """Runs a job as a script and exits: 0, 2 for bad input, 130 when interrupted, 1 for what broke on the way."""
    run(command, arguments, command.name or "job", explain)
