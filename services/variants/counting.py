"""What one worker counts of the variants, in memory, and adds to what all counted twice a second.

So a request costs no write; what a worker that is killed had not written is lost from the counts.
"""

from __future__ import annotations

import logging
import threading
import time
from bisect import bisect_left
from collections.abc import Sequence

from palate.errors import StoreError
from services.variants.counts import CountStore
from services.variants.tallies import LATENCIES, SLOT, Tally

log = logging.getLogger("palate.variants")
_FLUSH = 0.5
"""Seconds between two times of writing down what was counted."""


class Counting:
    """What this worker has counted and not yet written down. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[tuple[str, int], list[int]] = {}

    def add(self, token: str, *, ms: float = 0.0, lists: int = 0, failed: bool = False, dropped: bool = False) -> None:
        """A request that took so long and gave so many lists; or one that a shadow was not asked."""
        with self._lock:
            key = (token, int(time.time() // SLOT))
            row = self._held.get(key)
            if row is None:
                row = self._held[key] = [0] * (4 + len(LATENCIES) + 1)
            if dropped:
                row[3] += 1
                return
            row[0] += 1
            row[1] += lists
            row[2] += failed
            row[4 + bisect_left(LATENCIES, ms)] += 1

    def write(self, store: CountStore) -> None:
        """Writes down what was counted. Raises StoreError, and then holds it still."""
        with self._lock:
            held, self._held = self._held, {}
        if not held:
            return
        try:
            store.add_tallies({key: _tally(row) for key, row in held.items()})
        except BaseException:
            with self._lock:
                for key, row in held.items():
                    now = self._held.get(key)
                    self._held[key] = row if now is None else [a + b for a, b in zip(row, now, strict=True)]
            raise

    def loop(self, store: CountStore, stop: threading.Event) -> None:
        """Writes the counts down until `stop` is set, and once more then."""
        while True:
            stopping = stop.wait(_FLUSH)
            try:
                self.write(store)
            except StoreError as error:
                log.warning("what was counted of the variants cannot be written yet: %s", error)
            except Exception:  # the thread must outlive whatever a database can throw
                log.exception("writing the counts of the variants failed")
            if stopping:
                return


def _tally(row: Sequence[int]) -> Tally:
    requests, lists, errors, dropped = row[:4]
    return Tally(requests, lists, errors, dropped, 0, tuple(row[4:]))
