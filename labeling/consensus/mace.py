"""MACE: each person either knows the answer or gives one by habit; who knows is found together with the truth.

D. Hovy, T. Berg-Kirkpatrick, A. Vaswani and E. Hovy (2013), Learning whom to trust with MACE, NAACL-HLT. Trained by
variational Bayes with the paper's priors, with two departures: it starts from the soft majority vote instead of at
random, so that equal answers give an equal consensus; and how frequent each label is, is learned (one answer of each
beforehand), since taking all for equally frequent fails where one is rare.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import digamma

from labeling.consensus.answers import Answers, Floats
from labeling.consensus.candidates import Candidates
from labeling.consensus.protocol import Consensus, made, refuse, require_rounds
from palate.errors import ParameterError


@dataclass(frozen=True)
class Mace:
    """One number for each person's competence, and a habit: which labels they give when they do not know.

    competence_prior: both parameters of the Beta prior of knowing. habit_prior: of the Dirichlet prior of the habit,
    for each label.
    Its consensus has the detail `competence`, the probability that a person knows.
    """

    competence_prior: float = 0.5
    habit_prior: float = 10.0
    iterations: int = 200
    tolerance: float = 1e-5

    name: ClassVar[str] = "mace"
    uses_probabilities: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require_rounds(self.iterations, self.tolerance)
        for name in ("competence_prior", "habit_prior"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value > 0):
                raise ParameterError(f"must be above 0, not {value!r}.", where=name)

    def consolidate(self, answers: Answers, probabilities: Floats | None = None) -> Consensus:
        refuse(self.name, probabilities)
        candidates = Candidates.of(answers)
        pairs, pair = np.unique(answers.worker.astype(np.int64) * answers.n_labels + answers.label, return_inverse=True)
        worker_of = pairs // answers.n_labels
        posterior = candidates.shares(answers)
        knew = posterior[candidates.own]
        competence = np.zeros(answers.n_workers)
        moved, rounds = np.inf, 0
        while moved >= self.tolerance and rounds < self.iterations:
            # M-step: expected logarithms under the variational posteriors of competence and habit
            known = np.bincount(answers.worker, knew, answers.n_workers) + self.competence_prior
            guessed = answers.per_worker + 2 * self.competence_prior - known
            by_habit = np.bincount(pair, 1 - knew) + self.habit_prior
            habits = np.bincount(answers.worker, 1 - knew, answers.n_workers) + self.habit_prior * answers.n_labels
            total = digamma(known + guessed)
            log_know = (digamma(known) - total)[answers.worker]
            log_guess = (digamma(guessed) - total)[answers.worker]
            log_guess += (digamma(by_habit) - digamma(habits)[worker_of])[pair]
            competence = known / (known + guessed)
            # E-step: whatever is right, a guess may have given the label; knowing it gives only the right one
            odds = np.logaddexp(log_know, log_guess) - log_guess
            frequent = np.bincount(candidates.label, posterior, answers.n_labels) + 1
            weights = np.bincount(candidates.own, odds, len(candidates)) + np.log(frequent)[candidates.label]
            updated, _ = candidates.normalise(weights)
            knew = updated[candidates.own] * -np.expm1(-odds)
            moved = float(np.abs(updated - posterior).sum()) / (2 * answers.n_tasks)
            posterior, rounds = updated, rounds + 1
        return made(
            self.name,
            answers,
            candidates,
            posterior,
            rounds=rounds,
            converged=moved < self.tolerance,
            details={"competence": competence},
        )
