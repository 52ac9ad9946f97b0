"""Asking a variant: counted, and its endpoint's shadows asked the same after the answer is made.

Also what the routes of both formats share: which endpoint is meant.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from flask import current_app

from palate.errors import UnknownIdError
from services.endpoints.counts import Counts
from services.endpoints.hosting import Hosted, Hosting, Running
from services.variants.shadows import Shadows, is_failure

KEY = "palate.endpoints"
INVOKING = "palate.invoking"
T = TypeVar("T")


class Invoking:
    """Safe to share between threads. alongside: other work of this worker, each until its event is set."""

    def __init__(self, counts: Counts, *alongside: Callable[[threading.Event], None]) -> None:
        self._counts = counts
        self._shadows = Shadows(counts)
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=work, args=(self._stop,), name="palate-alongside", daemon=True)
            for work in (self._shadows.loop, *alongside)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(10)

    def ask(self, running: Running, chosen: Hosted, make: Callable[[Hosted], T]) -> T:
        """`make(chosen)`. What it raises is the variant's failure, if it is not the request's fault."""
        began = time.perf_counter()
        try:
            found = make(chosen)
        except Exception as error:
            if is_failure(error):
                self._count(chosen, began, failed=True)
            raise
        self._count(chosen, began)
        for shadow in running.shadows:
            if shadow is not chosen:
                self._shadows.ask(shadow.token, lambda shadow=shadow: make(shadow))  # type: ignore[misc]
        return found

    def _count(self, chosen: Hosted, began: float, *, failed: bool = False) -> None:
        self._counts.add(chosen.token, ms=(time.perf_counter() - began) * 1000, failed=failed)


def hosting() -> Hosting:
    """What `create` left in the app."""
    found: Hosting = current_app.extensions[KEY]
    return found


def the_endpoint() -> str:
    """The endpoint that bare `/invocations` means: the one of the settings, or the only one there is.

    Raises UnknownIdError if neither says which.
    """
    named: str = current_app.extensions["palate"].settings.invocations_endpoint
    if named:
        return named
    names = list(hosting().hosted) or [each.name for each in hosting().store.all()]
    if len(names) != 1:
        raise UnknownIdError(
            f"{len(names)} endpoints are deployed, so none is meant here.",
            hint="Say which by `palate endpoints serve --endpoint NAME`, or ask /endpoints/NAME/invocations.",
        )
    return names[0]


def ask(running: Running, chosen: Hosted, make: Callable[[Hosted], T]) -> T:
    """`make(chosen)`, counted. Raises what it raises."""
    invoking: Invoking = current_app.extensions[INVOKING]
    return invoking.ask(running, chosen, make)
