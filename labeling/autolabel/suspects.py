"""Labels of people that the model, held out, has good reason to doubt: for review."""

from __future__ import annotations

import warnings

import numpy as np

from labeling.autolabel.learners import Learner, log_probabilities
from labeling.autolabel.state import Items, State
from palate.errors import MissingDependencyError


def suspects(state: State, learner: Learner, seed: int = 0) -> Items:
    """Items whose human label is probably wrong, most suspicious first, by confident learning (cleanlab).

    Northcutt, Jiang & Chuang (2021), Confident Learning: Estimating Uncertainty in Dataset Labels.
    Raises MissingDependencyError without cleanlab.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from cleanlab.filter import find_label_issues
    except ImportError as error:
        raise MissingDependencyError(
            f"finding label errors needs {error.name}.", hint="pip install 'palate[labeling]'."
        ) from error
    rows = state.answered
    labels = state.labels[rows]
    if len(np.unique(labels)) < 2:
        return rows[:0]
    scores = log_probabilities(learner.learn(rows, labels, state.n_labels, seed), rows, labels)[rows]
    present, codes = np.unique(labels, return_inverse=True)
    probabilities = np.exp(scores[:, present].astype(np.float64))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        places = find_label_issues(codes, probabilities, return_indices_ranked_by="self_confidence", n_jobs=1)
    found: Items = rows[np.asarray(places, dtype=np.intp)]
    return found
