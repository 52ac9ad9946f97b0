"""Dawid-Skene: a confusion matrix for each person, found together with the truth by expectation maximisation.

A. P. Dawid and A. M. Skene (1979), Maximum likelihood estimation of observer error-rates using the EM algorithm,
Applied Statistics 28(1), 20-28.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from scipy import sparse

from labeling.consensus.answers import Answers, Floats
from labeling.consensus.candidates import EVERY_LABEL_UP_TO, Candidates
from labeling.consensus.protocol import Consensus, made, refuse, require_rounds
from palate.errors import ParameterError

_TINY = 1e-10
"""Added to a probability before its logarithm is taken."""


@dataclass(frozen=True)
class DawidSkene:
    """Maximum likelihood, or with smoothing the maximum a posteriori, from the soft majority vote on.

    smoothing: how many answers for each of its entries a person's matrix begins with: each row with this many times
        the number of labels, spread as all people together answer. It keeps people with few answers from being sure
        of anything; 0 is the paper's maximum likelihood. Chosen on `labeling/consensus/crowds.py`: 1 is best or
        within a point of it on each crowd; 0 falls far below the majority where people answered few tasks.
    iterations: rounds at most. tolerance: converged once a task's probabilities move by less, on average.
    every_label_up_to: answers x labels beyond which a label that nobody gave to a task is not considered for it.
    """

    smoothing: float = 1.0
    iterations: int = 200
    tolerance: float = 1e-5
    every_label_up_to: int = EVERY_LABEL_UP_TO

    name: ClassVar[str] = "dawid-skene"
    uses_probabilities: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require_rounds(self.iterations, self.tolerance)
        if not (np.isfinite(self.smoothing) and self.smoothing >= 0):
            raise ParameterError(f"must be 0 or above, not {self.smoothing!r}.", where="smoothing")

    def consolidate(self, answers: Answers, probabilities: Floats | None = None) -> Consensus:
        refuse(self.name, probabilities)
        candidates = Candidates.of(answers, self.every_label_up_to)
        cells = Cells.of(answers, candidates)
        posterior = candidates.shares(answers)
        moved, rounds = np.inf, 0
        while moved >= self.tolerance and rounds < self.iterations:
            prior = np.bincount(candidates.label, posterior, answers.n_labels) / answers.n_tasks
            weights = cells.at @ self.log_likelihood(cells, posterior)
            weights += np.log(prior + _TINY)[candidates.label]
            updated, _ = candidates.normalise(weights)
            moved = float(np.abs(updated - posterior).sum()) / (2 * answers.n_tasks)
            posterior, rounds = updated, rounds + 1
        return made(self.name, answers, candidates, posterior, rounds=rounds, converged=moved < self.tolerance)

    def log_likelihood(self, cells: Cells, posterior: Floats) -> Floats:
        """For each cell, the log of the probability that the person gives the label when the cell's is true."""
        counts: Floats = cells.back @ posterior
        row = np.bincount(cells.row, counts).astype(np.float64)[cells.row]
        begin = self.smoothing * cells.n_labels
        if begin:
            pooled = np.bincount(cells.pooled, counts)
            share = pooled / (np.bincount(cells.pooled_row, pooled)[cells.pooled_row] + _TINY)
            counts = counts + begin * share[cells.pooled]
            row = row + begin
        logarithms: Floats = np.log(counts / (row + _TINY) + _TINY)
        return logarithms


@dataclass(frozen=True, eq=False)
class Cells:
    """The entries of all confusion matrices that some answer can fall into: (person, true label, label given).

    There are no more of them than answers x candidates, where whole matrices would take people x labels x labels.

    at: `(n_candidates, n_cells)`, sparse: the cells that a task's answers fall into if a candidate is right.
    back: its transpose. row: which cells share person and true label. pooled: which share the true and the given
    label, and pooled_row: for each of these, which share the true label.
    """

    n_labels: int
    at: sparse.csr_array
    back: sparse.csr_array
    row: npt.NDArray[np.int64]
    pooled: npt.NDArray[np.int64]
    pooled_row: npt.NDArray[np.int64]

    @classmethod
    def of(cls, answers: Answers, candidates: Candidates) -> Cells:
        n = answers.n_labels
        first = candidates.starts[answers.task]
        width = candidates.starts[answers.task + 1] - first
        answer = np.repeat(np.arange(len(answers)), width)
        place = np.arange(len(answer)) - np.repeat(np.cumsum(width) - width - first, width)
        row = answers.worker[answer].astype(np.int64) * n + candidates.label[place]
        keys, cell = np.unique(row * n + answers.label[answer], return_inverse=True)
        shape = (len(candidates), len(keys))
        at = sparse.csr_array((np.ones(len(cell)), (place, cell)), shape=shape)
        rows, given = np.divmod(keys, n)
        pooled_keys, pooled = np.unique(rows % n * n + given, return_inverse=True)
        return cls(n, at, at.T.tocsr(), np.unique(rows, return_inverse=True)[1], pooled, pooled_keys // n)
