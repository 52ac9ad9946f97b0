"""What threads wait in before they work: so many at a time, in the order in which they came, or one for several."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

A = TypeVar("A")
B = TypeVar("B")


class Line:
    """A semaphore lets whoever runs in before those that sleep; here a place is handed to who waits longest. Safe to
    share between threads.

        with line: ...                              # waits for as long as it takes
        if line.enter(seconds=5, most=64): ...      # line.leave() at the end
    """

    def __init__(self, places: int) -> None:
        self._places = places
        self._waiting: deque[threading.Lock] = deque()
        self._guard = threading.Lock()

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def enter(self, seconds: float | None = None, most: int | None = None) -> bool:
        """Whether there is a place now, after `seconds` at most; behind `most` that wait already, nobody waits."""
        with self._guard:
            if self._places:
                self._places -= 1
                return True
            if most is not None and len(self._waiting) >= most:
                return False
            mine = threading.Lock()
            mine.acquire()
            self._waiting.append(mine)
        if mine.acquire(timeout=-1 if seconds is None else seconds):
            return True
        with self._guard:
            if mine in self._waiting:
                self._waiting.remove(mine)
                return False
        return True  # It was given the place just now.

    def leave(self) -> None:
        with self._guard:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._places += 1

    def __enter__(self) -> None:
        self.enter()

    def __exit__(self, *error: object) -> None:
        self.leave()


class Asked(Generic[A, B]):
    """What a thread asked for, and what comes of it."""

    def __init__(self, what: A) -> None:
        self.what = what
        self.done = False
        self.wake = threading.Lock()
        """Taken until this is done, or its thread is to lead."""
        self.wake.acquire()
        self.value: B
        self.error: BaseException | None = None

    def finish(self, value: B) -> None:
        """Its thread goes on with this."""
        self.value = value
        self._end()

    def fail(self, error: BaseException) -> None:
        """Its thread raises this."""
        self.error = error
        self._end()

    def _end(self) -> None:
        self.done = True
        self.wake.release()

    def outcome(self) -> B:
        if self.error is not None:
            raise self.error
        return self.value


class Together(Generic[A, B]):
    """What came in while one thread was at work is done for all of them at once, by one of those that wait. Safe to
    share between threads.

    do: takes those it does off the front of what it is given, at least the first, and ends each of them.
    """

    def __init__(self, do: Callable[[deque[Asked[A, B]]], None]) -> None:
        self._do = do
        self._asked: deque[Asked[A, B]] = deque()
        self._guard = threading.Lock()
        self._led = False

    def __len__(self) -> int:
        """How many wait until they are taken."""
        return len(self._asked)

    def ask(self, what: A) -> B:
        """What came of it; raises what it failed with."""
        mine: Asked[A, B] = Asked(what)
        with self._guard:
            self._asked.append(mine)
            follows, self._led = self._led, True
        if follows:
            mine.wake.acquire()
        if not mine.done:
            self._lead(mine)
        return mine.outcome()

    def _lead(self, mine: Asked[A, B]) -> None:
        """Work until one's own is done, then wake who came first of those that wait, to go on with it.

        One lock for all would be taken by whoever runs, and those that sleep would wait for long.
        """
        try:
            while not mine.done:
                self._do(self._asked)
        finally:
            with self._guard:
                if mine in self._asked:  # interrupted
                    self._asked.remove(mine)
                self._led = bool(self._asked)
                if self._led:
                    self._asked[0].wake.release()
