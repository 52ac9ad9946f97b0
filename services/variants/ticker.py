"""Advances roll-outs: every worker looks whether one is due, and for each the first to come does it."""

from __future__ import annotations

import logging
import threading
import time

from palate.errors import StoreError
from services.variants.store import RolloutStore

log = logging.getLogger("palate.variants")
_FORGET = 3600.0
"""Seconds between two times of forgetting old counts."""


def tick(store: RolloutStore, now: float, every: float) -> None:
    """Looks at the roll-outs that nobody has looked at for `every` seconds. Raises StoreError."""
    for number in store.due(now - every):
        store.look(number, now, every)


def loop(store: RolloutStore, stop: threading.Event, every: float) -> None:
    """Ticks until `stop` is set."""
    forgotten = time.monotonic()
    while not stop.wait(every / 2):
        try:
            tick(store, time.time(), every)
            if time.monotonic() - forgotten > _FORGET:
                forgotten = time.monotonic()
                store.forget_counts(time.time())
        except StoreError as error:
            log.warning("roll-outs cannot be looked at: %s", error)
        except Exception:  # the thread must outlive whatever a database can throw
            log.exception("looking at the roll-outs failed")
