"""What is counted of a variant, in slots of time, and latencies in classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SLOT = 10
"""Seconds of requests that are counted together."""
BLOCK = 180
"""Slots that are summed as they are counted, half an hour: how finely it is known what was more than two days ago."""
LATENCIES = (
    0.1, 0.2, 0.5, 1.0, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 50.0, 75.0, 100.0, 150.0, 200.0, 300.0, 500.0,
    1000.0, 2000.0, 5000.0,
)  # fmt: skip
"""Milliseconds that separate the classes in which latencies are counted; the last class has no end."""


@dataclass(frozen=True)
class Tally:
    """What was counted of a variant. latencies: requests by class, one more than LATENCIES; dropped: shadows only."""

    requests: int = 0
    lists: int = 0
    errors: int = 0
    dropped: int = 0
    clicks: int = 0
    latencies: tuple[int, ...] = (0,) * (len(LATENCIES) + 1)

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.requests + other.requests,
            self.lists + other.lists,
            self.errors + other.errors,
            self.dropped + other.dropped,
            self.clicks + other.clicks,
            tuple(a + b for a, b in zip(self.latencies, other.latencies, strict=True)),
        )

    def slower(self, ms: float) -> int:
        """How many took longer than the class in which so many milliseconds are."""
        return sum(self.latencies[int(np.searchsorted(LATENCIES, ms)) + 1 :])

    def quantile(self, share: float) -> float | None:
        """The latency below which that share of the requests lies, in ms: the upper end of its class."""
        total = sum(self.latencies)
        if not total:
            return None
        at = int(np.searchsorted(np.cumsum(self.latencies), share * total))
        return LATENCIES[min(at, len(LATENCIES) - 1)]
