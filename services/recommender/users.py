"""What is known of users beside the model, kept in memory for those who come often."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

State = TypeVar("State")


class UserCache(Generic[State]):
    """Reads a user's state once, and again after it changed. Reading what is held takes no lock.

    read: asks the store. size: how many users are held; beyond it the one held longest goes.
    """

    def __init__(self, read: Callable[[str], State], size: int = 50_000) -> None:
        self._read = read
        self._size = size
        self._held: dict[str, State] = {}
        self._lock = threading.Lock()
        self._forgotten = 0

    def get(self, user: str) -> State:
        found = self._held.get(user)
        if found is not None:
            return found
        before = self._forgotten
        found = self._read(user)
        with self._lock:
            # A change that came between reading and now would be lost if the older state were kept.
            if before == self._forgotten:
                self._held[user] = found
                while len(self._held) > self._size:
                    del self._held[next(iter(self._held))]
        return found

    def forget(self, users: Iterable[str]) -> None:
        """Drops what is held of these users."""
        with self._lock:
            self._forgotten += 1
            for user in users:
                self._held.pop(user, None)
