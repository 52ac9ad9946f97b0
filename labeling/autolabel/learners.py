"""Models for the loop: whatever gives each item a score per label, and labeled items a score made without their own.

    Learner
    ├── KernelLearner     kernel ridge on one or several views of the items; exact held-out scores (see `kernel`)
    ├── CrossFitted       any scikit-learn-like classifier on a matrix, held out by folds
    └── Stack             the mixture of several learners that fits held-out labels best

A learner knows all items from the start, so that what can be learned without labels (word counts, scales) is learned
from all of them. Its answer depends on nothing but the labels it is given and the seed: a step may be repeated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from labeling.autolabel import kernel as kernels
from labeling.autolabel import sets
from labeling.autolabel.kernel import Columns, Kernel, View, held_out_loss, sharpened_loss

Items = NDArray[np.intp]
Scores = NDArray[np.float32]
Labels = NDArray[np.generic]
"""What items are labeled with: (n,) codes, one label each, or (n, n_labels) true where an item has the label."""


class Learner(Protocol):
    """What the loop asks of a model."""

    @property
    def name(self) -> str: ...

    @property
    def n_items(self) -> int: ...

    def learn(self, items: Items, labels: Labels, n_labels: int, seed: int) -> Scores:
        """(n_items, n_labels) scores, the higher the likelier, to be read as softmax(c · scores) for some c > 0, or
        where items have several labels as the sigmoid of a + c · scores.

        items: those labeled, in the order of their labels; each one's scores are made without its own label.
        """
        ...


_FIRST_CHOICE = 40
_CHOOSE_AGAIN = 1.6
_WORTH_THREADS = 5000


def settled(n: int) -> int:
    """How many of the first n labels settle what is not chosen anew each round: the last of 40, 64, 102, ... up to n.

    A loop that went on and one that was taken up again choose by the same labels, and so choose the same.
    """
    first = _FIRST_CHOICE
    while int(first * _CHOOSE_AGAIN) <= n:
        first = int(first * _CHOOSE_AGAIN)
    return min(first, n)


class KernelLearner:
    """Kernel ridge on views of the items; which kernel is chosen anew whenever labels have grown by 60 %."""

    def __init__(self, views: Mapping[str, NDArray[np.floating]]) -> None:
        self._views = {name: View.of(rows) for name, rows in views.items()}
        self._columns = Columns(self._views)
        self.n_items = len(self._columns.items)
        self._chosen: tuple[bytes, Kernel] | None = None

    @property
    def name(self) -> str:
        return f"kernel({'+'.join(self._views)})"

    def learn(self, items: Items, labels: Labels, n_labels: int, seed: int) -> Scores:
        rng = np.random.default_rng([seed, len(items)])
        chosen = self._choose(items, labels, n_labels, seed)
        return kernels.scores_of_all(self._columns, chosen, items, labels, n_labels, rng)

    def _choose(self, items: Items, labels: Labels, n_labels: int, seed: int) -> Kernel:
        """By the first so many labels, in order: the same for a loop that went on and for one that starts again."""
        first = settled(len(items))
        items, labels = items[:first], labels[:first]
        key = items.tobytes() + labels.tobytes() + str(seed).encode()
        if self._chosen is None or self._chosen[0] != key:
            rng = np.random.default_rng([seed, first])
            self._chosen = key, kernels.choose(self._views, items, labels, n_labels, rng)
        return self._chosen[1]


class CrossFitted:
    """Any classifier with `fit`, `predict_proba` and `classes_`; one fit for the pool, and one per fold held out."""

    def __init__(self, name: str, make: Any, rows: Any, folds: int = 4) -> None:
        """make: called with a seed, gives an unfitted classifier. rows: a matrix (n, d), sparse or dense."""
        self.name, self._make, self._rows, self._folds = name, make, rows, folds
        self.n_items = rows.shape[0]

    def learn(self, items: Items, labels: Labels, n_labels: int, seed: int) -> Scores:
        if labels.ndim == 2:  # a classifier for each label
            each = [self.learn(items, given.astype(np.int32), 2, seed) for given in labels.T]
            return np.column_stack([logs[:, 1] - logs[:, 0] for logs in each])
        rng = np.random.default_rng([seed, len(items), 1])
        probabilities = self._fitted(items, labels, n_labels, seed, np.arange(self.n_items))
        folds = rng.permutation(len(items)) % min(self._folds, len(items))  # by chance: some labels are seen only once
        for fold in range(int(folds.max()) + 1):
            out = folds == fold
            if not out.all():
                probabilities[items[out]] = self._fitted(items[~out], labels[~out], n_labels, seed, items[out])
            else:
                probabilities[items] = 1.0 / n_labels
        logs: Scores = np.log(np.clip(probabilities, 1e-6, 1.0)).astype(np.float32)
        return logs

    def _fitted(self, items: Items, labels: Labels, n_labels: int, seed: int, wanted: Items) -> NDArray[np.float64]:
        probabilities = np.zeros((len(wanted), n_labels))
        known = np.unique(labels)
        if len(known) == 1:
            probabilities[:, known[0]] = 1.0
            return probabilities
        with threadpool_limits(1 if len(items) < _WORTH_THREADS else None):  # threads wait for each other longer than
            model = self._make(seed).fit(self._rows[items], labels)  # so few rows take
            probabilities[:, model.classes_] = model.predict_proba(self._rows[wanted])
        return probabilities


_SHARES = (0.0, 0.15, 0.3, 0.5, 0.7, 0.85, 1.0)


class Stack:
    """A weighted mean of several learners' log-probabilities (of several labels log-odds) by the held-out loss; one of
    no use weighs nothing.

    Learners join in the order given, each at the share that fits best (Wolpert 1992, with one weight per learner).
    The shares are found anew whenever labels have grown by 60 %; in between, what weighs nothing is not trained.
    """

    def __init__(self, learners: Sequence[Learner]) -> None:
        self._learners = tuple(learners)
        self.n_items = self._learners[0].n_items
        self._found: tuple[bytes, list[float]] | None = None

    @property
    def name(self) -> str:
        return "+".join(learner.name for learner in self._learners)

    def learn(self, items: Items, labels: Labels, n_labels: int, seed: int) -> Scores:
        mixed: Scores | None = None
        for learner, share in zip(self._learners, self._shares(items, labels, n_labels, seed), strict=True):
            if share > 0:
                scores = log_probabilities(learner.learn(items, labels, n_labels, seed), items, labels)
                mixed = scores if mixed is None else ((1 - share) * mixed + share * scores).astype(np.float32)
        assert mixed is not None  # noqa: S101 - the first learner's share is 1
        return mixed

    def _shares(self, items: Items, labels: Labels, n_labels: int, seed: int) -> list[float]:
        """How much of each learner is mixed into those before it."""
        first = settled(len(items))
        items, labels = items[:first], labels[:first]
        key = items.tobytes() + labels.tobytes()
        if self._found is None or self._found[0] != key:
            shares: list[float] = []
            mixed: Scores | None = None
            for learner in self._learners:
                own = log_probabilities(learner.learn(items, labels, n_labels, seed), items, labels)[items]
                if mixed is None:
                    mixed, best = own, 1.0
                else:
                    losses = [held_out_loss((1 - share) * mixed + share * own, labels) for share in _SHARES]
                    best = _SHARES[int(np.argmin(losses))]
                    mixed = (1 - best) * mixed + best * own
                shares.append(best)
            self._found = key, shares
        return self._found[1]


def log_probabilities(scores: Scores, items: Items, labels: Labels) -> Scores:
    """log softmax(c · scores), c fitted to the held-out scores of the labeled items; of several labels the log-odds of
    each.
    """
    if labels.ndim == 2:
        return sets.log_odds(scores, items, labels.astype(bool))
    _, sharpening = sharpened_loss(scores[items], labels)
    logs = scores * np.float32(sharpening)
    logs -= logs.max(axis=1, keepdims=True)
    logs -= np.log(np.exp(logs).sum(axis=1, keepdims=True))
    return logs
