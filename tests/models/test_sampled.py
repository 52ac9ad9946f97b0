"""Models that learn from a sample of what was not touched: how well they rank, and what they refuse."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from palate.dataset.generate import generate_dataset
from palate.dataset.splits import leave_last_fraction
from palate.errors import ParameterError, SchemaError
from palate.evaluation.protocol import evaluate
from palate.models import make_recommender
from palate.models.bpr import BPR
from palate.models.logistic_mf import LogisticMF
from tests.models.worlds import random_interactions


@pytest.mark.parametrize("kind", ["mf", "bpr", "logistic-mf"])
def test_rankings_are_far_above_popularity(kind: str) -> None:
    parts = leave_last_fraction(generate_dataset(n_users=400, n_items=250, n_interactions=10_000).interactions)
    found, popular = (
        evaluate(make_recommender(each), parts.train, parts.test, (20,)).measures.metrics["ndcg@20"]
        for each in (kind, "popularity")
    )
    assert found > 1.25 * popular


def test_training_that_diverges_is_refused() -> None:
    with pytest.raises(ParameterError, match="diverged") as caught:
        BPR(learning_rate=1e30, iterations=5).fit(random_interactions())
    assert "learning_rate" in str(caught.value)


def test_weights_count_where_they_are_asked_for_and_their_scale_means_nothing() -> None:
    data = random_interactions(200, weighted=True)
    assert data.weights is not None
    tenfold = dataclasses.replace(data, weights=10 * data.weights)
    plain, weighted, scaled = (
        LogisticMF(factors=4, iterations=5, weighting=weighting).fit(each)
        for weighting, each in (("binary", data), ("weights", data), ("weights", tenfold))
    )
    np.testing.assert_allclose(weighted.item_factors, scaled.item_factors, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(weighted.user_factors, scaled.user_factors, rtol=1e-2, atol=1e-3)
    assert not np.allclose(plain.item_factors, weighted.item_factors, atol=1e-2)
    data.weights[:] = 0
    with pytest.raises(SchemaError, match="weight above zero"):
        LogisticMF(weighting="weights").fit(data)


@pytest.mark.parametrize("kind", ["bpr", "logistic-mf"])
def test_an_item_that_nobody_touched_is_never_recommended(kind: str) -> None:
    data = random_interactions()
    model = make_recommender(kind, {"factors": 4, "iterations": 5}).fit(data)
    assert all(24 not in row and len(row) == 24 for row in model.recommend([1, 2], 25, exclude=None).ids())
    assert not model.recommend(model.fold_in_users([[24]]), 3).personal[0]
    assert model.similar_items([24], 3).ids() == [[]]
