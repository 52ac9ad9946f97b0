"""People in a simulation: the only door through which the loop's labels come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from labeling.consensus.answers import Answers
from labeling.consensus.mace import Mace
from palate.errors import ParameterError

Items = NDArray[np.intp]


@dataclass(frozen=True)
class Labeled:
    """What people say of items: codes, how surely each is right, and how many answers that took in all."""

    items: Items
    labels: NDArray[np.int32]
    reliability: NDArray[np.float64]
    answers: int


class Annotators(Protocol):
    """Whoever answers. A label's code is its place among all labels that were ever answered (`names`)."""

    names: list[str]

    def ask(self, items: Items) -> Labeled:
        """Labels for items not asked before; may also revise the labels of earlier ones."""
        ...


class Truthful:
    """One person who is always right."""

    def __init__(self, truth: Sequence[str]) -> None:
        self._truth = truth
        self.names: list[str] = []
        self._codes: dict[str, int] = {}

    def ask(self, items: Items) -> Labeled:
        codes = []
        for item in items:
            name = self._truth[int(item)]
            if name not in self._codes:
                self._codes[name] = len(self.names)
                self.names.append(name)
            codes.append(self._codes[name])
        return Labeled(items, np.array(codes, dtype=np.int32), np.ones(len(items)), len(items))


class Crowd:
    """Several people who each err now and then, put together by MACE.

    It has one number for each person's errors. A matrix each, as Dawid and Skene's method has, takes more answers than
    there are where labels are many: it was sure of 99.6 % of answers of which 88 % were right (77 labels, 5 people).

    Each item goes to two of them, then to a further one as long as it is not `sure` and somebody is left.
    """

    def __init__(
        self, truth: Sequence[str], workers: int, accuracy: float, seed: int = 0, *, sure: float = 0.98
    ) -> None:
        """accuracy: how often a worker is right; otherwise any other label, evenly. Raises ParameterError."""
        if workers < 1:
            raise ParameterError(f"must be at least 1, not {workers}.", where="workers")
        if not 0.0 < accuracy <= 1.0:
            raise ParameterError(f"must be above 0 and at most 1, not {accuracy}.", where="worker_accuracy")
        self._truth, self._workers, self._accuracy, self._sure = truth, workers, accuracy, sure
        self._rng = np.random.default_rng([seed, 7])
        self._all = sorted(set(truth))
        self.names: list[str] = []
        self._codes: dict[str, int] = {}
        self._answers: list[tuple[int, int, str]] = []
        self._given: dict[int, list[int]] = {}

    def ask(self, items: Items) -> Labeled:
        before = len(self._answers)
        for item in items:
            for _ in range(min(2, self._workers)):
                self._answer(int(item))
        while True:
            said, codes, sure = self._consolidated()
            unsure = [
                item
                for item, how in zip(said.tolist(), sure.tolist(), strict=True)
                if how < self._sure and len(self._given[item]) < self._workers
            ]
            if not unsure:
                return Labeled(said, codes, sure, len(self._answers) - before)
            for item in unsure:
                self._answer(item)

    def _answer(self, item: int) -> None:
        """By somebody who has not answered it yet."""
        given = self._given.setdefault(item, [])
        worker = int(self._rng.choice([one for one in range(self._workers) if one not in given]))
        given.append(worker)
        label = self._truth[item]
        if self._rng.random() >= self._accuracy and len(self._all) > 1:
            label = str(self._rng.choice([other for other in self._all if other != label]))
        self._answers.append((item, worker, label))

    def _consolidated(self) -> tuple[Items, NDArray[np.int32], NDArray[np.float64]]:
        tasks, workers, labels = zip(*self._answers, strict=True)
        answers = Answers.of(list(map(str, tasks)), list(map(str, workers)), list(labels))
        consensus = Mace().consolidate(answers)
        items = np.array([int(task) for task in answers.tasks.ids.to_pylist()], dtype=np.intp)
        codes = []
        names = [str(name) for name in answers.labels.ids.to_pylist()]
        for label in consensus.chosen.tolist():
            name = names[label]
            if name not in self._codes:
                self._codes[name] = len(self.names)
                self.names.append(name)
            codes.append(self._codes[name])
        order = np.argsort(items)
        reliability = np.clip(consensus.confidence, 1e-3, 1.0)
        return items[order], np.array(codes, dtype=np.int32)[order], reliability[order]
