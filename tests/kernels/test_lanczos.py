"""Leading eigenvectors of an operator: numpy's own, from products alone."""

from __future__ import annotations

import numpy as np
import pytest

from palate.kernels.lanczos import leading_eigen


def operator(values: np.ndarray, seed: int = 0) -> np.ndarray:
    turn = np.linalg.qr(np.random.default_rng(seed).standard_normal((len(values), len(values))))[0]
    return (turn * values) @ turn.T


@pytest.mark.parametrize("decay", [0.5, 0.9, 0.99])
def test_it_finds_what_a_full_decomposition_finds(decay: float) -> None:
    matrix = operator(decay ** np.arange(200))
    found = leading_eigen(lambda block: matrix @ block, 200, 5, seed=1)
    values, vectors = np.linalg.eigh(matrix)
    np.testing.assert_allclose(found.values, values[::-1][:5], rtol=1e-6)
    np.testing.assert_allclose(np.abs(np.diag(vectors[:, ::-1][:, :5].T @ found.vectors)), 1.0, atol=1e-4)
    assert found.residual < 1e-5


def test_directions_that_carry_nothing_are_still_orthonormal() -> None:
    matrix = operator(np.array([3.0, 2.0, *np.zeros(28)]))
    found = leading_eigen(lambda block: matrix @ block, 30, 4, seed=0)
    np.testing.assert_allclose(found.values, [3, 2, 0, 0], atol=1e-9)
    np.testing.assert_allclose(found.vectors.T @ found.vectors, np.eye(4), atol=1e-9)


def test_nothing_at_all_has_eigenvectors_too() -> None:
    found = leading_eigen(lambda block: np.zeros_like(block), 12, 3, seed=0)
    assert not found.values.any()
    np.testing.assert_allclose(found.vectors.T @ found.vectors, np.eye(3), atol=1e-9)


def test_as_many_as_there_are() -> None:
    matrix = operator(np.arange(1.0, 7.0))
    found = leading_eigen(lambda block: matrix @ block, 6, 6, seed=0)
    np.testing.assert_allclose(found.values, np.arange(6.0, 0.0, -1.0), rtol=1e-9)
