"""Small writes of many threads, several to a commit.

Each commit waits until the disk has it, whatever is in it. Where writers come one after the other, as on SQLite, that
wait is most of a small write; what came in meanwhile is therefore committed together, by one of the threads that
wait (group commit: Gray & Reuter, Transaction Processing, 1993, section 9.4). On PostgreSQL writers don't wait for each
other, and its server does the same with their commits: there each write is a transaction of its own. A few of them are
at work at once, the others wait in the order in which they came: more would take the processors from each other, and
who began first would end last now and then.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

from sqlalchemy import Connection, Engine

from palate.store.engine import writing
from palate.waiting import Asked, Line, Together

T = TypeVar("T")
_Asked: TypeAlias = Asked[Callable[[Connection], Any], Any]
MOST = 64
"""Writes in one commit."""
AT_ONCE = 4
"""Writes of one process at a time on PostgreSQL."""


class Commits:
    """The small writes of one process to a database. Safe to share between threads."""

    def __init__(self, engine: Engine, most: int = MOST, at_once: int = AT_ONCE) -> None:
        self._engine, self._most = engine, most
        self._line = None if engine.dialect.name == "sqlite" else Line(at_once)
        self._together: Together[Callable[[Connection], Any], Any] = Together(self._commit)

    def __len__(self) -> int:
        """How many writes wait for their commit to begin."""
        return len(self._together if self._line is None else self._line)

    def write(self, work: Callable[[Connection], T]) -> T:
        """What `work` returns, after what it wrote is committed; what it raises, after nothing of it was written.

        `work` is called once or twice: when one of a commit fails, all of it is undone and each is done by itself.
        Raises StoreError as `writing` does.
        """
        if self._line is not None:
            with self._line, writing(self._engine) as db:
                return work(db)
        done: T = self._together.ask(work)
        return done

    def _commit(self, asked: deque[_Asked]) -> None:
        """Commit the first of those who asked, at least one."""
        together: list[_Asked] = []
        try:
            with writing(self._engine) as db:
                # Only now, when it is our turn: who came while we waited is with us.
                together = [asked.popleft() for _ in range(min(len(asked), self._most))]
                values = [each.what(db) for each in together]
        except BaseException as error:
            if len(together) > 1 and isinstance(error, Exception):
                for each in together:
                    self._commit(deque([each]))
                return
            if not together:  # it was never our turn, nor theirs
                together = [asked.popleft() for _ in range(len(asked))]
            for each in together:
                each.fail(error)
            return
        for each, value in zip(together, values, strict=True):
            each.finish(value)
