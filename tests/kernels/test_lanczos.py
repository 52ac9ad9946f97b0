"""Leading eigenvectors of an operator: numpy's own, from products alone."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from palate.kernels.lanczos import TOLERANCE, leading_eigen


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
    assert found.residual < TOLERANCE


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


def test_fifty_directions_of_wide_sparse_rows() -> None:
    """150 rows of 10,000 columns, a few of which most rows have; the exact answer is that of the rows' own products."""
    rng = np.random.default_rng(5)
    n, width, k = 150, 10_000, 50
    columns = (width * rng.random((n, 40)) ** 4).astype(int)
    made = sparse.csr_matrix((rng.exponential(size=n * 40), (np.repeat(np.arange(n), 40), columns.ravel())), (n, width))
    mean = np.asarray(made.mean(axis=0)).ravel()
    found = leading_eigen(lambda block: made.T @ (made @ block) - n * np.outer(mean, mean @ block), width, k, seed=0)
    centred = made.toarray() - mean
    values, turn = np.linalg.eigh(centred @ centred.T)
    exact = centred.T @ turn[:, ::-1][:, :k] / np.sqrt(values[::-1][:k])
    assert found.residual < TOLERANCE
    np.testing.assert_allclose(found.values, values[::-1][:k], rtol=1e-6)
    np.testing.assert_allclose(np.abs((exact * found.vectors).sum(axis=0)), 1.0, atol=1e-6)
    signs = np.sign((exact * found.vectors).sum(axis=0))
    np.testing.assert_allclose(found.vectors * signs, exact, atol=1e-4)


def test_what_is_not_found_yet_leaves_a_residual() -> None:
    matrix = operator(np.linspace(1, 2, 300))
    found = leading_eigen(lambda block: matrix @ block, 300, 3, seed=0, most=2)
    gaps = np.linalg.norm(matrix @ found.vectors - found.vectors * found.values, axis=0) / found.values
    assert found.applications == 2
    assert found.residual == pytest.approx(gaps.max(), rel=1e-6)
    assert found.residual > TOLERANCE
