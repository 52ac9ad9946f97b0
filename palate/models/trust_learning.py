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
_ENOUGH = 2000
"""Lists that suffice where weights are only to be compared."""
_STEPS = 200
_BEYOND_CHANCE = 2.5
"""So many standard errors are more than chance would give, but for one time in forty, of the best of a few."""
_ADDED = 12
"""Parts in the simplest blend, each as often as it is in it."""


@dataclass(frozen=True)
class Lists:
    """Items from which users chose, list after list.

    terms: `(n, n_terms) float32`. chosen: `(n,) bool`, at least one of each list. starts: `(n_lists,)`, where each
    begins. importance: `(n_lists,)`, 1 of the data's own, less of made-up situations. users: `(n_lists,)`, whose each
    is.
    """

    terms: Floats
    chosen: Mask
    starts: npt.NDArray[np.int64]
    importance: Doubles
    users: npt.NDArray[np.int32]

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
        return Lists(self.terms[rows], self.chosen[rows], starts, self.importance[which], self.users[which])


def joined(parts: Sequence[Lists]) -> Lists:
    """All lists of the parts, one after the other."""
    parts = [part for part in parts if len(part)]
    if not parts:
        none = np.zeros(0)
        return Lists(
            np.zeros((0, 0), np.float32), none.astype(bool), none.astype(np.int64), none, none.astype(np.int32)
        )
    if len(parts) == 1:
        return parts[0]
    before = np.cumsum([0, *(len(part.chosen) for part in parts[:-1])])
    return Lists(
        np.concatenate([part.terms for part in parts]),
        np.concatenate([part.chosen for part in parts]),
        np.concatenate([part.starts + rows for part, rows in zip(parts, before, strict=True)]),
        np.concatenate([part.importance for part in parts]),
        np.concatenate([part.users for part in parts]),
    )


def simple_shares(lists: Lists) -> list[float]:
    """What each part counts in the simplest blend, in sum 1: the parts are added up one at a time, each as often as it
    is the one that helps the NDCG of the lists most.

    A part that helps nothing is left out, so that this is never far from the best part alone; that may be added again
    and again before another one helps beside it (greedy selection with replacement; Caruana, Niculescu-Mizil, Crew and
    Ksikes, "Ensemble Selection from Libraries of Models", ICML 2004).
    """
    scores = lists.terms[:, : -len(SHARED_TERMS) : len(PART_TERMS)]
    counts, total = np.zeros(scores.shape[1]), np.zeros(len(scores), np.float32)
    best, shares = 0.0, np.ones(len(counts))
    for _ in range(_ADDED):
        found = [judged(lists, total + scores[:, part]) for part in range(len(counts))]
        added = int(np.argmax(found))
        counts[added] += 1
        total += scores[:, added]
        if found[added] > best:
            best, shares = found[added], counts.copy()
    return [float(share) for share in shares / shares.sum()]


def safest(lists: Lists, rules: Sequence[Trust]) -> Trust:
    """Which of the weights rank the lists best, if that is better than the last beyond chance; or else the last."""
    found = [_ndcgs(lists, lists.terms @ rule.flat) for rule in rules]
    best = max(range(len(rules)), key=lambda at: found[at].mean())
    gained = found[best] - found[-1]
    return rules[best] if gained.mean() > _BEYOND_CHANCE * _error(gained, lists.users) else rules[-1]


def natural(lists: Lists, seed: int = 0) -> Lists:
    """The data's own lists, without made-up situations; as many as suffice to compare by."""
    return lists.taken(np.sort(_natural(lists, seed)[:_ENOUGH]))


def _natural(lists: Lists, seed: int) -> npt.NDArray[np.int64]:
    """Which lists are the data's own, not made-up situations; in random order."""
    return np.random.default_rng(seed).permutation(np.flatnonzero(lists.importance == 1))


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
    # weights are few and a step is dear: all directions are kept, which halves the steps
    options = {"maxiter": _STEPS, "ftol": 1e-8, "maxcor": len(start)}
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=limits, options=options).x
    return rule.with_weights(found[0] * rule.flat + found[1:] / deviations)


def judged(lists: Lists, scores: npt.NDArray[np.number], k: int = 20) -> float:
    """The mean NDCG@k of ranking each list by `scores`, `(n,)`, higher first."""
    return float(_ndcgs(lists, scores, k).mean())


def _ndcgs(lists: Lists, scores: npt.NDArray[np.number], k: int = 20) -> Doubles:
    """The NDCG@k of each list."""
    from palate.kernels.blend_loops import list_ndcgs

    found = np.empty(len(lists))
    list_ndcgs(np.ascontiguousarray(scores), lists.chosen, lists.starts, 1 / np.log2(np.arange(2, k + 2)), found)
    return found


def _error(values: Doubles, users: npt.NDArray[np.integer]) -> float:
    """One standard error of the mean of the lists' values; those of one user hang together."""
    if len(values) < 2:
        return float("inf")
    of_user = np.bincount(users, values - values.mean())
    return float(np.sqrt((of_user**2).sum()) / len(values))


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


def compared(cuts: Sequence[Lists], rule_of: Callable[[Lists], Trust], *, ahead: bool, seed: int = 0) -> Comparison:
    """Cross-validation; made-up situations are learned from, but not measured on.

    cuts: the lists of each cut of the interactions. rule_of: the rule of thumb, for those that are learned from. ahead:
    whether the first cut holds out what came last, the second what came last before that, and so on: then weights are
    learned from all but the first and measured on it, as they will be on what comes next (what people turned to in one
    time they have in common, so that users of the same cut tell more of each other than of the next). Otherwise, and of
    a single cut, weights are learned from each half of the users and measured on the other.
    """
    if ahead and len(cuts) > 1:
        folds = [(joined(cuts[1:]), cuts[0].taken(_natural(cuts[0], seed)))]
    else:
        lists = joined(cuts)
        own, others = _natural(lists, seed), np.flatnonzero(lists.importance < 1)[:_ENOUGH]
        even = lists.users[own] % 2 == 0
        halves = own[even], own[~even]
        folds = [
            (lists.taken(np.concatenate([learned_from[: _ENOUGH // 2], others])), lists.taken(measured_on))
            for learned_from, measured_on in (halves, halves[::-1])
        ]
    found: dict[float, list[Doubles]] = {strength: [] for strength in (np.inf, *STRENGTHS)}
    alone = []
    for some, rest in folds:
        alone.append(_ndcgs(rest, rest.terms[:, 0]))
        rule = rule_of(some)
        for strength, values in found.items():
            values.append(_ndcgs(rest, rest.terms @ learn(some, rule, strength).flat))
    by_list = {strength: np.concatenate(values) for strength, values in found.items()}
    by_strength = {strength: float(values.mean()) for strength, values in by_list.items()}
    by_itself, users = np.concatenate(alone), np.concatenate([rest.users for _, rest in folds])
    error = _error(by_list[_strongest(by_strength)] - by_itself, users)
    return Comparison(by_strength, float(by_itself.mean()), error)


def _strongest(by_strength: Mapping[float, float]) -> float:
    return max(by_strength, key=lambda strength: (by_strength[strength], strength))
