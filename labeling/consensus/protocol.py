"""What a consensus method is, and what it gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Protocol

import numpy as np

from labeling.consensus.answers import Answers, Codes, Floats
from labeling.consensus.candidates import Candidates
from palate.errors import ParameterError

_TIED = 1e-9
"""Labels whose probabilities differ by less are tied: sums in another order differ by less than that."""


@dataclass(frozen=True, eq=False)
class Consensus:
    """What the answers say together.

    posterior: the probability of each candidate, `(n_candidates,)`; they sum to 1 over each task.
    chosen: the label of each task, and confidence, its probability, `(n_tasks,)`.
    skill: `(n_workers,)`, from 0 to 1: the share of a worker's answers that are right, as the posterior has it.
    rounds: iterations until the method had converged, 0 if it does not iterate; converged: or was it cut off?
    details: what a method alone knows of each worker, `(n_workers,)` each.
    """

    method: str
    candidates: Candidates
    posterior: Floats
    chosen: Codes
    confidence: Floats
    skill: Floats
    rounds: int = 0
    converged: bool = True
    details: dict[str, Floats] = field(default_factory=dict)

    def table(self, n_labels: int) -> Floats:
        """The posterior of every label, `(n_tasks, n_labels)`: 0 for labels that were no candidates."""
        table = np.zeros((len(self.chosen), n_labels))
        table[self.candidates.task, self.candidates.label] = self.posterior
        return table


class Method(Protocol):
    """A way to one label per task. Equal answers give an equal consensus, in whatever order they came."""

    name: ClassVar[str]
    uses_probabilities: ClassVar[bool]

    def consolidate(self, answers: Answers, probabilities: Floats | None = None) -> Consensus:
        """The consensus.

        probabilities: a model's, `(n_tasks, n_labels)`, each row summing to 1; out of sample, or it repeats the
        answers. For methods with `uses_probabilities`, which need them. Raises ParameterError.
        """
        ...


def made(
    method: str,
    answers: Answers,
    candidates: Candidates,
    posterior: Floats,
    *,
    rounds: int = 0,
    converged: bool = True,
    details: dict[str, Floats] | None = None,
) -> Consensus:
    """The consensus that follows from a posterior.

    Of tied labels, the one that was given most often in all, then the first in the order of the labels.
    """
    order = np.lexsort((np.arange(answers.n_labels), -answers.per_label))
    rank = np.argsort(order)
    first = candidates.starts[:-1]
    best = np.maximum.reduceat(posterior, first)
    tied = posterior >= best[candidates.task] - _TIED
    chosen = order[np.minimum.reduceat(np.where(tied, rank[candidates.label], answers.n_labels), first)]
    right = np.bincount(answers.worker, posterior[candidates.own], answers.n_workers)
    return Consensus(
        method,
        candidates,
        posterior,
        chosen.astype(np.int32),
        np.clip(best, 0.0, 1.0),
        np.clip(right / answers.per_worker, 0.0, 1.0),
        rounds,
        converged,
        details or {},
    )


def confusion(answers: Answers, consensus: Consensus, worker: int) -> Floats:
    """How often a worker gave each label, by what was probably right: `(n_labels, n_labels)`, rows the true label."""
    counts = np.zeros((answers.n_labels, answers.n_labels))
    starts = consensus.candidates.starts
    for answer in np.flatnonzero(answers.worker == worker):
        at = slice(starts[answers.task[answer]], starts[answers.task[answer] + 1])
        counts[consensus.candidates.label[at], answers.label[answer]] += consensus.posterior[at]
    return counts


def refuse(method: str, probabilities: Floats | None) -> None:
    """For methods that have no use for a model: to ignore one in silence would mislead."""
    if probabilities is not None:
        raise ParameterError(f"the method {method!r} does not use a model's probabilities.", where="probabilities")


def require_rounds(iterations: int, tolerance: float) -> None:
    """Raises ParameterError unless both say when to stop."""
    if iterations < 1:
        raise ParameterError(f"must be 1 or above, not {iterations!r}.", where="iterations")
    if not (np.isfinite(tolerance) and tolerance > 0):
        raise ParameterError(f"must be above 0, not {tolerance!r}.", where="tolerance")
