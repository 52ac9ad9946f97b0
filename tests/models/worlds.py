"""Small random interactions, and the dense arithmetic of the papers beside which the models are held."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from palate.dataset.ids import IdMap
from palate.dataset.schema import Interactions, Items

Matrix = npt.NDArray[np.float64]
GROUPS, PER_GROUP = 12, 25


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


@cache
def world(*, told: bool) -> tuple[Interactions, Items]:
    """Users with a taste for two of twelve groups of items; the catalogue tells an item's group, or one at random."""
    rng = np.random.default_rng(3)
    n_users, n_items = 250, GROUPS * PER_GROUP
    tastes = rng.dirichlet(np.full(GROUPS, 0.1), n_users)
    popular = rng.dirichlet(np.full(PER_GROUP, 0.7), GROUPS).ravel()
    liking = np.repeat(tastes, PER_GROUP, axis=1) * popular
    counts = rng.integers(2, 8, n_users) if told else rng.integers(20, 50, n_users)
    pairs = [
        (user, item)
        for user in range(n_users)
        for item in np.argpartition(-(np.log(liking[user] + 1e-9) + rng.gumbel(size=n_items)), counts[user])[
            : counts[user]
        ]
    ]
    users, items = (np.array(column, np.int32) for column in zip(*pairs, strict=True))
    groups = np.arange(n_items) // PER_GROUP if told else rng.integers(0, GROUPS, n_items)
    table = pa.table({"categories": pa.array([[f"group {group}"] for group in groups])})
    ids = IdMap(np.arange(n_users)), IdMap(np.arange(n_items))
    return Interactions(*ids, users, items), Items(ids[1], table)
