"""A checkerboard of users and items, whose right answers anyone can see, and a model of every kind fitted on it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pyarrow as pa

from palate.dataset.ids import IdMap
from palate.dataset.schema import Interactions, Items, Users
from palate.models import KINDS, artifact_class, make_recommender
from palate.models.protocol import Recommender

RECOMMENDERS = [kind for kind in KINDS if issubclass(artifact_class(kind), Recommender)]

SMALL: dict[str, dict[str, object]] = {
    "als": {"factors": 4},
    "bpr": {"factors": 4, "user_regularization": 0.05},
    "blend": {"parts": "als(factors=4),content(dims=8),popularity"},
    "content": {"dims": 8},
    "ease": {"regularization": 2.0},
    "explicit-mf": {"factors": 2, "features": 2},
    "graph-filter": {"factors": 4},
    "ials": {"factors": 4, "regularization": 0.1, "unobserved": 0.5},
    "item-knn": {"neighbours": 5, "shrinkage": 0.0},
    "logistic-mf": {"factors": 4, "regularization": 0.1},
    "mf": {"factors": 4, "regularization": 0.01, "learning_rate": 0.03, "epochs": 25},
    "sasrec": {"factors": 8, "blocks": 1, "epochs": 60, "dropout": 0.0, "learning_rate": 0.01, "shuffle": 1.0},
    "sparse-ease": {"regularization": 2.0, "neighbours": 6},
    "user-knn": {"neighbours": 5, "shrinkage": 0.0},
}
"""Parameters that suit data of a dozen items."""

NAMES: dict[str, Callable[[int], object]] = {
    "integer": lambda number: number * 10**15 + 7,
    "string": lambda number: f"id-{number:03d}",
    "unicode": lambda number: f"日本 {number:03d} \u00e9\U0001f600",
}
N_USERS, N_ITEMS = 10, 12


def pairs() -> list[tuple[int, int]]:
    """A checkerboard: even users like even items, odd users odd ones, each missing one; item 0 is liked by all."""
    return [
        (user, item)
        for user in range(N_USERS)
        for item in range(N_ITEMS - 2)
        if item == 0 or (item % 2 == user % 2 and item != user)
    ]


def catalogue(names: Callable[[int], object]) -> Items:
    """Even items are dramas, odd ones comedies; the last two nobody has touched."""
    numbers = range(N_ITEMS)
    table = pa.table(
        {
            "title": pa.array([f"{'Drama' if n % 2 == 0 else 'Comedy'} part {n}" for n in numbers], pa.large_string()),
            "categories": pa.array([["Drama"] if n % 2 == 0 else ["Comedy"] for n in numbers]),
            "tags": pa.array([["sad", "slow"] if n % 2 == 0 else ["funny", "loud"] for n in numbers]),
            "timestamp": pa.array([n * 86_400 for n in numbers], pa.int64()),
        }
    )
    return Items(IdMap([names(n) for n in numbers]), table)  # type: ignore[misc]


def interactions(names: Callable[[int], object]) -> Interactions:
    users, items = zip(*pairs(), strict=True)
    times = np.arange(len(users)) * 3600
    return Interactions.from_ids([names(u) for u in users], [names(i) for i in items], None, times)  # type: ignore[misc]


def people(names: Callable[[int], object]) -> Users:
    """Even users are segment 0, odd ones segment 1."""
    attributes = pa.array([f'{{"segment": {n % 2}}}' for n in range(N_USERS)], pa.large_string())
    return Users(IdMap([names(n) for n in range(N_USERS)]), pa.table({"attributes": attributes}))  # type: ignore[misc]


@cache
def fitted(kind: str, ids: str = "string") -> Recommender:
    names = NAMES[ids]
    return make_recommender(kind, SMALL.get(kind)).fit(interactions(names), catalogue(names), people(names))
