"""What counts say of variants: click-through with its uncertainty, and tests that may be looked at all the time.

A test here is an e-process: a number that starts at 1, and that exceeds 1/a at any time with probability a at most as
long as its hypothesis ("the bound is kept") holds (Ville's inequality). So one may look after every request, and stop
whenever it is large (Ramdas, Gruenwald, Vovk and Shafer, "Game-theoretic statistics and safe anytime-valid
inference", 2023). What is assumed: given what came before, each request of a variant breaks its bound with a
probability that the hypothesis limits. Everything is in logarithms.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.special import betainc, betaincinv

Floats = npt.NDArray[np.float64]

_ODDS = np.array([1.25, 1.5, 2.0, 4.0, 8.0, 32.0, 256.0])
"""By how much the odds of the alternatives exceed those of the bound."""
_DROPS = np.array([0.0, 0.25, 0.5, 0.7, 0.8, 0.9, 0.95])
"""The alternatives for a click-through: these shares of the least that is allowed."""
_POINTS = 2048
"""Quantiles at which the probability of being best is summed."""


@dataclass(frozen=True)
class ClickThrough:
    """The posterior of a click-through rate under a uniform prior, Beta(1 + clicks, 1 + lists - clicks).

    low, high: the equal-tailed interval that holds 95 %.
    """

    mean: float
    low: float
    high: float


def click_through(clicks: int, lists: int) -> ClickThrough:
    """What so many clicked lists of so many say."""
    a, b = 1.0 + clicks, 1.0 + max(lists - clicks, 0)
    low, high = betaincinv(a, b, [0.025, 0.975])
    return ClickThrough(a / (a + b), float(low), float(high))


def best(counts: Sequence[tuple[int, int]]) -> list[float]:
    """The probability of each of several (clicks, lists) that its click-through is the highest of all.

    The expectation over one posterior of the chance that all others lie below, summed over its quantiles: accurate
    to about 0.001, and always the same.
    """
    if not counts:
        return []
    shapes = [(1.0 + clicks, 1.0 + max(lists - clicks, 0)) for clicks, lists in counts]
    quantiles = (np.arange(_POINTS) + 0.5) / _POINTS
    found = []
    for at, (a, b) in enumerate(shapes):
        points = betaincinv(a, b, quantiles)
        below = np.ones(_POINTS)
        for other, (c, d) in enumerate(shapes):
            if other != at:
                below *= betainc(c, d, points)
        found.append(float(below.mean()))
    total = sum(found)
    return [each / total for each in found]


def excess(bad: int, n: int, bound: float) -> float:
    """The logarithm of the evidence that more than a share `bound` (above 0, below 1) of requests are bad.

    A mixture of likelihood ratios over larger shares; it depends on the totals alone.
    """
    odds = bound / (1 - bound) * _ODDS
    shares = odds / (1 + odds)
    ratios = bad * np.log(shares / bound) + (n - bad) * np.log((1 - shares) / (1 - bound))
    return _log_mean(ratios)


@dataclass(frozen=True)
class Loss:
    """The evidence, so far, that a variant's click-through is less than `share` of the baseline's.

    Blocks of both are added as they come. For each, the ratio of two likelihoods is multiplied on: of alternatives
    that were fixed before the block was seen, and of the nearest pair of rates that the hypothesis allows, nearest in
    Kullback-Leibler divergence weighted by the counts; which makes it an e-variable for the whole hypothesis, convex as
    it is (Turner, Ly and Gruenwald, "Generic e-variables for exact sequential k-sample tests that allow for optional
    stopping", 2024). logs: of each alternative; the others: what was seen so far.
    """

    share: float
    logs: tuple[float, ...] = (0.0,) * len(_DROPS)
    clicks: int = 0
    lists: int = 0
    base_clicks: int = 0
    base_lists: int = 0

    @property
    def log(self) -> float:
        return _log_mean(np.asarray(self.logs))

    def after(self, clicks: int, lists: int, base_clicks: int, base_lists: int) -> Loss:
        """With one more block: clicked lists and lists of the variant, and of the baseline."""
        clicks, base_clicks = min(clicks, lists), min(base_clicks, base_lists)
        seen = replace(
            self,
            clicks=self.clicks + clicks,
            lists=self.lists + lists,
            base_clicks=self.base_clicks + base_clicks,
            base_lists=self.base_lists + base_lists,
        )
        # Without a click so far nothing is known of the rates to bet on, and without both sides nothing is compared.
        if not self.clicks + self.base_clicks or not lists or not base_lists:
            return seen
        drops = self.share * _DROPS
        base = (self.clicks + self.base_clicks + 0.5) / (self.base_lists + drops * self.lists + 1)
        base = np.clip(base, 1e-9, min(1.0, 1 / self.share) * (1 - 1e-6))
        own = np.clip(drops * base, 1e-9, 1 - 1e-6)
        null_base = _nearest(own, lists, base, base_lists, self.share)
        null_own = self.share * null_base
        gained = (
            _log_likelihood(own, clicks, lists)
            + _log_likelihood(base, base_clicks, base_lists)
            - _log_likelihood(null_own, clicks, lists)
            - _log_likelihood(null_base, base_clicks, base_lists)
        )
        return replace(seen, logs=tuple((np.asarray(self.logs) + gained).tolist()))


def _nearest(own: Floats, n: int, base: Floats, m: int, share: float) -> Floats:
    """The x for which (share x, x) is nearest to (own, base), weighted n to m: a quadratic equation's smaller root."""
    total = float(n + m)
    a, b, c = n * own + m * base, m * (1 - base), n * (1 - own)
    half = a * (1 + share) + c * share + b
    root: Floats = 2 * a / (half + np.sqrt(np.maximum(half**2 - 4 * share * total * a, 0)))
    return root


def _log_likelihood(rate: Floats, clicks: int, lists: int) -> Floats:
    found: Floats = clicks * np.log(rate) + (lists - clicks) * np.log1p(-rate)
    return found


def _log_mean(logs: Floats) -> float:
    top = float(logs.max())
    return top + math.log(float(np.exp(logs - top).mean()))
