"""Small random interactions, and the dense arithmetic of the papers beside which the models are held."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from palate.dataset.ids import IdMap
from palate.dataset.schema import Interactions

Matrix = npt.NDArray[np.float64]


def random_interactions(n_users: int = 60, n_items: int = 25, seed: int = 0, *, weighted: bool = False) -> Interactions:
    """Two tastes and some noise; popular items and rare ones; the last item nobody has touched."""
    rng = np.random.default_rng(seed)
    liking = rng.normal(size=(n_users, 2)) @ rng.normal(size=(2, n_items)) + rng.normal(size=n_items)
    touched = rng.random((n_users, n_items)) < 1 / (1 + np.exp(1.0 - liking))
    touched[:, -1] = False
    touched[:, 0] |= ~touched.any(axis=1)
    users, items = np.nonzero(touched)
    weights = rng.integers(1, 6, len(users)).astype(np.float32) if weighted else None
    ids = IdMap(np.arange(n_users)), IdMap(np.arange(n_items))
    return Interactions(*ids, users.astype(np.int32), items.astype(np.int32), weights)


def all_scores(model: object, users: list[int], n_items: int) -> Matrix:
    """Scores of every item in code order, `(n_users, n_items)`; -inf where the model does not rank it."""
    found = model.recommend(users, n_items, exclude=None)  # type: ignore[attr-defined]
    scores = np.full((len(users), n_items), -np.inf)
    for row, (codes, values) in enumerate(zip(found.codes, found.scores, strict=True)):
        scores[row, codes[codes >= 0]] = values[codes >= 0]
    return scores
