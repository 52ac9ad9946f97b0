"""How right a model's labels are on what is still unlabeled: an estimate, and a bound that holds with confidence.

Items that people labeled are no fair sample of the rest: the loop asks about hard items rather than easy ones. So each
item carries its `survival`, the probability that the draws of all rounds so far would have left it unlabeled: the
product of (1 - the chance it had of being drawn) over rounds, where an item that was drawn keeps counting by what the
later models say of it without its own label. An item labeled by people then stands for survival / (1 - survival) items
that were not: inverse odds weighting, unbiased for sums over the pool whatever the draws favoured. (Horvitz & Thompson
1952; for active learning compare Farquhar, Gal & Rainforth 2021.)

The estimate is model-assisted (Särndal et al. 1992, ch. 6): the mean calibrated confidence over the pool, plus the
weighted mean of what the labeled items' outcomes add to theirs. The bound is Clopper and Pearson's at the effective
sample size (Korn & Graubard 1998).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, expit, logit

Floats = NDArray[np.float64]
_LEAST_SURVIVAL = 1e-9
_SUREST = 1e-5
_STEPS = 60


def odds_weights(survival: Floats) -> Floats:
    """How many unlabeled items each labeled one stands for."""
    weights: Floats = survival / np.maximum(1.0 - survival, _LEAST_SURVIVAL)
    return weights


def signals(logs: NDArray[np.floating]) -> Floats:
    """(n, 2) from log-probabilities (n, n_labels): the logit of the best one, and the log of its lead over the next."""
    best = logs.max(axis=1).astype(np.float64)
    second = np.partition(logs, -2, axis=1)[:, -2].astype(np.float64) if logs.shape[1] > 1 else best - 10.0
    top = np.clip(np.exp(best), _SUREST, 1.0 - _SUREST)
    return np.column_stack([logit(top), np.log(np.maximum(best - second, 1e-3))])


@dataclass(frozen=True)
class Calibration:
    """Confidence as it turned out: sigmoid(intercept + signals · slopes) (Platt 1999, with a second signal)."""

    intercept: float
    slopes: tuple[float, ...]

    def __call__(self, given: Floats) -> Floats:
        calibrated: Floats = np.clip(expit(self.intercept + given @ self.slopes), _SUREST, 1.0 - _SUREST)
        return calibrated

    @classmethod
    def fit(cls, given: Floats, right: Floats, weights: Floats, prior: float = 1.0) -> Calibration:
        """By weighted logistic regression; the prior, worth one item, is that the first signal is calibrated already.

        given: signals (n, d), the first a logit. right: 1 where the model's label is right, 0 where it is wrong.
        """
        expected = np.zeros(given.shape[1] + 1)
        expected[1] = 1.0
        if not weights.sum() > 0:
            return cls(0.0, tuple(expected[1:].tolist()))
        weights = weights * (len(weights) / weights.sum())
        design = np.column_stack([np.ones(len(given)), given])
        at = expected
        for _ in range(50):
            fitted = expit(design @ at)
            gradient = design.T @ (weights * (right - fitted)) - prior * (at - expected)
            curvature = (design * (weights * fitted * (1.0 - fitted))[:, None]).T @ design + prior * np.eye(len(at))
            step = np.clip(np.linalg.solve(curvature, gradient), -1.0, 1.0)
            at = at + step
            if np.abs(step).max() < 1e-8:
                break
        return cls(float(at[0]), tuple(at[1:].tolist()))


@dataclass(frozen=True)
class Promise:
    """Automatic labels for what has at least `threshold` confidence: how many, how right, how right at least."""

    threshold: float
    items: int
    accuracy: float
    bound: float
    effective: float


@dataclass(frozen=True)
class Evidence:
    """What is known of a model: of the pool its confidences; of labeled items confidence, outcome and weight."""

    pool: Floats
    confidence: Floats
    right: Floats
    weights: Floats

    def promise(self, threshold: float, confidence: float) -> Promise:
        """Estimate and bound for the pool's items at or above a threshold."""
        chosen, known = self.pool[self.pool >= threshold], self.confidence >= threshold
        weights, expected, right = self.weights[known], self.confidence[known], self.right[known]
        total = float(weights.sum())
        if not len(chosen) or total <= 0:
            return Promise(threshold, len(chosen), 0.0, 0.0, 0.0)
        accuracy = float(chosen.mean() + (weights * (right - expected)).sum() / total)
        accuracy = min(max(accuracy, 0.0), 1.0)
        doubt = 1.0 - expected
        spread = float((weights**2 * doubt).sum()) / (total * float((weights * doubt).sum()))
        effective = 1.0 / (spread + 1.0 / len(chosen))  # how these very items turned out is by chance, too
        bound = lower_bound(accuracy, effective, confidence)
        return Promise(threshold, len(chosen), accuracy, bound, effective)

    def widest(self, target: float, confidence: float) -> Promise | None:
        """The lowest threshold whose bound reaches the target, of `_STEPS` quantiles of the pool; None if none does."""
        if not len(self.pool):
            return None
        ranked = np.sort(self.pool)
        for start in (np.arange(_STEPS) * len(ranked)) // _STEPS:
            promise = self.promise(float(ranked[start]), confidence)
            if promise.bound >= target:
                return promise
        return None


def lower_bound(share: float, n: float, confidence: float) -> float:
    """Clopper and Pearson's one-sided lower bound of a share seen in n draws; n may be fractional."""
    return float(betaincinv(share * n, (1.0 - share) * n + 1.0, 1.0 - confidence)) if share > 0 else 0.0


def interval(right: float, n: float, confidence: float = 0.95) -> tuple[float, float]:
    """Clopper and Pearson's two-sided interval of a share; `right` may be a sum of probabilities."""
    tail = (1.0 - confidence) / 2.0
    low = float(betaincinv(right, n - right + 1.0, tail)) if right > 0 else 0.0
    high = float(betaincinv(right + 1.0, n - right, 1.0 - tail)) if right < n else 1.0
    return low, high
