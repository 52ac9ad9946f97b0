"""How much a blend trusts each of its parts, by how much is known of the user and of the item; learned from lists.

The score of an item is linear in terms made of the parts' standardised scores z, of the user's number of items h and
the item's number of users c. So the chance that a user takes an item, among those of a list, is that of a conditional
logit model (McFadden, 1974), whose likelihood has one maximum: found by L-BFGS from a rule of thumb, towards which
the weights are held the more the less there is to learn from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

PART_TERMS = ("score", "known user", "new user", "known item", "new item", "root", "silent")
"""Of each part: z; z by the logarithm of h, by 1 where h is 0 falling to 0; the same of c; the root of a positive z;
and 1 where the part is silent on the item."""
SHARED_TERMS = ("popular", "very popular", "new item", "popular, known user", "popular, new user", "untouched")
"""The logarithm of the item's popularity, its square, and it by the same functions of h; how new the item is; and
whether nobody touched it."""

USER_HALF, ITEM_HALF = 2.0, 1.0
"""With so many items, or users, a user or an item is half new."""
STRENGTHS = (3.0, 30.0, 300.0)
"""How many lists the rule of thumb may be worth, for each weight in units of its term's deviation."""
_COMPARED = 2000
"""Lists that suffice to choose among them."""
_STEPS = 200
_ADDED = 12
"""Parts in the simplest blend, each as often as it is in it."""


@dataclass(frozen=True)
class Scale:
    """Counts as standardised logarithms, no further out than the counts it was made from."""

    mean: float
    deviation: float
    low: float
    high: float

    @classmethod
    def of(cls, counts: npt.NDArray[np.number]) -> Self:
        logs = np.log1p(counts.astype(np.float64)) if len(counts) else np.zeros(1)
        return cls(float(logs.mean()), float(logs.std()) or 1.0, float(logs.min()), float(logs.max()))

    def __call__(self, counts: npt.NDArray[np.number]) -> Floats:
        logs = np.clip(np.log1p(counts.astype(np.float64)), self.low, self.high)
        return np.asarray((logs - self.mean) / self.deviation, dtype=np.float32)


@dataclass(frozen=True)
class Known:
    """What is known of users, or of items: `log` and `new` are `(n,) float32`; `log` of items is their popularity."""

    log: Floats
    new: Floats

    def __getitem__(self, rows: npt.NDArray[np.integer] | slice) -> Known:
        return Known(self.log[rows], self.new[rows])


@dataclass(frozen=True)
class Trust:
    """The weights. parts: `(n_parts, len(PART_TERMS)) float32`; shared: `(len(SHARED_TERMS),) float32`."""

    parts: Floats
    shared: Floats
    user_scale: Scale
    item_scale: Scale

    def users(self, histories: npt.NDArray[np.number]) -> Known:
        """From numbers of items."""
        return Known(self.user_scale(histories), _newness(histories, USER_HALF))

    def items(self, counts: npt.NDArray[np.number], popularity: npt.NDArray[np.number]) -> Known:
        """From numbers of users, and from what says how popular an item is now."""
        return Known(self.item_scale(popularity), _newness(counts, ITEM_HALF))

    def of_users(self, part: int, users: Known) -> Floats:
        """What z of a part counts for each user, `(n,)`; `of_items` is to be added."""
        score, known, new = self.parts[part, :3]
        return np.asarray(score + known * users.log + new * users.new, dtype=np.float32)

    def of_items(self, part: int, items: Known) -> Floats:
        known, new = self.parts[part, 3:5]
        return np.asarray(known * items.log + new * items.new, dtype=np.float32)

    def shared_score(self, users: Known, items: Known, counts: npt.NDArray[np.number]) -> Floats:
        """The score that all parts share, `(n_users, n_items)`."""
        popular, very, new, by_known, by_new, untouched = self.shared
        slope = popular + by_known * users.log + by_new * users.new
        own = very * items.log**2 + new * items.new + untouched * (counts == 0)
        return np.asarray(slope[:, None] * items.log + own, dtype=np.float32)

    def with_weights(self, weights: npt.NDArray[np.number]) -> Trust:
        """The same scales with weights as `flat` has them."""
        cut = len(weights) - len(SHARED_TERMS)
        parts = np.asarray(weights[:cut], dtype=np.float32).reshape(-1, len(PART_TERMS))
        return Trust(parts, np.asarray(weights[cut:], dtype=np.float32), self.user_scale, self.item_scale)

    def of_parts(self, which: Sequence[bool]) -> Trust:
        """The weights of some of the parts."""
        return Trust(self.parts[np.array(which, dtype=bool)], self.shared, self.user_scale, self.item_scale)

    @property
    def flat(self) -> Floats:
        return np.concatenate([self.parts.ravel(), self.shared])


def _newness(counts: npt.NDArray[np.number], half: float) -> Floats:
    return np.asarray(half / (half + counts.astype(np.float64)), dtype=np.float32)


def rule_of_thumb(
    ranks_new: Sequence[bool], user_scale: Scale, item_scale: Scale, shares: Sequence[float] | None = None
) -> Trust:
    """Parts that need interactions count by how much is known; those that rank what is new, by how little.

    ranks_new: of each part, whether it ranks items that nobody has touched. shares: what each counts where much is
    known, in sum 1; unless told, those that need interactions count alike, and the others nothing, if there are such.
    The shorter the history, the more popularity counts.
    """
    needy = sum(not new for new in ranks_new)
    others = len(ranks_new) - needy
    if shares is None:
        shares = [float(not (new and needy)) / (needy or others) for new in ranks_new]
    parts = np.zeros((len(ranks_new), len(PART_TERMS)), np.float32)
    when_new = [PART_TERMS.index("new user"), PART_TERMS.index("new item")]
    for row, new, share in zip(parts, ranks_new, shares, strict=True):
        row[0] = share
        if needy and others:
            row[when_new] = 0.5 / others if new else -0.5 * share
    shared = np.zeros(len(SHARED_TERMS), np.float32)
    shared[SHARED_TERMS.index("popular, new user")] = 1.0 if needy else 0.0
    return Trust(parts, shared, user_scale, item_scale)


def terms(
    scores: Floats, heard: Mask, speaking: Mask, users: Known, items: Known, counts: npt.NDArray[np.number]
) -> Floats:
    """The terms of pairs of a user and an item, `(n, n_parts * len(PART_TERMS) + len(SHARED_TERMS)) float32`.

    scores: z of each part, `(n_parts, n)`; heard: where it is not silent on the item; speaking: where it knows the
    user. users, items, counts: of the pairs, `(n,)`.
    """
    columns: list[Floats] = []
    for score, hears, speaks in zip(scores, heard, speaking, strict=True):
        z = np.where(hears & speaks, score, 0).astype(np.float32)
        columns += [z, z * users.log, z * users.new, z * items.log, z * items.new, np.sqrt(np.maximum(z, 0))]
        columns.append((speaks & ~hears).astype(np.float32))
    columns += [items.log, items.log**2, items.new, items.log * users.log, items.log * users.new]
    columns.append((counts == 0).astype(np.float32))
    return np.stack(columns, axis=1)


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
    of_list = np.repeat(np.arange(len(lists)), lists.lengths)
    order = np.lexsort((-scores, of_list))
    place = np.arange(len(order)) - np.repeat(lists.starts, lists.lengths)
    gains = np.where(lists.chosen[order] & (place < k), 1 / np.log2(place + 2), 0)
    ideal = np.concatenate([[0.0], (1 / np.log2(np.arange(2, k + 2))).cumsum()])
    wanted = np.add.reduceat(lists.chosen.astype(np.int64), lists.starts)
    return float((np.add.reduceat(gains, lists.starts) / ideal[np.minimum(wanted, k)]).mean())


@dataclass(frozen=True)
class Comparison:
    """Mean NDCG@20 within natural lists, each by weights that were not learned from it.

    by_strength: of weights held to the rule of thumb by so many lists; infinity is the rule itself. alone: of the
    first part by itself.
    """

    by_strength: Mapping[float, float]
    alone: float

    @property
    def strength(self) -> float:
        """The best; of equals the one nearer to the rule."""
        return max(self.by_strength, key=lambda strength: (self.by_strength[strength], strength))

    @property
    def blended(self) -> float:
        return self.by_strength[self.strength]


def compared(lists: Lists, rule_of: Callable[[Lists], Trust], seed: int = 0) -> Comparison:
    """Cross-validation by two halves of the lists; made-up situations are learned from, but not measured on.

    rule_of: the rule of thumb, for those that are learned from.
    """
    natural = np.random.default_rng(seed).permutation(np.flatnonzero(lists.importance == 1))[:_COMPARED]
    others = np.flatnonzero(lists.importance < 1)[:_COMPARED]
    folds = [natural[0::2], natural[1::2]]
    found: dict[float, list[float]] = {strength: [] for strength in (np.inf, *STRENGTHS)}
    alone = []
    for learned_from, measured_on in (folds, folds[::-1]):
        some, rest = lists.taken(np.concatenate([learned_from, others])), lists.taken(measured_on)
        alone.append(judged(rest, rest.terms[:, 0]))
        rule = rule_of(some)
        for strength, values in found.items():
            values.append(judged(rest, rest.terms @ learn(some, rule, strength).flat))
    return Comparison({strength: float(np.mean(values)) for strength, values in found.items()}, float(np.mean(alone)))
