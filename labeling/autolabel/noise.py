"""What an imperfect reference says about the truth.

Where people err, a right automatic label disagrees with theirs now and then. With references that are right with
probability r, and otherwise any of the other K - 1 labels, labels of accuracy a agree with them with probability
a·r + (1 - a)(1 - r)/(K - 1). Estimates, bounds and targets are compared on that scale, and told on the other
(Rogan & Gladen 1978).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Reference:
    """Labels that are right with probability `reliability`, of `n_labels` kinds."""

    reliability: float = 1.0
    n_labels: int = 2

    def __post_init__(self) -> None:
        chance = 1.0 / max(self.n_labels, 2)
        if not chance < self.reliability <= 1.0:  # no better than guessing: nothing can be learned from agreement
            object.__setattr__(self, "reliability", min(max(self.reliability, chance + 0.05), 1.0))

    @property
    def by_chance(self) -> float:
        """How often a wrong label agrees with a wrong reference."""
        return (1.0 - self.reliability) / max(self.n_labels - 1, 1)

    def agreement(self, accuracy: float) -> float:
        return accuracy * self.reliability + (1.0 - accuracy) * self.by_chance

    def accuracy(self, agreement: float) -> float:
        truth = (agreement - self.by_chance) / (self.reliability - self.by_chance)
        return min(max(truth, 0.0), 1.0)
