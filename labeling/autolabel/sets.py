"""Items with several labels: sets of them, what a model's scores say of each label, and which set is the likeliest.

Every set that occurs has a code, so that all else in the loop (what people say, what a model says, whether both agree,
what is promised) is the same for sets as for single labels: a set is right if it is wholly right. Models learn labels
one by one from shared features (binary relevance, Tsoumakas & Katakis 2007): a score becomes the log-odds of a label by
Platt's sigmoid, whose two numbers each label has of its own as far as it was seen often enough to tell. A label that
was seen too seldom for that is taken for as hard to tell as the others are, and one that was never given is never said.

The likeliest set is made of the labels with odds above even, as if they went together by chance. They do not: that
probability is only the signal that confidence is calibrated on (see `guarantee`), and not believed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_expit

from palate.errors import ParameterError

Members = NDArray[np.bool_]
"""(n, n_labels): which labels each item has."""
Floats = NDArray[np.float64]
_SUREST = 12.0
_FOLDS = 5
_OWN = np.array([1.0, 10.0])
"""How strongly a label's own sigmoid is held to that of all labels: precisions of its intercept in log-odds, and of its
slope in units of theirs."""


class Sets:
    """Sets of labels and their codes, from 0 in the order in which they were first met.

    empty: whether no label at all is an answer, too.
    """

    def __init__(self, n_labels: int, *, empty: bool = False, known: Members | None = None) -> None:
        """known: (n_sets, n_labels) sets that have codes already. Raises ParameterError without labels."""
        if n_labels < 1:
            raise ParameterError("there is no label to choose from.", where="labels")
        self.n_labels, self.empty = n_labels, empty
        self._rows: list[NDArray[np.bool_]] = []
        self._codes: dict[bytes, int] = {}
        if known is not None and len(known):
            self.codes(known)

    def __len__(self) -> int:
        return len(self._rows)

    def codes(self, members: Members) -> NDArray[np.int32]:
        """(n,) codes; sets not met before get the next ones. Raises ParameterError for other labels or an empty set."""
        members = np.ascontiguousarray(members, dtype=bool)
        if members.ndim != 2 or members.shape[1] != self.n_labels:
            raise ParameterError(f"needs {self.n_labels} labels for each item, not {members.shape}.", where="labels")
        if not self.empty and not members.any(axis=1).all():
            raise ParameterError("holds an item without any label.", where="labels")
        found = np.empty(len(members), dtype=np.int32)
        for place, row in enumerate(np.packbits(members, axis=1)):
            key = row.tobytes()
            code = self._codes.get(key)
            if code is None:
                code = self._codes[key] = len(self._rows)
                self._rows.append(members[place].copy())
            found[place] = code
        return found

    def members(self, codes: NDArray[np.integer] | None = None) -> Members:
        """(n, n_labels): the sets with these codes; all of them unless told."""
        known = np.array(self._rows, dtype=bool).reshape(-1, self.n_labels)
        return known if codes is None else known[codes]


def of_names(sets: Sequence[Sequence[str]], labels: Sequence[str]) -> Members:
    """(n, n_labels) from the names of labels. Raises ParameterError for one that is none of `labels`."""
    place = {label: number for number, label in enumerate(labels)}
    members = np.zeros((len(sets), len(labels)), dtype=bool)
    for item, names in enumerate(sets):
        for name in names:
            if name not in place:
                raise ParameterError(f"{name[:80]!r} is none of the {len(labels)} labels.", where=f"item {item}")
            members[item, place[name]] = True
    return members


def loss(scores: NDArray[np.floating], members: Members) -> float:
    """Mean negative log probability of an item's labels, by the one sigmoid for all labels that fits best."""
    intercept, slope = _sigmoid(scores, members)
    odds = intercept + slope * np.asarray(scores, dtype=np.float64)
    return float(-log_expit(np.where(members, odds, -odds)).sum(axis=1).mean())


def log_odds(scores: NDArray[np.floating], items: NDArray[np.intp], members: Members) -> NDArray[np.float32]:
    """(n_items, n_labels) log-odds from scores, by sigmoids fitted to those of the labeled `items`.

    Those of a labeled item are by sigmoids that were fitted without it (in folds), as its scores are.
    """
    folds = np.random.default_rng(len(items)).permutation(len(items)) % _FOLDS
    known = np.asarray(scores[items], dtype=np.float64)
    odds = odds_of(scores, *sigmoids(known, members))
    for fold in range(min(_FOLDS, len(items)) if len(items) > 1 else 0):
        out = folds == fold
        odds[items[out]] = odds_of(scores[items[out]], *sigmoids(known[~out], members[~out]))
    return odds


def best_sets(odds: NDArray[np.floating], *, empty: bool) -> tuple[Members, Floats]:
    """The likeliest set of each item, (n, n_labels), and log-probabilities (n, 2): its own, and that of the next.

    empty: whether a set may be; otherwise the likeliest label stands alone where none is likely.
    """
    odds = np.asarray(odds, dtype=np.float64)
    members = odds > 0
    flips = np.abs(odds)
    best = log_expit(flips).sum(axis=1)
    if not empty:
        rows = np.arange(len(odds))
        first = odds.argmax(axis=1)
        none = ~members.any(axis=1)
        best[none] -= flips[none, first[none]]
        members[none, first[none]] = True
        flips[none] -= flips[none, first[none], None]  # another label in its place
        alone = members.sum(axis=1) == 1
        flips[rows[alone], first[alone]] = np.inf
        nothing = log_expit(-odds).sum(axis=1)
        best -= np.log1p(-np.exp(np.minimum(nothing, -1e-9)))
    lead = np.minimum(flips.min(axis=1), _SUREST)
    return members, np.column_stack([np.minimum(best, 0.0), np.minimum(best, 0.0) - lead])


def odds_of(scores: NDArray[np.floating], intercepts: Floats, slopes: Floats) -> NDArray[np.float32]:
    """(n, n_labels) log-odds from scores, by each label's sigmoid."""
    odds: NDArray[np.float32] = np.clip(intercepts + slopes * scores, -_SUREST, _SUREST).astype(np.float32)
    return odds


def _sigmoid(scores: NDArray[np.floating], members: Members) -> tuple[float, float]:
    """Intercept and slope for all labels alike; a weak prior keeps them finite where all is right."""
    flat = np.asarray(scores, dtype=np.float64).ravel()
    scale = float(flat.std()) or 1.0
    given = members.ravel().astype(np.float64)
    at = _newton((flat / scale)[:, None], given[:, None], np.array([[0.0], [1.0]]), np.full(2, 0.01))
    return float(at[0, 0]), float(at[1, 0]) / scale


def sigmoids(scores: Floats, members: Members) -> tuple[Floats, Floats]:
    """(n_labels,) intercepts and slopes fitted to labeled items' scores, each label's own as far as it was seen."""
    intercept, slope = _sigmoid(scores, members)
    start = np.repeat([[intercept], [1.0]], members.shape[1], axis=1)
    at = _newton(slope * scores, members.astype(np.float64), start, _OWN)
    never = ~members.any(axis=0)
    intercepts, slopes = at[0], at[1] * slope
    intercepts[never], slopes[never] = -_SUREST, 0.0
    return intercepts, slopes


def _newton(scores: Floats, right: Floats, expected: Floats, prior: Floats) -> Floats:
    """(2, n_columns): intercept and slope of a logistic regression for each column, drawn to `expected`."""
    at = expected.copy()
    for _ in range(30):
        fitted = expit(at[0] + at[1] * scores)
        missed, weight = right - fitted, fitted * (1.0 - fitted)
        gradient = np.stack([missed.sum(axis=0), (missed * scores).sum(axis=0)]) - prior[:, None] * (at - expected)
        a = weight.sum(axis=0) + prior[0]
        b = (weight * scores).sum(axis=0)
        c = (weight * scores**2).sum(axis=0) + prior[1]
        determinant = np.maximum(a * c - b * b, 1e-12)
        step = np.stack([c * gradient[0] - b * gradient[1], a * gradient[1] - b * gradient[0]]) / determinant
        step = np.clip(step, -1.0, 1.0)
        at = at + step
        if np.abs(step).max() < 1e-6:
            break
    return at
