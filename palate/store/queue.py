"""Who writes next to a SQLite file: the writers of all processes on this machine, one after the other.

SQLite itself has no queue. A writer that finds another at work sleeps and tries again, so that one process that writes
much can keep another from writing for long. The queue only brings order; that there is one writer is SQLite's promise,
kept also towards programs that don't stand in line here.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LINE, _DESK = "queue", "turn"
"""Files that are locked: by the one who is next, and by the one who writes. Who writes has left the line, and so cannot
come back before the next one has written."""
_SHORTEST, _LONGEST = 0.0001, 0.002
"""Seconds between two looks at whether it is one's turn."""


class WriteQueue:
    """The queue of one SQLite file, kept by locks on two files beside it: a process that dies holds up nobody.

    The locks (flock) belong to whoever opened the files. Those of fcntl are a process's, which loses all of them as
    soon as it closes one of several queues of the same file.
    """

    def __init__(self, file: Path, seconds: float) -> None:
        """seconds: how long to wait at most. Raises OSError when the files beside it cannot be made."""
        self._seconds = seconds
        self._threads = threading.Lock()
        self._line, self._desk = (self._open(file.with_name(f"{file.name}-{name}")) for name in (_LINE, _DESK))

    def _open(self, file: Path) -> int:
        opened = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        weakref.finalize(self, os.close, opened)
        return opened

    @contextmanager
    def turn(self) -> Iterator[None]:
        """While the block lasts the others wait. Raises TimeoutError."""
        until = time.monotonic() + self._seconds
        # The locks are the queue's: between the threads that share it another one is needed.
        if not self._threads.acquire(timeout=self._seconds):
            raise TimeoutError
        try:
            self._wait(self._line, until)
            try:
                self._wait(self._desk, until)
            finally:
                fcntl.flock(self._line, fcntl.LOCK_UN)
            try:
                yield
            finally:
                fcntl.flock(self._desk, fcntl.LOCK_UN)
        finally:
            self._threads.release()

    def _wait(self, place: int, until: float) -> None:
        pause = _SHORTEST
        while True:
            try:
                fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                pass
            if time.monotonic() >= until:
                raise TimeoutError
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST)
