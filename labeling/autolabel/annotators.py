"""People in a simulation: the only door through which the loop's labels come."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from labeling.autolabel.sets import Sets, of_names
from labeling.consensus import labels_together, sets_together
from palate.errors import ParameterError

if TYPE_CHECKING:
    from labeling.autolabel.tables import Known

Items = NDArray[np.intp]


@dataclass(frozen=True)
class Labeled:
    """What people say of items: codes, how surely each is right, and how many answers that took in all."""

    items: Items
    labels: NDArray[np.int32]
    reliability: NDArray[np.float64]
    answers: int


class Names:
    """Labels and their codes: the place of each among all that were ever given."""

    def __init__(self) -> None:
        self._codes: dict[str, int] = {}

    def __call__(self, given: Sequence[str]) -> NDArray[np.int32]:
        return np.array([self._codes.setdefault(name, len(self._codes)) for name in given], dtype=np.int32)

    @property
    def known(self) -> list[str]:
        """By code."""
        return list(self._codes)


class SetNames:
    """Sets of labels, each named by its labels with a separator between, and their codes."""

    def __init__(self, sets: Sets, labels: Sequence[str], separator: str) -> None:
        self.sets, self.labels, self.separator = sets, tuple(labels), separator

    def __call__(self, given: Sequence[str]) -> NDArray[np.int32]:
        return self.sets.codes(of_names([self.split(name) for name in given], self.labels))

    def split(self, name: str) -> list[str]:
        return [label for label in name.split(self.separator) if label]

    def join(self, labels: Collection[str]) -> str:
        """The set's name: labels in their order."""
        return self.separator.join(label for label in self.labels if label in labels)

    @property
    def known(self) -> list[str]:
        """By code."""
        return [self.join({self.labels[place] for place in np.flatnonzero(row)}) for row in self.sets.members()]


class Annotators(Protocol):
    """Whoever answers. A label's code is its place among all labels that were ever answered (`names`)."""

    @property
    def names(self) -> list[str]: ...

    def ask(self, items: Items) -> Labeled:
        """Labels for items not asked before; may also revise the labels of earlier ones."""
        ...


class Truthful:
    """One person who is always right."""

    def __init__(self, truth: Sequence[str], codes: Names | SetNames | None = None) -> None:
        self._truth = truth
        self._codes = codes or Names()

    @property
    def names(self) -> list[str]:
        return self._codes.known

    def ask(self, items: Items) -> Labeled:
        codes = self._codes([self._truth[int(item)] for item in items])
        return Labeled(items, codes, np.ones(len(items)), len(items))


class Crowd:
    """Several people who each err now and then, put together by MACE.

    It has one number for each person's errors. A matrix each, as Dawid and Skene's method has, takes more answers than
    there are where labels are many: it was sure of 99.6 % of answers of which 88 % were right (77 labels, 5 people).
    Sets are put together label by label.

    Each item goes to two of them, then to a further one as long as it is not `sure` and somebody is left.
    """

    def __init__(
        self,
        truth: Sequence[str],
        workers: int,
        accuracy: float,
        seed: int = 0,
        *,
        sure: float = 0.98,
        codes: Names | SetNames | None = None,
    ) -> None:
        """accuracy: how often a worker is right; otherwise any other label, evenly, or in a set one label too many or
        too few. Raises ParameterError.
        """
        if workers < 1:
            raise ParameterError(f"must be at least 1, not {workers}.", where="workers")
        if not 0.0 < accuracy <= 1.0:
            raise ParameterError(f"must be above 0 and at most 1, not {accuracy}.", where="worker_accuracy")
        self._truth, self._workers, self._accuracy, self._sure = truth, workers, accuracy, sure
        self._rng = np.random.default_rng([seed, 7])
        self._all = sorted(set(truth))
        self._codes = codes or Names()
        self._answers: list[tuple[int, int, str]] = []
        self._given: dict[int, list[int]] = {}

    @property
    def names(self) -> list[str]:
        return self._codes.known

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
            label = self._wrong(label)
        self._answers.append((item, worker, label))

    def _wrong(self, label: str) -> str:
        if not isinstance(self._codes, SetNames):
            return str(self._rng.choice([other for other in self._all if other != label]))
        labels = set(self._codes.split(label))
        turned = [{one} for one in self._codes.labels if self._codes.sets.empty or labels != {one}]
        return self._codes.join(labels ^ turned[int(self._rng.integers(len(turned)))])

    def _consolidated(self) -> tuple[Items, NDArray[np.int32], NDArray[np.float64]]:
        """Items in order, what they come to, and how surely."""
        codes = self._codes
        if isinstance(codes, SetNames):
            given = [(item, str(worker), codes.split(name)) for item, worker, name in self._answers]
            sets = sets_together(given, codes.labels, empty=codes.sets.empty)
            found = {item: (codes.join(labels), sure) for item, (labels, sure) in sets.items()}
        else:
            found = labels_together([(item, str(worker), name) for item, worker, name in self._answers])
        items = sorted(found)
        sure = np.clip([found[item][1] for item in items], 1e-3, 1.0)
        return np.array(items, dtype=np.intp), codes([found[item][0] for item in items]), sure


def people_for(
    known: Known, workers: int | None = None, accuracy: float = 0.8, seed: int = 0
) -> tuple[Truthful | Crowd, Names | SetNames]:
    """Those who know these labels, and what they call them: so many who are right so often, or one who never errs.

    Raises ParameterError as `Crowd` does.
    """
    codes = Names() if known.single is None else SetNames(Sets(len(known.single)), known.single, known.separator)
    if workers is None:
        return Truthful(known.labels, codes), codes
    return Crowd(known.labels, workers, accuracy, seed, codes=codes), codes
