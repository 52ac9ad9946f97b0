"""Which items people are asked next: drawn by chance, each with a known chance that grows with the model's doubt.

A draw that is sure to take the least sure items would leave nothing by which to judge the rest. Here the chance of
being drawn falls off steeply with confidence but is never nothing, so that every answer trains the model and also
counts, at its weight, as evidence (see `guarantee`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
TO_LEARN = 1.5
"""Chances are in proportion to doubt to this power while the model is not good enough ..."""
TO_PROVE = 1.0
"""... and to this one once it seems to be, and proof is what is lacking. (The share of errors alone would be estimated
best with 0.5, Neyman's allocation, but what is asked still trains. Of 0.5, 1 and 1.5, 1 left most automatic on digits.)
..."""
EVENLY = 0.05
"""... except for this share of the draws, which falls on all items alike, sure or not."""


class Chances:
    """The chance of being drawn as a function of confidence, such that about `n` of the pool are drawn."""

    def __init__(self, pool: Floats, n: int, steepness: float = TO_LEARN) -> None:
        self._steepness = steepness
        self.everything = n >= len(pool)
        doubt = (1.0 - pool) ** self._steepness
        self._even = EVENLY * n / max(len(pool), 1)
        self._scale = 0.0
        if self.everything or not doubt.any():
            self._even = min(n / max(len(pool), 1), 1.0)
            return
        self._scale = (1.0 - EVENLY) * n / doubt.sum()
        for _ in range(30):  # those sure to be drawn leave the others more
            drawn = self(pool).sum()
            if abs(drawn - n) < 1e-3 * n:
                return
            self._scale *= n / drawn
        sure = self(pool) >= 1.0  # only a few are doubted at all: the rest of the draws falls evenly on the others
        self._even += (n - self(pool).sum()) / max((~sure).sum(), 1)

    def __call__(self, confidence: Floats) -> Floats:
        if self.everything:
            return np.ones_like(confidence)
        return np.minimum(1.0, self._even + self._scale * (1.0 - confidence) ** self._steepness)


def draw(chances: Floats, rng: np.random.Generator) -> NDArray[np.intp]:
    """Indices drawn with exactly these chances, their number fixed up to rounding (systematic, in random order)."""
    order = rng.permutation(len(chances))
    reach = np.cumsum(chances[order])
    marks = np.arange(rng.random(), reach[-1] if len(reach) else 0.0, 1.0)
    return np.sort(order[np.minimum(np.searchsorted(reach, marks, side="right"), len(order) - 1)])
