"""EASE beside its formula in dense arithmetic, and what does not fit."""

from __future__ import annotations

import numpy as np
import pytest

from palate.dataset.ids import IdMap
from palate.dataset.schema import Interactions
from palate.errors import ParameterError, SchemaError
from palate.models.ease import EASE
from tests.models.worlds import Matrix, all_scores, random_interactions


def by_the_paper(x: Matrix, penalty: float, user_power: float, item_power: float, debias: float) -> Matrix:
    """Item-to-item weights: column j of B minimises |X_j - X B_j|^2 + penalty |B_j|^2 with B_jj = 0, by definition."""
    counts = (x > 0).sum(axis=0)
    normalised = x / (x > 0).sum(axis=1, keepdims=True) ** user_power / counts**item_power
    weights = np.zeros((x.shape[1],) * 2)
    for item in range(x.shape[1]):
        others = np.delete(np.arange(x.shape[1]), item)
        given = normalised[:, others]
        left = given.T @ given + penalty * np.eye(len(others))
        weights[others, item] = np.linalg.solve(left, given.T @ normalised[:, item])
    return weights / counts[:, None] ** item_power * counts ** (item_power - debias)


@pytest.mark.parametrize(("user_power", "item_power", "debias"), [(0.0, 0.0, 0.0), (0.5, 0.3, 0.2)])
@pytest.mark.parametrize("weighting", ["binary", "weights"])
def test_it_is_the_best_linear_model_without_a_diagonal(
    user_power: float, item_power: float, debias: float, weighting: str
) -> None:
    data = random_interactions(weighted=True)
    model = EASE(
        regularization=5.0, user_power=user_power, item_power=item_power, debias=debias, weighting=weighting
    ).fit(data)
    x = data.matrix(binary=weighting == "binary").toarray().astype(np.float64)[:, :-1]
    x /= x[x > 0].mean()
    weights = by_the_paper(x, model.penalty, user_power, item_power, debias)
    np.testing.assert_allclose(model.weights, weights, rtol=1e-3, atol=1e-4)
    scores = all_scores(model, list(range(60)), 25)
    np.testing.assert_allclose(scores[:, :-1], x @ weights, rtol=1e-3, atol=1e-3)
    assert (scores[:, -1] == -np.inf).all()  # nobody has touched it


@pytest.mark.parametrize("values", [{}, {"user_power": 0.5, "item_power": 0.3, "debias": 0.2, "regularization": 20.0}])
def test_with_fewer_users_than_items_it_is_the_same_model(values: dict[str, float]) -> None:
    """By way of users by users, the scores are those of the weights from item to item."""
    data = random_interactions(n_users=30, n_items=80, seed=4, weighted=True)
    model = EASE(**values).fit(data)
    assert model.weights is None
    x = data.matrix().toarray().astype(np.float64)
    touched = x.any(axis=0)
    x = x[:, touched] / x[x > 0].mean()
    weights = by_the_paper(
        x, model.penalty, *(getattr(model.params, n) for n in ("user_power", "item_power", "debias"))
    )
    scores = all_scores(model, list(range(30)), 80)
    np.testing.assert_allclose(scores[:, touched], x @ weights, rtol=1e-3, atol=1e-4)
    assert (scores[:, ~touched] == -np.inf).all()
    again = EASE.from_arrays(model.to_arrays())
    np.testing.assert_array_equal(all_scores(again, [3], 80), scores[[3]])


def test_many_items_and_few_users_fit() -> None:
    n = 200_000
    codes = np.arange(n, dtype=np.int32)
    data = Interactions(IdMap(np.arange(2)), IdMap(np.arange(n)), codes % 2, codes)
    assert len(EASE().fit(data).recommend([0], 5).row(0)) == 5


def test_the_penalty_is_in_interactions() -> None:
    data = random_interactions()
    assert EASE(regularization=7.0, user_power=0.0).fit(data).penalty == pytest.approx(7.0)
    per_user = len(data) / data.n_users
    assert EASE(regularization=7.0, user_power=0.5).fit(data).penalty == pytest.approx(7.0 / per_user, rel=1e-5)


def test_a_catalogue_that_does_not_fit_is_refused_before_anything_is_taken() -> None:
    n = 500_000
    codes = np.arange(n, dtype=np.int32)
    data = Interactions(IdMap(np.arange(n)), IdMap(np.arange(n)), codes, codes)
    with pytest.raises(ParameterError, match=r"500,000 items need 1,490\.1 GB") as caught:
        EASE().fit(data)
    assert "sparse-ease" in str(caught.value)


def test_too_small_a_regularization_is_told() -> None:
    data = Interactions.from_ids(["a", "a", "b", "b"], ["x", "y", "x", "y"])
    with pytest.raises(ParameterError, match="too small"):
        EASE(regularization=1e-30).fit(data)


def test_weights_that_say_nothing() -> None:
    data = Interactions.from_ids(["a", "b"], ["x", "y"], [0.0, 0.0])
    with pytest.raises(SchemaError, match="above zero"):
        EASE(weighting="weights").fit(data)
