"""Learns how much a blend trusts each of its parts, from lists of items of which users chose some.

The score of an item is linear in its terms (trust.py). So the chance that a user takes an item, among those of a list,
is that of a conditional logit model (McFadden, 1974), whose likelihood has one maximum: found by L-BFGS from a rule of
thumb, towards which the weights are held the more the less there is to learn from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from palate.models.trust import PART_TERMS, SHARED_TERMS, Trust

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

STRENGTHS = (3.0, 30.0, 300.0)
"""How many lists the rule of thumb may be worth, for each weight in units of its term's deviation."""
_COMPARED = 2000
"""Lists that suffice to choose among them."""
_STEPS = 200
_BEYOND_CHANCE = 2.0
"""So many standard errors are more than chance would give, but for one time in forty."""
_ADDED = 12
"""Parts in the simplest blend, each as often as it is in it."""


@dataclass(frozen=True)
class Lists:
    """Items from which users chose, list after list.

    terms: `(n, n_terms) float32`. chosen: `(n,) bool`, at least one of each list. starts: `(n_lists,)`, where each
    begins. importance: `(n_lists,)`.
    """

    terms: Floats
    chosen: Mask
    starts: npt.NDArray[np.int64]
    importance: Doubles

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """How many items each list has."""
        return np.diff(np.append(self.starts, len(self.chosen)))

    def taken(self, which: npt.NDArray[np.integer]) -> Lists:
        """Some of the lists, in that order."""
        lengths = self.lengths[which]
        starts = np.concatenate([[0], lengths.cumsum()[:-1]]).astype(np.int64)
        rows = np.repeat(self.starts[which] - starts, lengths) + np.arange(lengths.sum())
        return Lists(self.terms[rows], self.chosen[rows], starts, self.importance[which])


def joined(parts: Sequence[Lists]) -> Lists:
    """All lists of the parts, one after the other."""
    parts = [part for part in parts if len(part)]
    if not parts:
        none = np.zeros(0)
        return Lists(np.zeros((0, 0), np.float32), none.astype(bool), none.astype(np.int64), none)
    if len(parts) == 1:
        return parts[0]
    before = np.cumsum([0, *(len(part.chosen) for part in parts[:-1])])
    return Lists(
        np.concatenate([part.terms for part in parts]),
        np.concatenate([part.chosen for part in parts]),
        np.concatenate([part.starts + rows for part, rows in zip(parts, before, strict=True)]),
        np.concatenate([part.importance for part in parts]),
    )


def simple_shares(lists: Lists, seed: int = 0) -> list[float]:
    """What each part counts in the simplest blend, in sum 1: the parts are added up one at a time, each as often as it
    is the one that helps the NDCG of natural lists most.

    A part that helps nothing is left out, so that this is never far from the best part alone (greedy selection with
    replacement; Caruana, Niculescu-Mizil, Crew and Ksikes, "Ensemble Selection from Libraries of Models", ICML 2004).
    """
    natural = np.random.default_rng(seed).permutation(np.flatnonzero(lists.importance == 1))[:_COMPARED]
    some = lists.taken(np.sort(natural))
    scores = some.terms[:, : -len(SHARED_TERMS) : len(PART_TERMS)]
    counts, total, best = np.zeros(scores.shape[1]), np.zeros(len(scores), np.float32), 0.0
    while counts.sum() < _ADDED:
        found = [judged(some, total + scores[:, part]) for part in range(scores.shape[1])]
        if max(found) <= best:
            break
        best, chosen = max(found), int(np.argmax(found))
        counts[chosen] += 1
        total += scores[:, chosen]
    return (counts / counts.sum()).tolist() if counts.any() else [1 / len(counts)] * len(counts)


def learn(lists: Lists, rule: Trust, strength: float = STRENGTHS[0]) -> Trust:
    """The weights of the largest likelihood, held towards the rule of thumb times a learned scale.

    Every list counts alike (times its importance), however many were chosen from it. strength: so many lists the rule
    is worth; infinitely many leave it as it is.
    """
    if np.isinf(strength):
        return rule
    deviations = lists.terms.std(axis=0)
    deviations[deviations < 1e-6] = 1
    columns = np.column_stack([lists.terms @ rule.flat, lists.terms / deviations]).astype(np.float32)
    of_list = np.searchsorted(lists.starts, np.arange(len(lists.chosen)), side="right") - 1
    chosen = lists.chosen.astype(np.float64)
    weight = lists.importance / np.add.reduceat(chosen, lists.starts)
    total, wanted = lists.importance.sum(), chosen * weight[of_list]
    penalty = np.full(columns.shape[1], strength / total)

    def loss(weights: Doubles) -> tuple[float, Doubles]:
        scores = (columns @ weights.astype(np.float32)).astype(np.float64)
        most = np.maximum.reduceat(scores, lists.starts)
        chances = np.exp(scores - most[of_list])
        sums = np.add.reduceat(chances, lists.starts)
        value = (lists.importance * (most + np.log(sums))).sum() - (scores * wanted).sum()
        slope = (lists.importance / sums)[of_list] * chances - wanted
        away = weights - start
        gradient = columns.T @ slope.astype(np.float32) / total + penalty * away
        return float(value / total + (penalty * away) @ away / 2), np.asarray(gradient, dtype=np.float64)

    start = np.zeros(columns.shape[1])
    start[0] = 0.5
    limits = [(0.05, None), *[(None, None)] * (len(start) - 1)]
    found = minimize(
        loss, start, jac=True, method="L-BFGS-B", bounds=limits, options={"maxiter": _STEPS, "ftol": 1e-8}
    ).x
    return rule.with_weights(found[0] * rule.flat + found[1:] / deviations)


def judged(lists: Lists, scores: npt.NDArray[np.number], k: int = 20) -> float:
    """The mean NDCG@k of ranking each list by `scores`, `(n,)`, higher first."""
    return float(_ndcgs(lists, scores, k).mean())


def _ndcgs(lists: Lists, scores: npt.NDArray[np.number], k: int = 20) -> Doubles:
    """The NDCG@k of each list."""
    of_list = np.repeat(np.arange(len(lists)), lists.lengths)
    order = np.lexsort((-scores, of_list))
    place = np.arange(len(order)) - np.repeat(lists.starts, lists.lengths)
    gains = np.where(lists.chosen[order] & (place < k), 1 / np.log2(place + 2), 0)
    ideal = np.concatenate([[0.0], (1 / np.log2(np.arange(2, k + 2))).cumsum()])
    wanted = np.add.reduceat(lists.chosen.astype(np.int64), lists.starts)
    found: Doubles = np.add.reduceat(gains, lists.starts) / ideal[np.minimum(wanted, k)]
    return found


@dataclass(frozen=True)
class Comparison:
    """Mean NDCG@20 within natural lists, each by weights that were not learned from it.

    by_strength: of weights held to the rule of thumb by so many lists; infinity is the rule itself. alone: of the
    first part by itself. error: of the difference between the best of them and that part, one standard error.
    """

    by_strength: Mapping[float, float]
    alone: float
    error: float

    @property
    def strength(self) -> float:
        """The best; of equals the one nearer to the rule."""
        return _strongest(self.by_strength)

    @property
    def blended(self) -> float:
        return self.by_strength[self.strength]

    @property
    def worthwhile(self) -> bool:
        """Whether the blend is better than its first part beyond chance: what it gains here shrinks where the parts
        have learned from everything, and its cost at each ranking does not."""
        return self.blended - self.alone > _BEYOND_CHANCE * self.error


def compared(lists: Lists, rule_of: Callable[[Lists], Trust], seed: int = 0, per_user: int = 1) -> Comparison:
    """Cross-validation by two halves of the lists; made-up situations are learned from, but not measured on.

    rule_of: the rule of thumb, for those that are learned from. per_user: how many natural lists each user has, of
    which the further ones may say no more than the first.
    """
    natural = np.random.default_rng(seed).permutation(np.flatnonzero(lists.importance == 1))[:_COMPARED]
    others = np.flatnonzero(lists.importance < 1)[:_COMPARED]
    folds = [natural[0::2], natural[1::2]]
    found: dict[float, list[Doubles]] = {strength: [] for strength in (np.inf, *STRENGTHS)}
    alone = []
    for learned_from, measured_on in (folds, folds[::-1]):
        some, rest = lists.taken(np.concatenate([learned_from, others])), lists.taken(measured_on)
        alone.append(_ndcgs(rest, rest.terms[:, 0]))
        rule = rule_of(some)
        for strength, values in found.items():
            values.append(_ndcgs(rest, rest.terms @ learn(some, rule, strength).flat))
    by_list = {strength: np.concatenate(values) for strength, values in found.items()}
    by_strength = {strength: float(values.mean()) for strength, values in by_list.items()}
    first = np.concatenate(alone)
    gained = by_list[_strongest(by_strength)] - first
    return Comparison(by_strength, float(first.mean()), float(gained.std(ddof=1) / np.sqrt(len(gained) / per_user)))


def _strongest(by_strength: Mapping[float, float]) -> float:
    return max(by_strength, key=lambda strength: (by_strength[strength], strength))
