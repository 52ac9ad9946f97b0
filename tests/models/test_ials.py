"""iALS beside its objective in dense arithmetic."""

from __future__ import annotations

import numpy as np
import pytest

from palate.errors import ParameterError, SchemaError
from palate.models.ials import IALS
from tests.models.worlds import Matrix, random_interactions

REGULARIZATION = 0.05


def terms(model: IALS, weights: Matrix) -> tuple[Matrix, Matrix]:
    """Confidence of each pair, and lambda times how often each user and item occurs: `(n_users,)` and `(n_items,)`."""
    a = model.unobserved_weight
    confidence = a + weights
    counts = (weights > 0).sum(axis=1), (weights > 0).sum(axis=0)
    return confidence, REGULARIZATION * np.concatenate(
        [counts[0] + a * weights.shape[1], counts[1] + a * weights.shape[0]]
    )


@pytest.mark.parametrize("weighting", ["binary", "weights"])
def test_factors_are_where_the_objective_is_flat(weighting: str) -> None:
    data = random_interactions(weighted=True)
    model = IALS(factors=3, regularization=REGULARIZATION, unobserved=4.0, iterations=300, weighting=weighting).fit(
        data
    )
    weights = data.matrix(binary=weighting == "binary").toarray().astype(np.float64)[:, :-1]
    weights /= weights[weights > 0].mean()
    assert model.unobserved_weight * weights.size == pytest.approx(4.0 * np.count_nonzero(weights))
    x, y = model.user_factors.astype(float), model.item_factors.astype(float)[:-1]
    assert not model.item_factors[-1].any()  # nobody has touched it
    confidence, ridge = terms(model, weights)
    error = confidence * (x @ y.T - (weights > 0))
    users, items = error @ y + ridge[: len(x), None] * x, error.T @ x + ridge[len(x) :, None] * y
    assert np.abs(users).max() < 1e-4 * np.abs(confidence @ y).max()  # solved for exactly, at the end
    assert np.abs(items).max() < 1e-2 * np.abs(confidence.T @ x).max()
    assert (x @ y.T)[weights > 0].mean() > 0.3 + (x @ y.T)[weights == 0].mean()


def test_the_scale_of_the_weights_means_nothing() -> None:
    data = random_interactions(n_users=200, weighted=True)
    once = IALS(factors=4, iterations=5).fit(data)
    twice = IALS(factors=4, iterations=5).fit(data.take(np.tile(np.arange(len(data)), 2)))  # repeats are summed
    np.testing.assert_allclose(once.user_factors, twice.user_factors, rtol=1e-4, atol=1e-6)


def test_weights_that_say_nothing() -> None:
    data = random_interactions(weighted=True)
    data.weights[:] = 0  # type: ignore[index]
    with pytest.raises(SchemaError, match="weight above zero"):
        IALS().fit(data)


def test_factors_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ParameterError, match="not finite"):
        IALS(regularization=1e-30, unobserved=1e-38).fit(random_interactions())
