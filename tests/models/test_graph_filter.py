"""The graph filter beside its formula in dense arithmetic."""

from __future__ import annotations

import numpy as np
import pytest

from palate.models.graph_filter import GraphFilter
from tests.models.worlds import all_scores, random_interactions


@pytest.mark.parametrize(
    ("user_power", "item_power", "alpha", "weighting"),
    [(0.5, 0.5, 0.3, "binary"), (0.5, 0.3, 2.0, "weights"), (0.2, 0.6, 0.0, "binary")],
)
def test_it_is_propagation_and_an_ideal_low_pass_filter(
    user_power: float, item_power: float, alpha: float, weighting: str
) -> None:
    data = random_interactions(n_users=80, weighted=True)
    model = GraphFilter(
        factors=5, alpha=alpha, user_power=user_power, item_power=item_power, weighting=weighting, iterations=20
    ).fit(data)
    x = data.matrix(binary=weighting == "binary").toarray().astype(np.float64)[:, :-1]
    x /= x[x > 0].mean()
    counts = (x > 0).sum(axis=0)
    r = x / (x > 0).sum(axis=1, keepdims=True) ** user_power / counts**item_power
    v = np.linalg.svd(r)[2][:5].T
    ideal = np.diag(counts**-item_power) @ v @ v.T @ np.diag(counts**item_power)
    expected = x @ (r.T @ r + alpha * ideal)
    scores = all_scores(model, list(range(80)), 25)
    np.testing.assert_allclose(scores[:, :-1], expected, rtol=1e-3, atol=1e-4)
    assert (scores[:, -1] == -np.inf).all()  # nobody has touched it


def test_more_factors_than_there_are_items() -> None:
    model = GraphFilter(factors=4096).fit(random_interactions())
    assert model.axes.shape == (24, 24)
    np.testing.assert_allclose(model.axes.T @ model.axes, np.eye(24), atol=1e-4)
