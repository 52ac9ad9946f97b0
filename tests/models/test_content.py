"""Content: items nobody has touched, and users known by what they say."""

from __future__ import annotations

import numpy as np
import pytest

from palate.dataset.schema import Interactions
from palate.models.content import ContentSimilarity
from palate.models.protocol import Context
from tests.models.checkerboard import NAMES, catalogue, fitted, interactions

NAME = NAMES["string"]


def test_untouched_items_are_ranked_by_what_they_are() -> None:
    model = fitted("content")
    cold = [NAME(10), NAME(11)]  # a drama and a comedy
    assert model.recommend([NAME(2), NAME(3)], 2, candidates=cold).ids() == [cold, cold[::-1]]


def test_scores_are_those_of_ridge_regression() -> None:
    model = fitted("content")
    assert isinstance(model, ContentSimilarity)
    data = interactions(NAME)
    touched = np.unique(data.item_codes)
    e, y = model.embeddings.astype(float), data.matrix(binary=True).toarray()[:, : len(model.items)]
    known = e[: len(data.items)][touched] if len(touched) < len(e) else e
    weights = np.linalg.solve(known.T @ known + 3.0 * np.eye(e.shape[1]), known.T @ y[:, touched].T)
    predicted = (e @ weights).T / y.sum(axis=1, keepdims=True)
    found = model.recommend([NAME(user) for user in range(10)], len(e), exclude=None)
    for row in range(10):
        assert found.scores[row] == pytest.approx(predicted[row][found.codes[row]], abs=1e-5)


def test_stated_likings_add_to_the_history() -> None:
    model = ContentSimilarity(dims=8, preference_weight=50.0).fit(interactions(NAME), catalogue(NAME))
    drama_lover = NAME(2)
    assert int(str(model.recommend([drama_lover], 1).ids()[0][0])[3:]) % 2 == 0
    found = model.recommend([drama_lover], 1, context=Context(categories=("Comedy",), tags=("loud",)))
    assert int(str(found.ids()[0][0])[3:]) % 2 == 1


def test_stated_likings_can_be_turned_off() -> None:
    model = ContentSimilarity(dims=8, preference_weight=0.0).fit(interactions(NAME), catalogue(NAME))
    assert not model.recommend(["nobody"], 1, context=Context(categories=("Comedy",))).personal[0]


def test_without_content_it_says_that_it_knows_nothing() -> None:
    model = ContentSimilarity().fit(Interactions.from_ids(["a", "b", "b"], ["x", "x", "y"]))
    found = model.recommend(["a"], 2)
    assert found.ids() == [["y"]]
    assert not found.personal[0]
    assert model.similar_items(["x"]).ids() == [[]]
    assert not model.recommend(model.fold_in_users([["x"]]), 2).personal[0]


def test_a_loaded_encoder_is_part_of_the_model() -> None:
    model = fitted("content")
    assert list(model.to_arrays().parts) == ["encoder"]
