"""The neighbourhood models beside dense arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from palate.dataset.schema import Interactions
from palate.models import make_recommender
from tests.models.worlds import Matrix, all_scores, random_interactions

SETTINGS = [
    {"similarity": "cosine", "shrinkage": 4.0, "weighting": "binary"},
    {"similarity": "cosine", "weighting": "weights"},
    {"similarity": "jaccard", "weighting": "binary"},
    {"similarity": "tf-idf", "weighting": "weights"},
    {"similarity": "bm25", "bm25_k1": 1.2, "bm25_b": 0.6, "weighting": "weights"},
]


def nearest(rows: Matrix, settings: Mapping[str, Any], k: int, *, itself: bool) -> Matrix:
    """Similarities of all rows, those beyond the k nearest set to 0."""
    counts, lengths = (rows > 0).sum(axis=0), rows.sum(axis=1, keepdims=True)
    idf = np.log((1 + len(rows)) / (1 + counts)) + 1
    weighed = rows
    if settings["similarity"] == "tf-idf":
        weighed = np.sqrt(rows) * idf
    if settings["similarity"] == "bm25":
        k1, b = settings["bm25_k1"], settings["bm25_b"]
        weighed = rows * (k1 + 1) / (rows + k1 * (1 - b + b * lengths / lengths.mean())) * idf
    common = (rows > 0).astype(float) @ (rows > 0).T
    sizes = common.diagonal()
    found: Matrix = weighed @ weighed.T
    if settings["similarity"] == "jaccard":
        found = common / (sizes[:, None] + sizes - common)
    elif settings["similarity"] != "bm25":
        found = found / np.sqrt(np.outer(found.diagonal(), found.diagonal()))
    found = found * common / np.maximum(common + settings.get("shrinkage", 0.0), 1)
    if not itself:
        np.fill_diagonal(found, 0)
    for row in found:
        row[np.argsort(-row, kind="stable")[k:]] = 0
    return found


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("kind", ["item-knn", "user-knn"])
def test_scores_are_sums_over_neighbours(kind: str, settings: dict[str, Any]) -> None:
    data = random_interactions(weighted=True)
    model = make_recommender(kind, {"neighbours": 6, "shrinkage": 0.0, **settings}).fit(data)
    rows = data.matrix(binary=model.params.weighting == "binary").toarray().astype(np.float64)[:, :-1]
    rows /= rows[rows > 0].mean()
    if kind == "item-knn":
        expected = rows @ nearest(rows.T, settings, 6, itself=False)
    else:
        expected = nearest(rows, settings, 6, itself=True) @ rows
    scores = all_scores(model, list(range(60)), 25)
    assert (scores[:, -1] == -np.inf).all()  # nobody has touched it
    reached = expected > 0
    np.testing.assert_allclose(scores[:, :-1][reached], expected[reached], rtol=1e-4)
    assert (scores[:, :-1][~reached] < 0).all()


@pytest.mark.parametrize("kind", ["item-knn", "user-knn"])
def test_what_no_neighbour_has_follows_by_popularity(kind: str) -> None:
    users = ["a", "a", "b", "b", "c", "d", "d", "e"]
    data = Interactions.from_ids(users, ["x", "y", "x", "y", "z", "z", "w", "z"])
    found = make_recommender(kind, {"shrinkage": 0.0}).fit(data).recommend(["a"], 4, exclude=None)
    assert set(found.ids()[0][:2]) == {"x", "y"}
    assert found.ids()[0][2:] == ["z", "w"]
    assert (found.scores[0][:2] > 0).all()
    assert (found.scores[0][2:] < 0).all()


def test_items_without_neighbours_are_alone() -> None:
    model = make_recommender("item-knn").fit(Interactions.from_ids(["a", "b", "b"], ["x", "y", "z"]))
    assert model.similar_items(["x", "y"], 2).ids() == [[], ["z"]]
    assert model.recommend(["a", "b"], 2).personal.tolist() == [False, True]  # x leads nowhere
