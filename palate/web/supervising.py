"""The process above the workers: one queue of connections for all of them, and another worker for each that dies.

A worker that was ready and dies, however often, is replaced at once. One that dies before it is ready is tried again
after a pause, longer each time. That ends the server only where nobody is left who answers: at once when a first worker
says why it cannot start, since the next ones would fail the same way, and after `TRIES` in a row otherwise.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import time
from collections import Counter, deque
from pathlib import Path
from typing import Any

TRIES = 5
"""So many workers in a row may die in one place before they are ready."""
LONGEST_PAUSE = 30.0
"""Seconds at most between two tries, while other workers answer."""
log = logging.getLogger("palate.serve")


class Signs:
    """What workers tell their server through files in a folder that they share: ready, or why they are not."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def ready(self) -> bool:
        """Says that this process answers from now on: whether it is the first of the server."""
        self._of("ready", os.getpid()).touch()
        try:
            self._any.touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    def failed(self, reason: str) -> None:
        """Says why this process cannot answer."""
        self._of("failed", os.getpid()).write_text(reason, encoding="utf-8")

    @property
    def any_was_ready(self) -> bool:
        return self._any.exists()

    def is_ready(self, process: int) -> bool:
        return self._of("ready", process).exists()

    def taken(self, process: int) -> tuple[bool, str]:
        """Whether a process that has ended was ready, and why not, if it said so; forgotten then, as its number may
        come again."""
        ready, failed = self._of("ready", process), self._of("failed", process)
        found = ready.exists(), failed.read_text(encoding="utf-8") if failed.exists() else ""
        for file in (ready, failed):
            file.unlink(missing_ok=True)
        return found

    @property
    def _any(self) -> Path:
        return self._folder / "ready"

    def _of(self, kind: str, process: int) -> Path:
        return self._folder / f"{process}.{kind}"


def supervisor(signs: Signs) -> type[Any]:
    """Granian's server with one listening socket for all workers, and supervised as the module says.

    On Linux, granian gives each worker a socket of its own, and with it a queue: connections that wait in that of a
    worker which is replaced, or dies, would be reset. And it ends when a worker dies within seconds of being replaced.
    Of an instance `given_up` says why it ended by itself; empty if it was told to.
    """
    from granian.server import Server

    class Supervisor(Server):  # type: ignore[valid-type, misc]
        given_up = ""

        def _init_shared_socket(self: Any) -> None:
            super()._init_shared_socket()
            if self._shd is None:
                held = self._ssp.build()
                self._shd, self._ssp, self._sfd = held, None, held.get_fd()
                self._sso = socket.socket(fileno=self._sfd)
                self._sso.set_inheritable(True)
                if hasattr(socket, "TCP_DEFER_ACCEPT"):
                    # A worker that stops closes connections on which nothing was sent yet, so it gets none of those.
                    self._sso.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 1)

        def _stop_workers(self: Any) -> None:
            # They are told once more after a second: in its first moments a worker may miss that it is to stop.
            for worker in self.wrks:
                worker.terminate()
            end = time.monotonic() + 1.0
            for worker in self.wrks:
                worker.join(max(0.0, end - time.monotonic()))
            super()._stop_workers()

        def _serve_loop(self: Any, spawn_target: Any, target_loader: Any) -> None:
            # Who has ended is seen below; granian need not keep it.
            self.interrupt_children: deque[int] = deque(maxlen=0)
            failures: Counter[int] = Counter()
            due: dict[int, float] = {}
            """By place: workers in a row that died before they were ready, and when the next one is to start."""
            while True:
                self.main_loop_interrupt.wait(max(0.0, min(due.values()) - time.monotonic()) if due else None)
                self.main_loop_interrupt.clear()
                if self.interrupt_signal:
                    return
                if self.reload_signal:
                    due.clear()
                    self._reload(spawn_target, target_loader)
                for place, worker in enumerate(self.wrks):
                    if place not in due and worker.inner.exitcode is not None:
                        due[place] = time.monotonic() + self._pause(worker.inner, place, failures)
                if self.given_up:
                    return
                for place in [place for place, when in due.items() if when <= time.monotonic()]:
                    del due[place]
                    self.wrks[place] = self._spawn_worker(place, spawn_target, target_loader)
                    self.wrks[place].start()

        def _pause(self: Any, ended: Any, place: int, failures: Counter[int]) -> float:
            """Seconds until the place of a worker that has ended is filled again, unless that is given up."""
            was_ready, reason = signs.taken(ended.pid)
            how = reason or f"It was ended by {_cause(ended.exitcode)}."
            if was_ready:
                failures[place] = 0
                log.warning("Worker %d is gone, and another takes its place. %s", ended.pid, how)
                return 0.0
            failures[place] += 1
            pause = min(LONGEST_PAUSE, 2.0 ** (failures[place] - 2)) if failures[place] > 1 else 0.0
            if reason and not signs.any_was_ready:
                self.given_up = reason
            elif failures[place] >= TRIES and not any(signs.is_ready(each.inner.pid) for each in self.wrks):
                self.given_up = f"No worker could be started; {TRIES} were tried. {how}"
            else:
                log.warning("Worker %d could not start; the next try is in %g s. %s", ended.pid, pause, how)
            return pause

    return Supervisor


def _cause(exitcode: int) -> str:
    """What ended a process, as people are told it."""
    if exitcode >= 0:
        return f"itself, with exit code {exitcode}"
    try:
        return signal.Signals(-exitcode).name
    except ValueError:
        return f"signal {-exitcode}"
