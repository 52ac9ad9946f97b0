"""What the services share of variants: who gets which by weight, and shadows that are asked without answering."""

from __future__ import annotations

import hashlib
import logging
import math
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from queue import Empty, Full, Queue
from typing import Any, Protocol

from palate.errors import PalateError

log = logging.getLogger("palate.variants")
_WAITING = 100
"""Requests that may wait for the shadows; what comes beyond is dropped, and counted."""


def draw(name: str, user: str | None, weights: Sequence[tuple[str, float]]) -> int:
    """Which of the (variant, weight), of which one is above 0: by chance for nobody, always the same for a user.

    name: what the variants are of. Weighted rendezvous hashing: raising one weight moves users to that variant only,
    and none between the others (Schindelhauer and Schomaker, "Weighted distributed hash tables", 2005).
    """
    if user is None:
        point = secrets.randbelow(1 << 53) / (1 << 53) * sum(weight for _, weight in weights)
        for at, (_, weight) in enumerate(weights):
            point -= weight
            if point < 0:
                return at
        return max(range(len(weights)), key=lambda at: weights[at][1])
    chosen, least = 0, math.inf
    for at, (variant, weight) in enumerate(weights):
        if weight > 0:
            text = f"{name}\n{variant}\n{user}".encode("utf-8", "surrogatepass")
            drawn = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest())
            distance = -math.log((drawn + 1) / (2**64 + 1)) / weight
            if distance < least:
                chosen, least = at, distance
    return chosen


def is_failure(error: Exception) -> bool:
    """Whether it is the variant's fault, and not that of the request."""
    return not isinstance(error, PalateError) or error.status >= 500


class Counts(Protocol):
    """Takes what became of a variant's request; token: which variant."""

    def add(
        self, token: str, *, ms: float = ..., lists: int = ..., failed: bool = ..., dropped: bool = ...
    ) -> None: ...


class Shadows:
    """Asks shadow variants in a thread of its own, after the answer was made."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self._waiting: Queue[tuple[str, Callable[[], Any]]] = Queue(_WAITING)

    def ask(self, token: str, make: Callable[[], Any]) -> None:
        """Lets the shadow make its answer when there is time for it; not if too many wait already."""
        try:
            self._waiting.put_nowait((token, make))
        except Full:
            self._counts.add(token, dropped=True)

    def loop(self, stop: threading.Event) -> None:
        """Asks whoever waits, until `stop` is set."""
        while not stop.is_set():
            try:
                token, make = self._waiting.get(timeout=0.2)
            except Empty:
                continue
            began, failed = time.perf_counter(), False
            try:
                make()
            except Exception as error:  # whatever a model can throw, the next request waits
                failed = is_failure(error)
                if failed:
                    log.warning("a shadow failed: %s", error, exc_info=not isinstance(error, PalateError))
            self._counts.add(token, ms=(time.perf_counter() - began) * 1000, failed=failed)
