"""The processes that the demo starts: each in a group of its own, each with a log file, all ended when the demo ends.

However the demo ends (Ctrl-C, SIGTERM, an error, its own decision), leaving the `with` block ends every group. Only a
SIGKILL leaves it no time for that: on Linux the kernel then tells each process to end (`palate.demo.linux`).
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from palate.demo.linux import end_with_parent, listens
from palate.errors import PalateError


class ProcessFailedError(PalateError):
    """A step of the demo ended with an error; the message carries the last lines that it wrote."""

    exit_code = 1


def tail(log: Path, lines: int = 15) -> str:
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""


class Processes:
    """Starts and ends processes.

    logs: the folder for what they print.
    environment: what every process gets beside this process's own.
    patience: seconds between asking a process to end and ending it.
    """

    def __init__(self, logs: Path, environment: Mapping[str, str] | None = None, patience: float = 10) -> None:
        self.logs = logs
        self.patience = patience
        self.environment = {**os.environ, **(environment or {})}
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        logs.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop_all()

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def start(self, name: str, command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> None:
        """Start a process that stays; what it prints goes to its log."""
        with self.log(name).open("wb") as log:
            self.running[name] = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**self.environment, **(environment or {})},
                start_new_session=True,  # Ctrl-C reaches the demo alone, which then ends the others in order
                preexec_fn=end_with_parent(),
            )

    def run(self, name: str, command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> None:
        """Run a process to its end. Raises ProcessFailedError with its last words if it fails."""
        self.start(name, command, environment)
        self.wait_until_ended(name)

    def wait_until_ended(self, name: str) -> None:
        """Raises ProcessFailedError with its last words if the process fails."""
        status = self.running[name].wait()
        del self.running[name]
        if status:
            raise ProcessFailedError(
                f"it ended with {status}:\n{tail(self.log(name))}", where=name, hint=f"\nAll of it: {self.log(name)}"
            )

    def wait_until_said(self, name: str, words: Sequence[str]) -> None:
        """Wait until a line of what the process prints starts with one of these, or until the process has ended.
        Raises ProcessFailedError with its last words if it fails before."""
        while self.running[name].poll() is None:
            if any(line.startswith(tuple(words)) for line in self.log(name).read_text(errors="replace").splitlines()):
                return
            time.sleep(0.1)
        if self.running[name].returncode:
            self.wait_until_ended(name)

    def wait_until_ready(self, name: str, url: str, seconds: float = 300) -> None:
        """Wait until the process answers at `url` with 2xx: the process itself, and not another that took its port
        before it could. Raises ProcessFailedError if it ends or the time is over."""
        deadline, process = time.monotonic() + seconds, self.running[name]
        while time.monotonic() < deadline:
            status = process.poll()
            if status is not None:
                raise ProcessFailedError(
                    f"it ended with {status} while starting:\n{tail(self.log(name))}",
                    where=name,
                    hint=f"\nAll of it: {self.log(name)}",
                )
            with contextlib.suppress(urllib.error.URLError, OSError):
                with urllib.request.urlopen(url, timeout=30):  # noqa: S310 - our own address
                    pass
                if listens(process.pid, urlsplit(url).port or 80):
                    return
            time.sleep(0.2)
        raise ProcessFailedError(f"{url} did not answer within {seconds:.0f} s:\n{tail(self.log(name))}", where=name)

    def stop_all(self) -> None:
        """SIGTERM to every group, SIGKILL to those still there after `patience` seconds."""
        for process in self.running.values():
            _signal(process, signal.SIGTERM)
        deadline = time.monotonic() + self.patience
        for process in self.running.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.1, deadline - time.monotonic()))
            _signal(process, signal.SIGKILL)  # also what the leader left behind in its group
            process.wait()
        self.running.clear()


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        pass
    except PermissionError:  # macOS says so of a group whose members have all ended
        if process.poll() is None:
            raise


def palate_command(*arguments: str | Path | int) -> list[str]:
    """The `palate` command of this very environment."""
    return [sys.executable, "-m", "palate.cli", *map(str, arguments)]
