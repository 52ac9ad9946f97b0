"""CROWDLAB: people and a model vote together, each with the weight that their agreement with others earns them.

H. W. Goh, U. Tkachenko and J. Mueller (2022), CROWDLAB: supervised learning to infer consensus labels and quality
scores for data with multiple annotators. Computed from the answers as they are; cleanlab, whose figures the tests
compare with, makes a table of tasks x people.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from labeling.consensus.answers import Answers, Floats
from labeling.consensus.candidates import Candidates
from labeling.consensus.protocol import Consensus, made
from palate.errors import ParameterError

_LEAST = 1e-6
"""No voter's weight is less."""


@dataclass(frozen=True)
class Crowdlab:
    """The weighted mean of a model's probabilities and of what each answer says.

    Its consensus has the detail `weight` of each person. The model's weight relative to theirs follows from how often
    it agrees with the majority where that has two answers or more.
    """

    name: ClassVar[str] = "crowdlab"
    uses_probabilities: ClassVar[bool] = True

    def consolidate(self, answers: Answers, probabilities: Floats | None = None) -> Consensus:
        """Raises ParameterError without probabilities, and if no task has two answers to compare."""
        model = _checked(answers, probabilities)
        several = answers.per_task > 1
        if not several.any():
            raise ParameterError(
                "no task has two answers, so nobody can be compared with anybody.",
                where="answers",
                hint="CROWDLAB needs some tasks that two people or more have answered.",
            )
        candidates = Candidates.of(answers, every_label_up_to=answers.n_tasks * answers.n_labels * len(answers))
        counts = np.bincount(candidates.own, minlength=len(candidates))
        majority = _majority(counts.reshape(model.shape), model)
        agreed = counts.reshape(model.shape)[np.arange(answers.n_tasks), majority] / answers.per_task
        likelihood = float(agreed[several].mean())
        otherwise = (1 - likelihood) / max(answers.n_labels - 1, 1)

        found = majority[several]
        chance_error = max(1 - np.bincount(found).max() / len(found), _LEAST)
        weight = np.maximum(1 - (1 - _agreement(answers, counts[candidates.own])) / chance_error, _LEAST)
        model_error = float((model[several].argmax(axis=1) != found).mean())
        model_weight = max(1 - model_error / chance_error, _LEAST) * float(np.sqrt(answers.per_task.mean()))

        voting = weight[answers.worker]
        everybody = np.bincount(answers.task, voting, answers.n_tasks)
        said = np.bincount(candidates.own, voting, len(candidates)) * (likelihood - otherwise)
        posterior = said + (everybody * otherwise)[candidates.task] + model_weight * model.ravel()
        posterior /= (everybody + model_weight)[candidates.task]
        return made(self.name, answers, candidates, posterior, details={"weight": weight})


def _checked(answers: Answers, probabilities: Floats | None) -> Floats:
    if probabilities is None:
        raise ParameterError("the method 'crowdlab' needs a model's probabilities.", where="probabilities")
    expected = (answers.n_tasks, answers.n_labels)
    if probabilities.shape != expected:
        raise ParameterError(f"must be of shape {expected}, not {probabilities.shape}.", where="probabilities")
    sums = probabilities.sum(axis=1)
    if not (np.isfinite(probabilities).all() and (probabilities >= 0).all() and np.allclose(sums, 1, atol=1e-3)):
        raise ParameterError("must be 0 or above and sum to 1 for each task.", where="probabilities")
    normal: Floats = probabilities / sums[:, None]
    return normal


def _majority(counts: npt.NDArray[np.int64], model: Floats) -> npt.NDArray[np.int64]:
    """The majority's label; of tied ones, the model's choice."""
    tied = counts == counts.max(axis=1, keepdims=True)
    chosen: npt.NDArray[np.int64] = np.where(tied, model, -1.0).argmax(axis=1)
    return chosen


def _agreement(answers: Answers, same: npt.NDArray[np.int64]) -> Floats:
    """The share of others' answers to the same tasks that equal a person's; the mean person's for who met nobody."""
    met = np.bincount(answers.worker, answers.per_task[answers.task] - 1, answers.n_workers)
    equal = np.bincount(answers.worker, same - 1, answers.n_workers)
    share = np.divide(equal, met, out=np.full(answers.n_workers, np.nan), where=met > 0)
    return np.where(np.isnan(share), np.nanmean(share), share)
