"""What a project asks of automatic labels."""

from __future__ import annotations

import math
from dataclasses import dataclass

from labeling.autolabel.guarantee import interval
from palate.errors import ParameterError

_STRETCH = 1.3
"""So many times the audit's greatest share are checked where that share was not enough for the interval's width, and
this is."""


@dataclass(frozen=True)
class Goal:
    """A promise and its price. Raises ParameterError where a value is out of range.

    target: the share of automatic labels that shall be right. confidence: how surely, of the statement made each round.
    budget: answers of people in all, audit included; None is as many as it takes.
    check: the share of automatic labels that people check in any case, at least. The audit checks more until its
    interval is `width` wide, but no more than `check_at_most` of them, or 1.3 times that where it makes it so narrow.
    seed_items: how many people label before the first model; None leaves it to the number of items.
    growth: a round asks for this share of what people have labeled so far.
    """

    target: float = 0.95
    confidence: float = 0.95
    budget: int | None = None
    check: float = 0.01
    check_at_most: float = 0.05
    width: float = 0.05
    seed_items: int | None = None
    growth: float = 0.08

    def __post_init__(self) -> None:
        for name in ("target", "confidence", "width", "growth"):
            if not 0.0 < getattr(self, name) < 1.0:
                raise ParameterError(f"must lie between 0 and 1, not {getattr(self, name)}.", where=name)
        if not 0.0 <= self.check <= self.check_at_most <= 1.0:
            raise ParameterError("needs 0 <= check <= check_at_most <= 1.", where="check")
        if self.seed_items is not None and self.seed_items < 1:
            raise ParameterError(f"must be at least 1, not {self.seed_items}.", where="seed_items")
        if self.budget is not None and self.budget < 1:
            raise ParameterError(f"must be at least 1, not {self.budget}.", where="budget")

    def require_seed(self, n_items: int) -> None:
        """Raises ParameterError if the budget does not pay for the first model."""
        wanted = self.seed_for(n_items)
        if self.budget is not None and self.budget < wanted:
            raise ParameterError(
                f"a budget of {self.budget} answers does not pay for the {wanted} that the first model needs.",
                where="budget",
                hint="Raise it, or lower the number of items for the seed.",
            )

    def seed_for(self, n_items: int) -> int:
        """How many items people label before the first model."""
        wanted = self.seed_items if self.seed_items is not None else min(max(round(0.03 * n_items), 50), 400)
        return min(wanted, n_items)

    def audit_of(self, n_labels: int, accuracy: float | None = None, *, stretched: bool = False) -> int:
        """How many of so many automatic labels to check: enough for an interval of `width`, within the shares; where
        they are not enough, the greatest share. accuracy: what to expect; the target unless told. stretched: what was
        checked so far left the interval too wide."""
        least, most = math.ceil(self.check * n_labels), math.ceil(self.check_at_most * n_labels)
        share = self.target if accuracy is None else accuracy
        limit = min(math.ceil(_STRETCH * most), n_labels) if stretched else most
        for size in range(max(least, 1), limit + 1):
            low, high = interval(share * size, size)
            if high - low <= self.width:
                return size
        return most
