"""Shadows: variants that are asked what others answer, and never answer themselves."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from queue import Empty, Full, Queue
from typing import Any, Protocol

from palate.errors import PalateError

log = logging.getLogger("palate.variants")
_WAITING = 100
"""Requests that may wait for the shadows; what comes beyond is dropped, and counted."""


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
