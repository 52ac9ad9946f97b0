"""Sparse EASE beside the dense one, and beside ridge regression on the nearest items."""

from __future__ import annotations

import numpy as np
import pytest

from palate.errors import ParameterError
from palate.models.ease import EASE
from palate.models.sparse_ease import SparseEASE
from tests.models.worlds import random_interactions

POWERS = {"regularization": 5.0, "user_power": 0.5, "item_power": 0.3, "debias": 0.2}


def test_with_all_items_for_neighbours_it_is_ease() -> None:
    data = random_interactions(n_users=1500, weighted=True)
    dense, found = EASE(**POWERS).fit(data), SparseEASE(**POWERS).fit(data)
    np.testing.assert_allclose(found.weights.toarray(), dense.weights, rtol=1e-3, atol=1e-4)
    assert found.penalty == pytest.approx(dense.penalty)


def test_weights_are_the_ridge_regression_on_the_nearest_items() -> None:
    data = random_interactions(n_users=300)
    model = SparseEASE(regularization=5.0, neighbours=4, debias=0.0).fit(data)
    x = data.matrix(binary=True).toarray().astype(np.float64)[:, :-1]
    gram = x.T @ x
    cosines = gram / np.sqrt(np.outer(gram.diagonal(), gram.diagonal())) - 2 * np.eye(len(gram))
    for item in range(len(gram)):
        near = np.argsort(-cosines[item], kind="stable")[:4]
        expected = np.zeros(len(gram))
        expected[near] = np.linalg.solve(gram[np.ix_(near, near)] + 5.0 * np.eye(4), gram[near, item])
        np.testing.assert_allclose(model.weights.toarray()[:, item], expected, rtol=1e-3, atol=1e-5)


def test_memory_goes_with_neighbours() -> None:
    data = random_interactions(n_users=500, n_items=200)
    model = SparseEASE(neighbours=3, known=10).fit(data)
    assert model.weights.nnz <= 3 * 199
    assert np.isfinite(model.weights.data).all()


def test_fewer_products_than_neighbours_are_refused() -> None:
    with pytest.raises(ParameterError, match="at least neighbours, 100, not 50") as caught:
        SparseEASE(known=50)
    assert caught.value.where == "sparse-ease.known"
