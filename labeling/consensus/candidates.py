"""The labels that may be right for each task, and a probability for each of them.

One flat column holds a value per task and candidate, so that a million tasks with many labels cost what their answers
cost, and not tasks x labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from labeling.consensus.answers import Answers, Codes, Floats

EVERY_LABEL_UP_TO = 1 << 23
"""Answers x labels up to which every label is a candidate for every task; beyond, those that somebody gave to it."""


@dataclass(frozen=True, eq=False)
class Candidates:
    """Candidates in the order of tasks, and of labels within a task.

    starts: where each task's candidates begin, and the end of the last, `(n_tasks + 1,)`. task, label: of each
    candidate. own: for each answer, the place of the label that it gave to its task, `(n_answers,)`.
    """

    starts: npt.NDArray[np.int64]
    task: Codes
    label: Codes
    own: npt.NDArray[np.int64]

    @classmethod
    def of(cls, answers: Answers, every_label_up_to: int = EVERY_LABEL_UP_TO) -> Candidates:
        """All labels for each task, or those given to it if answers x labels are more than `every_label_up_to`."""
        key = answers.task.astype(np.int64) * answers.n_labels + answers.label
        if len(answers) * answers.n_labels <= every_label_up_to:
            places = np.arange(answers.n_tasks * answers.n_labels)
            own = key
        else:
            places, own = np.unique(key, return_inverse=True)
        task, label = (part.astype(np.int32) for part in np.divmod(places, answers.n_labels))
        starts = np.searchsorted(task, np.arange(answers.n_tasks + 1))
        return cls(starts, task, label, own)

    def __len__(self) -> int:
        return len(self.label)

    def shares(self, answers: Answers) -> Floats:
        """The share of each candidate in its task's answers, `(n_candidates,)`: the soft majority vote."""
        return np.bincount(self.own, minlength=len(self)) / answers.per_task[self.task]

    def normalise(self, logarithms: Floats) -> tuple[Floats, Floats]:
        """Log weights as probabilities that sum to 1 over each task, and the log of each task's sum, `(n_tasks,)`."""
        first = self.starts[:-1]
        peak = np.maximum.reduceat(logarithms, first)
        weights = np.exp(logarithms - peak[self.task])
        total = np.add.reduceat(weights, first)
        weights /= total[self.task]
        return weights, peak + np.log(total)
