"""So many at a time, the others in the order in which they came: what threads wait in before they work."""

from __future__ import annotations

import threading
from collections import deque


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
