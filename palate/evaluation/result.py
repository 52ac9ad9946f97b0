"""What an evaluation found, as typed objects, and as the JSON that `palate evaluate` writes."""

from __future__ import annotations

import math
import resource
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from palate.evaluation.metrics import PerUser

Interval = tuple[float, float]


@dataclass(frozen=True)
class Measures:
    """Means over users, and 95 % intervals under the same keys (`"ndcg@20"`).

    per_user: the values behind the means, `(n_test_users,)` each, NaN where a user has none; coverage, which belongs
    to no single user, is not among them.
    """

    metrics: Mapping[str, float]
    intervals: Mapping[str, Interval]
    per_user: Mapping[str, PerUser] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class DataFacts:
    """What was measured on.

    users: those with a training interaction. items: those that are ranked, the whole catalogue. test_users: users
    who were ranked for, all of them with at least one test item. personal_users: those whom the model knew, instead
    of answering by popularity.
    left_out_users: test users without anything to rank by or to find (cold start only).
    test_pairs_seen_in_training: test pairs that no ranking can find, because training items are masked; they count
    as missed. diversity_of: what item similarity in `diversity` means, "content" or "co-occurrence".
    """

    users: int
    items: int
    train_interactions: int
    test_interactions: int
    test_users: int
    personal_users: int
    train_fingerprint: str
    test_fingerprint: str
    test_pairs_seen_in_training: int = 0
    left_out_users: int = 0
    diversity_of: str = "co-occurrence"


@dataclass(frozen=True)
class Seconds:
    """Wall-clock seconds of each part; `reading` is 0 when the data was in memory already."""

    reading: float = 0.0
    training: float = 0.0
    ranking: float = 0.0


@dataclass(frozen=True)
class ColdStart:
    """The cold start's own facts, beside the metrics.

    kind: "items" or "users". holdout: the share held out. cold: how many items or users were.
    random: the expected metrics of a random ranking of the same candidates. ratio: ours over random's.
    full_ranking: for cold items, the metrics when they must be found among all items.
    """

    kind: str
    holdout: float
    cold: int
    random: Mapping[str, float]
    ratio: Mapping[str, float]
    full_ranking: Measures | None = None


@dataclass(frozen=True)
class Evaluation:
    """One model, measured."""

    model: str
    params: Mapping[str, Any]
    seed: int
    ks: tuple[int, ...]
    measures: Measures
    data: DataFacts
    seconds: Seconds
    peak_memory_mb: float
    cold: ColdStart | None = None

    @property
    def metrics(self) -> Mapping[str, float]:
        return self.measures.metrics

    @property
    def intervals(self) -> Mapping[str, Interval]:
        return self.measures.intervals

    def to_dict(self) -> dict[str, Any]:
        """JSON-serializable; a number that does not exist (diversity of one-item lists) is null."""
        result: dict[str, Any] = {
            "model": self.model,
            "params": dict(self.params),
            "seed": self.seed,
            "k": list(self.ks),
            **_measures(self.measures),
            "data": asdict(self.data),
            "seconds": asdict(self.seconds),
            "peak_memory_mb": self.peak_memory_mb,
        }
        if self.cold is not None:
            full = self.cold.full_ranking
            result["cold"] = {
                "kind": self.cold.kind,
                "holdout": self.cold.holdout,
                "cold": self.cold.cold,
                "random": {name: _number(value) for name, value in self.cold.random.items()},
                "ratio": {name: _number(value) for name, value in self.cold.ratio.items()},
                "full_ranking": None if full is None else _measures(full),
            }
        return result


def peak_memory_mb() -> float:
    """The most memory that this process has held so far, in MiB."""
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10  # macOS counts bytes, Linux KiB
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 1)


def _measures(measures: Measures) -> dict[str, Any]:
    return {
        "metrics": {name: _number(value) for name, value in measures.metrics.items()},
        "intervals": {name: [_number(low), _number(high)] for name, (low, high) in measures.intervals.items()},
    }


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
