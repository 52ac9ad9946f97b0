"""Labels of people that the model, held out, has good reason to doubt: for review."""

from __future__ import annotations

import warnings

import numpy as np
from scipy.special import expit

from labeling.autolabel.learners import Learner, log_probabilities
from labeling.autolabel.state import Items, State
from palate.errors import MissingDependencyError


def suspects(state: State, learner: Learner, seed: int = 0) -> Items:
    """Items whose human label is probably wrong, most suspicious first, by confident learning (cleanlab).

    Northcutt, Jiang & Chuang (2021), Confident Learning: Estimating Uncertainty in Dataset Labels; of several labels,
    each given or not: Thyagarajan et al. (2022), Identifying Incorrect Annotations in Multi-Label Classification Data.
    Raises MissingDependencyError without cleanlab.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from cleanlab import filter as single
            from cleanlab.multilabel_classification import filter as several
    except ImportError as error:
        raise MissingDependencyError(
            f"finding label errors needs {error.name}.", hint="pip install 'palate[labeling]'."
        ) from error
    rows = state.answered
    labels = state.taught(rows)
    if len(np.unique(state.labels[rows])) < 2:
        return rows[:0]
    logs = log_probabilities(learner.learn(rows, labels, state.n_labels, seed), rows, labels)[rows].astype(np.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if state.sets is None:
            present, codes = np.unique(labels, return_inverse=True)
            probabilities = np.exp(logs[:, present])
            probabilities /= probabilities.sum(axis=1, keepdims=True)
            places = single.find_label_issues(
                codes, probabilities, return_indices_ranked_by="self_confidence", n_jobs=1
            )
        else:
            given = labels[:, (told := labels.any(axis=0) & ~labels.all(axis=0))]
            each = [np.flatnonzero(row).tolist() for row in given]
            places = several.find_label_issues(each, expit(logs[:, told]), "self_confidence", n_jobs=1)
    found: Items = rows[np.asarray(places, dtype=np.intp)]
    return found
