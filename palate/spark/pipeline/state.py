"""What is known of a pipeline from one run to the next: a folder with a record per step, and the lock.

    STATE/steps/NAME.json   what the step last ran on, what it wrote, and how it ended
    STATE/digests.json      hashes of files that need not be read again
    STATE/lock              held by the run that is on

A record is written before its step starts and again when it has ended, whole each time: what a killed run was at is
"running" for ever, and so runs again.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from palate.errors import ConflictError, InputError
from palate.files import written_whole

RUNNING, DONE, FAILED = "running", "done", "failed"


@dataclass(frozen=True)
class Record:
    """status: RUNNING, DONE or FAILED. params, inputs (path's digest by option), code, settings: what it ran on.

    outputs: path to digest (None while it runs). run: MLflow's.
    """

    step: str
    job: str
    status: str
    params: Mapping[str, Any]
    inputs: Mapping[str, str | None]
    code: str
    settings: str = ""
    outputs: Mapping[str, str | None] = field(default_factory=dict)
    started: str = ""
    seconds: float = 0.0
    run: str = ""


class State:
    """The folder; it need not exist to be read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def digests(self) -> Path:
        return self.path / "digests.json"

    def record(self, step: str) -> Record | None:
        """What is known of a step. A record that cannot be read counts as none: the step runs again."""
        try:
            found = json.loads((self.path / "steps" / f"{step}.json").read_text(encoding="utf-8"))
            return Record(**found)
        except (OSError, ValueError, TypeError):
            return None

    def write(self, record: Record) -> None:
        try:
            (self.path / "steps").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot be written: {error.strerror}.", where=str(self.path)) from None
        with written_whole(self.path / "steps" / f"{record.step}.json") as file:
            file.write(json.dumps(asdict(record), indent=2).encode() + b"\n")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Raises ConflictError if another run holds the state. The system frees a dead process's lock by itself."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            file = open(self.path / "lock", "a+", encoding="utf-8")  # noqa: SIM115  # closed below, and with it the lock
        except OSError as error:
            raise InputError(f"cannot be written: {error.strerror}.", where=str(self.path)) from None
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                holder = file.read(200).strip() or "another process"
                raise ConflictError(
                    f"this pipeline runs already: {holder}.",
                    where=str(self.path),
                    hint="Wait for it, or give another --state.",
                ) from None
            except OSError as error:
                hint = "Give a --state on a disk of this machine."
                raise InputError(f"cannot be locked: {error.strerror}.", where=str(self.path), hint=hint) from None
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()} since {now()}\n")
            file.flush()
            yield


def now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
