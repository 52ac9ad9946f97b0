"""A kind of model within a search: its space, its study, what its trials found, and what one more would cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from palate.models import recommender_class
from palate.tuning.spaces import Facts, Space
from palate.tuning.trials import Outcome

if TYPE_CHECKING:
    from optuna.study import Study

_STARTING = 0.3
"""Seconds of a first fit that do not grow with the data: imports, machine code."""
_CAUTION = 1.3
"""Estimates are multiplied by this: a busy machine must not make the budget a lie."""


@dataclass
class Kind:
    """A kind within the search: its space, its study, and what its trials found."""

    name: str
    space: Space
    facts: Facts
    study: Study
    outcomes: list[Outcome] = field(default_factory=list)
    done: bool = False
    why: str = ""
    points: list[dict[str, Any]] = field(default_factory=list)
    """Of a grid, those not tried yet."""
    misses: int = 0
    """Settings in a row that would have taken too long."""

    @property
    def best(self) -> Outcome | None:
        return max((each for each in self.outcomes if each.whole), key=lambda each: each.ndcg, default=None)

    @property
    def defaults(self) -> dict[str, Any]:
        """The model's own values of what is tuned of it; but the recent items count as they do at first."""
        params = recommender_class(self.name).Params()
        values = {name: getattr(params, name) for name in self.space.ranges}
        return values | ({"recency": self.space.first["recency"]} if "recency" in values else {})

    def estimate(self, values: Mapping[str, Any]) -> float:
        """Seconds that a fit with these settings may take: by the space, corrected by what trials took."""
        rates = [
            max(0.1, (each.fitting - _STARTING) / self.space.work(self.facts, each.candidate.values))
            for each in self.outcomes
            if not each.failure and each.candidate.share == 1
        ]
        # settings differ in what the formula misses: between the usual and the worst case seen
        rate = float(np.quantile(rates, 0.8)) if rates else 1.0
        return (_STARTING + self.space.work(self.facts, values) * rate) * _CAUTION
