"""Small writes of many threads, several to a commit.

Each commit waits until the disk has it, whatever is in it. Where writers come one after the other, as on SQLite, that
wait is most of a small write; what came in meanwhile is therefore committed together, by one of the threads that
wait (group commit: Gray & Reuter, Transaction Processing, 1993, section 9.4). On PostgreSQL writers don't wait for each
other, and its server does the same with their commits: there each write is a transaction of its own. A few of them are
at work at once, the others wait in the order in which they came: more would take the processors from each other, and
who began first would end last now and then.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from sqlalchemy import Connection, Engine

from palate.store.engine import writing
from palate.waiting import Line

T = TypeVar("T")
MOST = 64
"""Writes in one commit."""
AT_ONCE = 4
"""Writes of one process at a time on PostgreSQL."""


class Commits:
    """The small writes of one process to a database. Safe to share between threads."""

    def __init__(self, engine: Engine, most: int = MOST, at_once: int = AT_ONCE) -> None:
        self._engine, self._most = engine, most
        self._line = None if engine.dialect.name == "sqlite" else Line(at_once)
        self._asked: deque[_Asked[object]] = deque()
        self._guard = threading.Lock()
        self._led = False

    def __len__(self) -> int:
        """How many writes wait for their commit to begin."""
        return len(self._asked if self._line is None else self._line)

    def write(self, work: Callable[[Connection], T]) -> T:
        """What `work` returns, after what it wrote is committed; what it raises, after nothing of it was written.

        `work` is called once or twice: when one of a commit fails, all of it is undone and each is done by itself.
        Raises StoreError as `writing` does.
        """
        if self._line is not None:
            with self._line, writing(self._engine) as db:
                return work(db)
        asked: _Asked[T] = _Asked(work)
        with self._guard:
            self._asked.append(asked)  # type: ignore[arg-type]
            follows, self._led = self._led, True
        if follows:
            asked.wake.acquire()
        if not asked.done:
            self._lead(asked)  # type: ignore[arg-type]
        return asked.outcome()

    def _lead(self, mine: _Asked[object]) -> None:
        """Commit until one's own is done, then wake who came first of those that wait, to go on with it.

        One lock for all would be taken by whoever runs, and those that sleep would wait for long.
        """
        try:
            while not mine.done:
                self._commit(self._asked)
        finally:
            with self._guard:
                if mine in self._asked:  # interrupted
                    self._asked.remove(mine)
                self._led = bool(self._asked)
                if self._led:
                    self._asked[0].wake.release()

    def _commit(self, asked: deque[_Asked[object]]) -> None:
        """Commit the first of those who asked, at least one."""
        together: list[_Asked[object]] = []
        try:
            with writing(self._engine) as db:
                # Only now, when it is our turn: who came while we waited is with us.
                together = [asked.popleft() for _ in range(min(len(asked), self._most))]
                for each in together:
                    each.value = each.work(db)
        except BaseException as error:
            if len(together) > 1 and isinstance(error, Exception):
                for each in together:
                    self._commit(deque([each]))
                return
            if not together:  # it was never our turn, nor theirs
                together = [asked.popleft() for _ in range(len(asked))]
            for each in together:
                each.error = error
        for each in together:
            each.finish()


class _Asked(Generic[T]):
    def __init__(self, work: Callable[[Connection], T]) -> None:
        self.work = work
        self.done = False
        self.wake = threading.Lock()
        """Taken until this is done, or its thread is to lead."""
        self.wake.acquire()
        self.value: T
        self.error: BaseException | None = None

    def finish(self) -> None:
        self.done = True
        self.wake.release()

    def outcome(self) -> T:
        if self.error is not None:
            raise self.error
        return self.value
