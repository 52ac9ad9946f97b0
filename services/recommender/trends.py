"""What is done more often lately than usual: each item's share of recent events against its usual share.

Two counts per item forget at different speeds, one with a half-life of `hours`, one of `BASELINE` times that; what
the slow one leads to expect of the fast one is subtracted, and divided by the root of it, as chance would have it. A
rush on the whole shop lifts no item, for shares are compared; an item that was not there before has no usual share,
so it rises at once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from services.recommender.catalogue import Catalogue
from services.recommender.ranker import Ranked

BASELINE = 14
_MEMORY = 5
"""Half-lives of the slow count after which events count for nothing: less than a thirtieth."""
_FRESH = 1.0
"""Seconds for which a look at the store is good."""
LEAST = 1.0
"""Deviations above what was expected from which an item trends."""

Activity = tuple[int, Sequence[tuple[str, int, int]]]
"""Up to which change it was read, and (item, hours since 1970 UTC, events in that hour)."""
Floats = npt.NDArray[np.float64]


class Trends:
    """The trending items, read from the store when somebody asks. Safe to share between threads.

    read: from a change and an hour on, the events per item and hour. hours: the half-life of what is recent.
    """

    def __init__(self, read: Callable[[int, int], Activity], hours: float) -> None:
        self._read = read
        self._lives = np.array([[hours], [hours * BASELINE]])
        self._lock = threading.Lock()
        self._items: dict[str, int] = {}
        self._counts: Floats = np.zeros((2, 0))
        self._change, self._hour = 0, 0.0
        self._looked = float("-inf")
        self._ranked: tuple[Catalogue, Ranked] | None = None

    def ranked(self, catalogue: Catalogue) -> Ranked:
        """The items of a catalogue that trend, most first; the score is in deviations above the expected."""
        with self._lock:
            if time.monotonic() - self._looked > _FRESH:
                self._follow(time.time() / 3600)
                self._looked, self._ranked = time.monotonic(), None
            if self._ranked is None or self._ranked[0] is not catalogue:
                self._ranked = catalogue, self._rank(catalogue)
            return self._ranked[1]

    def _follow(self, now: float) -> None:
        """Takes in what was done since the last look. `now`: in hours since 1970 UTC."""
        oldest = int(now - _MEMORY * float(self._lives[1, 0]))
        self._change, found = self._read(self._change, oldest)
        self._counts *= 0.5 ** ((now - self._hour) / self._lives)
        self._hour = now
        if not found:
            return
        at = [self._items.setdefault(item, len(self._items)) for item, _, _ in found]
        grown = np.zeros((2, len(self._items)))
        grown[:, : self._counts.shape[1]] = self._counts
        ages = np.maximum(now - (np.array([hour for _, hour, _ in found]) + 0.5), 0)
        weights = np.array([count for _, _, count in found]) * 0.5 ** (ages / self._lives)
        for row in (0, 1):
            np.add.at(grown[row], at, weights[row])
        self._counts = grown

    def _rank(self, catalogue: Catalogue) -> Ranked:
        recent, slow = self._counts
        if not len(recent):
            return np.empty(0, np.int32), np.empty(0, np.float32)
        # What the slow count holds beyond the fast one happened before; a little of the recent stands in for it where
        # nothing did, so that a shop that has just opened has no trends yet.
        usual = slow - recent * (1 - 1 / BASELINE)
        expected = usual * (recent.sum() / max(float(usual.sum()), 1e-300))
        scores = ((recent - expected) / np.sqrt(expected + 1)).astype(np.float32)
        codes = catalogue.ids.encode(list(self._items))
        rising = np.flatnonzero((scores >= LEAST) & (codes >= 0))
        order = rising[np.argsort(-scores[rising], kind="stable")]
        return codes[order], scores[order]
