"""Warm start: what an earlier project learned, for a new one.

A kernel model is its labeled items, so these are what is taken over: they train along, and are neither counted nor
promised anything about. Whether that helps is seen on the new project's own labels, held out; where it does not, as
when labels meant something else there, the model is trained without.
"""

from __future__ import annotations

import numpy as np

from labeling.autolabel.kernel import held_out_loss
from labeling.autolabel.learners import Items, Labels, Learner, Scores, settled
from palate.errors import ParameterError


class WarmStarted:
    """A learner that also knows `labels` of an earlier project: those of the last items that it knows."""

    def __init__(self, learner: Learner, labels: Labels) -> None:
        """labels: as the new project has them, codes or (n, n_labels) of several each. Raises ParameterError if there
        are none, or too many.
        """
        if not 0 < len(labels) < learner.n_items:
            raise ParameterError(
                f"{len(labels)} earlier labels do not fit {learner.n_items} items, earlier and new.", where="labels"
            )
        if labels.ndim == 1 and labels.min() < 0:
            raise ParameterError("holds a negative code.", where="labels")
        self._learner = learner
        self._labels = np.asarray(labels, dtype=bool if labels.ndim == 2 else np.int32)
        self.n_items = learner.n_items - len(labels)
        self._earlier = np.arange(self.n_items, learner.n_items, dtype=np.intp)
        self._helps: tuple[bytes, bool] | None = None

    @property
    def name(self) -> str:
        return f"warm {self._learner.name}"

    def learn(self, items: Items, labels: Labels, n_labels: int, seed: int) -> Scores:
        """As any learner; there are as many labels as the two projects have together."""
        if labels.ndim == 1:
            n_labels = max(n_labels, int(self._labels.max()) + 1)
        first = settled(len(items))
        key = items[:first].tobytes() + labels[:first].tobytes()
        if self._helps is None or self._helps[0] != key:
            known, said = items[:first], labels[:first]
            without, along = (
                held_out_loss(self._scores(known, said, n_labels, seed, warm)[known], said) for warm in (False, True)
            )
            self._helps = key, along < without
        return self._scores(items, labels, n_labels, seed, self._helps[1])[: self.n_items]

    def _scores(self, items: Items, labels: Labels, n_labels: int, seed: int, warm: bool) -> Scores:
        if not warm:
            return self._learner.learn(items, labels, n_labels, seed)
        both = np.concatenate([self._earlier, items]), np.concatenate([self._labels, labels])
        return self._learner.learn(*both, n_labels, seed)
