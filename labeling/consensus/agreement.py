"""Agreement between people, with and without what chance would give: for a project, a label, a person, a pair.

All figures come from counts of labels per task, never from a table of people x tasks, and tasks may have any number
of answers; those with one answer say nothing and are left out. A figure that is undefined, because nobody shares a
task or only one label was ever given, is NaN.

J. Cohen (1960), A coefficient of agreement for nominal scales, Educational and Psychological Measurement 20.
J. L. Fleiss (1971), Measuring nominal scale agreement among many raters, Psychological Bulletin 76.
K. Krippendorff (2011), Computing Krippendorff's alpha-reliability, University of Pennsylvania.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import sparse

from labeling.consensus.answers import Answers, Floats
from palate.errors import ParameterError

Level = Literal["nominal", "ordinal", "interval", "ratio"]
"""What a difference between two labels means: none, their order, their distance, their ratio."""


@dataclass(frozen=True)
class Agreement:
    """percent: the share of pairs of answers to one task that are equal, the mean of all tasks; from 0 to 1.

    tasks: how many have two answers or more, on which all figures are.
    """

    tasks: int
    percent: float
    fleiss_kappa: float
    krippendorff_alpha: float

    def to_dict(self) -> dict[str, float | int | None]:
        return {name: None if np.isnan(value) else round(value, 6) for name, value in asdict(self).items()}

    def sentence(self) -> str:
        if not self.tasks:
            return "No task has two answers to compare."
        return (
            f"Agreement on {self.tasks:,} tasks with two answers or more: {self.percent:.1%}, "
            f"Fleiss' kappa {self.fleiss_kappa:.3f}, Krippendorff's alpha {self.krippendorff_alpha:.3f}."
        )


def agreement(answers: Answers) -> Agreement:
    """The figures of all answers together."""
    counts = _shared(answers)
    if counts.shape[0] == 0:
        return Agreement(0, np.nan, np.nan, np.nan)
    return Agreement(
        counts.shape[0], percent_agreement(counts), fleiss_kappa(counts), krippendorff_alpha(coincidences(counts))
    )


def label_agreement(answers: Answers) -> list[Agreement]:
    """The figures of each label against all others together, in the order of the labels."""
    counts = _shared(answers)
    if counts.shape[0] == 0:
        return [Agreement(0, np.nan, np.nan, np.nan)] * answers.n_labels
    total = counts.sum(axis=1)
    columns = counts.tocsc()
    found = []
    for label in range(answers.n_labels):
        mine = columns[:, [label]].toarray()[:, 0]
        two = sparse.csr_array(np.column_stack([mine, total - mine]))
        found.append(
            Agreement(counts.shape[0], percent_agreement(two), fleiss_kappa(two), krippendorff_alpha(coincidences(two)))
        )
    return found


@dataclass(frozen=True, eq=False)
class WorkerAgreement:
    """Each person against all who answered the same tasks, `(n_workers,)` each.

    met: how many answers of others there were to compare with. percent: the share of them that are equal.
    kappa: Cohen's, of the person's answers and the others'.
    """

    met: npt.NDArray[np.int64]
    percent: Floats
    kappa: Floats


def worker_agreement(answers: Answers) -> WorkerAgreement:
    """Each person's agreement with the others."""
    votes = _votes(answers)
    size = answers.n_workers
    same = np.asarray(votes[answers.task, answers.label]).ravel() - 1
    others = answers.per_task[answers.task] - 1
    met = np.bincount(answers.worker, others, size)
    shape = (size, answers.n_labels)
    mine = sparse.csr_array((others.astype(np.float64), (answers.worker, answers.label)), shape=shape)
    own = sparse.csr_array((np.ones(len(answers)), (answers.worker, answers.label)), shape=shape)
    at = sparse.csr_array((np.ones(len(answers)), (answers.worker, answers.task)), shape=(size, answers.n_tasks))
    theirs = at @ votes - own
    with np.errstate(invalid="ignore", divide="ignore"):
        percent = np.bincount(answers.worker, same, size) / met
        chance = np.asarray(mine.multiply(theirs).sum(axis=1)).ravel() / met**2
    return WorkerAgreement(met.astype(np.int64), percent, _beyond_chance(percent, chance))


def confusion_between(answers: Answers, first: int, second: int) -> Floats:
    """How often two people gave which labels to the tasks that both answered, `(n_labels, n_labels)`; rows `first`."""
    n = answers.n_labels
    tables = [
        sparse.csr_array((np.ones(mine.sum()), (answers.task[mine], answers.label[mine])), shape=(answers.n_tasks, n))
        for mine in (answers.worker == first, answers.worker == second)
    ]
    table: Floats = (tables[0].T @ tables[1]).toarray()
    return table


def cohen_kappa(table: npt.ArrayLike) -> float:
    """Cohen's kappa of two people from how often they gave which labels, `(n_labels, n_labels)`."""
    shares = np.asarray(table, dtype=np.float64)
    total = shares.sum()
    if total == 0:
        return float("nan")
    shares = shares / total
    return float(_beyond_chance(np.trace(shares), shares.sum(axis=1) @ shares.sum(axis=0)))


def percent_agreement(counts: sparse.csr_array) -> float:
    """The mean over tasks of the share of equal pairs of answers.

    counts: of each label at each task, `(n_tasks, n_labels)`; each task with two answers or more.
    """
    total = counts.sum(axis=1)
    return float((((counts**2).sum(axis=1) - total) / (total * (total - 1))).mean())


def fleiss_kappa(counts: sparse.csr_array) -> float:
    """Fleiss' kappa; tasks may differ in their number of answers, and each weighs the same in the agreement.

    counts: as for `percent_agreement`.
    """
    share = counts.sum(axis=0) / counts.sum()
    return float(_beyond_chance(percent_agreement(counts), share @ share))


def coincidences(counts: sparse.csr_array) -> Floats:
    """Krippendorff's coincidence matrix, `(n_labels, n_labels)`: the pairs of labels within tasks, each task's pairs
    weighted so that they count as its answers.

    counts: as for `percent_agreement`.
    """
    weight = 1 / (counts.sum(axis=1) - 1)
    weighted = sparse.diags_array(weight) @ counts
    table: Floats = (counts.T @ weighted).toarray()
    table[np.diag_indices_from(table)] -= weighted.sum(axis=0)
    return table


def krippendorff_alpha(table: Floats, level: Level = "nominal", values: Sequence[float] | None = None) -> float:
    """Krippendorff's alpha from a coincidence matrix.

    level: what labels are; for `interval` and `ratio`, `values` has each label's number; for `ordinal` the labels are
    in their order. Raises ParameterError if the values are missing or not as many as labels.
    """
    size = len(table)
    if level in ("interval", "ratio") and (values is None or len(values) != size):
        raise ParameterError(f"the level {level!r} needs a number for each of the {size} labels.", where="values")
    frequency = table.sum(axis=1)
    distance = _distance(level, frequency, np.asarray(values if values is not None else range(size), np.float64))
    total = frequency.sum()
    expected = (np.outer(frequency, frequency) * distance).sum()
    if expected == 0:
        return float("nan")
    return float(1 - (total - 1) * (table * distance).sum() / expected)


def _distance(level: Level, frequency: Floats, values: Floats) -> Floats:
    """The squared difference between each two labels."""
    if level == "nominal":
        return 1 - np.eye(len(values))
    if level == "ordinal":
        middle = np.cumsum(frequency) - frequency / 2
        return np.subtract.outer(middle, middle) ** 2
    if level == "interval":
        return np.subtract.outer(values, values) ** 2
    if level == "ratio":
        total = np.add.outer(values, values)
        ratio: Floats = np.divide(np.subtract.outer(values, values), total, out=np.zeros_like(total), where=total != 0)
        return ratio**2
    raise ParameterError(f"there is no level {level!r}.", where="level", hint="nominal, ordinal, interval or ratio.")


def _beyond_chance(found: float | Floats, chance: float | Floats) -> Floats:
    """How much of what chance leaves was reached; NaN where it leaves nothing."""
    left = 1 - np.asarray(chance, np.float64)
    reached = np.asarray(found, np.float64) - chance
    beyond: Floats = np.divide(reached, left, out=np.full(np.shape(left), np.nan), where=left > 1e-12)
    return beyond


def _votes(answers: Answers) -> sparse.csr_array:
    ones = np.ones(len(answers))
    return sparse.csr_array((ones, (answers.task, answers.label)), shape=(answers.n_tasks, answers.n_labels))


def _shared(answers: Answers) -> sparse.csr_array:
    """How often each label was given to each task with two answers or more."""
    return _votes(answers)[np.flatnonzero(answers.per_task > 1)]
