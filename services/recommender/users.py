"""What is known of users beside the model, kept in memory for those who come often."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

import numpy as np

State = TypeVar("State")
_STRANGERS = 1 << 19
"""Of how many users of whom nothing is stored that is remembered, in eight bytes each."""


class UserCache(Generic[State]):
    """Reads a user's state once, and again after it changed. Reading what is held takes no lock.

    read: asks the store. size: how many users are held; beyond it the one held longest goes. nothing: what `read` gives
    for a user of whom nothing is stored, which most users of a trained model are: of them the hash alone is held, by
    which two are taken for one another once in 2^64.
    """

    def __init__(self, read: Callable[[str], State], size: int = 50_000, nothing: State | None = None) -> None:
        self._read = read
        self._size = size
        self._nothing = nothing
        self._held: dict[str, State] = {}
        self._strangers = np.zeros(_STRANGERS if nothing is not None else 1, np.int64).data
        self._lock = threading.Lock()
        self._forgotten = 0

    def get(self, user: str) -> State:
        found = self._held.get(user)
        if found is not None:
            return found
        key, place = self._place(user)
        if self._nothing is not None and self._strangers[place] == key:
            return self._nothing
        before = self._forgotten
        found = self._read(user)
        with self._lock:
            # A change that came between reading and now would be lost if the older state were kept.
            if before == self._forgotten:
                if found is self._nothing:
                    self._strangers[place] = key
                    return found
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
                key, place = self._place(user)
                if self._strangers[place] == key:
                    self._strangers[place] = 0

    def _place(self, user: str) -> tuple[int, int]:
        """What a stranger is remembered by, never 0, and where."""
        key = hash(user) or 1
        return key, key % len(self._strangers)
