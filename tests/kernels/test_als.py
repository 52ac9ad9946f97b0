"""Alternating least squares beside the textbook: normal equations in float64, row by row."""

from __future__ import annotations

import tracemalloc

import numpy as np
import numpy.typing as npt
import pytest
from scipy import sparse
from scipy.optimize import nnls

from palate.kernels.als import Objective, als, loss
from palate.kernels.ratings import Ratings

OBJECTIVES = [
    Objective(regularization=0.1),
    Objective(regularization=0.001),
    Objective(regularization=0.05, nonnegative=True),
    Objective(implicit=True, regularization=0.1, alpha=1.0),
    Objective(implicit=True, regularization=0.01, alpha=40.0),
    Objective(implicit=True, regularization=0.05, alpha=2.0, nonnegative=True),
]
RANK = 6


@pytest.fixture(scope="module")
def triples() -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """2,000 ratings of 80 users and 50 items: tastes and noise, some negative, some pairs twice, one user with 900."""
    rng = np.random.default_rng(0)
    users = np.concatenate([rng.integers(0, 79, 1100), np.full(900, 79)]).astype(np.int32)
    items = rng.integers(0, 50, 2000).astype(np.int32)
    tastes = np.einsum("ij,ij->i", rng.normal(size=(80, 3))[users], rng.normal(size=(50, 3))[items])
    return users, items, (np.round(tastes + rng.normal(size=2000), 1)).astype(np.float32)


@pytest.fixture(scope="module")
def ratings(triples: tuple[np.ndarray, np.ndarray, np.ndarray]) -> Ratings:
    users, items, values = triples
    return Ratings.from_pieces([users], [items], [values], 80, 50)


def solve(triples: tuple[np.ndarray, ...], objective: Objective, seed: int, iterations: int) -> tuple[np.ndarray, ...]:
    """MLlib's algorithm with exact solutions, from the same random users."""
    users, items, values = triples
    start = np.random.default_rng(seed).standard_normal((80, RANK), dtype=np.float32)
    x = (start / np.linalg.norm(start, axis=1, keepdims=True)).astype(np.float64)
    y = np.zeros((50, RANK))
    for _ in range(iterations):
        for rows, columns, given, solved in ((items, users, x, y), (users, items, y, x)):
            for row in range(len(solved)):
                held = rows == row
                theirs, r = given[columns[held]], values[held].astype(np.float64)
                if objective.implicit:
                    more, n = objective.alpha * np.abs(r), (r > 0).sum()
                    left, right = given.T @ given + (theirs.T * more) @ theirs, theirs.T @ ((1 + more) * (r > 0))
                else:
                    left, right, n = theirs.T @ theirs, theirs.T @ r, held.sum()
                left = left + objective.regularization * n * np.eye(RANK)
                if objective.nonnegative:
                    root = np.linalg.cholesky(left).T
                    solved[row] = nnls(root, np.linalg.solve(root.T, right))[0]
                else:
                    solved[row] = np.linalg.solve(left, right)
    return x, y


@pytest.mark.parametrize("objective", OBJECTIVES, ids=str)
def test_the_loss_is_that_of_exact_solutions(
    objective: Objective, triples: tuple[np.ndarray, ...], ratings: Ratings
) -> None:
    users, items = als(ratings, objective, RANK, 8, seed=3)
    exact = loss(ratings, objective, *solve(triples, objective, 3, 8))
    assert loss(ratings, objective, users, items) == pytest.approx(exact, rel=5e-3)
    assert users.dtype == items.dtype == np.float32
    if objective.nonnegative:
        assert users.min() >= 0
        assert items.min() >= 0


def test_the_loss_is_the_sum_that_the_docstring_says() -> None:
    matrix = sparse.csr_matrix(np.array([[2.0, -1.0, 0.0], [0.0, 0.0, 3.0]]))
    x, y = np.array([[1.0, 0.5], [0.0, 2.0]], np.float32), np.array([[1.0, 0], [0, 1], [1, 1]], np.float32)
    ratings = Ratings.from_matrix(matrix)
    explicit = (2 - 1) ** 2 + (-1 - 0.5) ** 2 + (3 - 2) ** 2 + 0.1 * (2 * 1.25 + 1 * 4 + 1 + 1 + 2)
    assert loss(ratings, Objective(regularization=0.1), x, y) == pytest.approx(explicit)
    confidence, preference = [[5, 3, 1], [1, 1, 7]], [[1, 0, 0], [0, 0, 1]]
    implicit = float((confidence * (preference - x @ y.T) ** 2).sum()) + 0.1 * (1 * 1.25 + 1 * 4 + 1 + 0 + 2)
    assert loss(ratings, Objective(True, 0.1, 2.0), x, y) == pytest.approx(implicit)


@pytest.mark.parametrize("objective", OBJECTIVES[:4:3], ids=str)
def test_more_iterations_never_raise_the_loss(objective: Objective, ratings: Ratings) -> None:
    losses = [loss(ratings, objective, *als(ratings, objective, RANK, n, seed=0)) for n in (1, 2, 4, 8)]
    assert losses == sorted(losses, reverse=True)


@pytest.mark.parametrize("objective", OBJECTIVES[2:4], ids=str)
def test_threads_and_the_order_of_arrival_change_no_bit(objective: Objective, ratings: Ratings) -> None:
    matrix = ratings.matrix().tocoo()
    matrix.sum_duplicates()
    order = np.random.default_rng(1).permutation(matrix.nnz)
    pieces = np.array_split(order, 7)
    shuffled = Ratings.from_pieces(
        [matrix.row[piece] for piece in pieces],
        [matrix.col[piece] for piece in pieces],
        [matrix.data[piece] for piece in pieces],
        80,
        50,
    )
    one = als(Ratings.from_matrix(matrix.tocsr()), objective, RANK, 4, seed=1, threads=1)
    many = als(shuffled, objective, RANK, 4, seed=1, threads=3)
    for a, b in zip(one, many, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(one[0], als(shuffled, objective, RANK, 4, seed=2)[0])


def test_what_nobody_rated_above_zero_is_at_the_origin() -> None:
    ratings = Ratings.from_matrix(sparse.csr_matrix(np.array([[-1.0, -2.0, 0.0], [1.0, 0.0, 0.0]])))
    users, items = als(ratings, Objective(implicit=True), 2, 3, seed=0)
    assert not users[0].any()
    assert not items[1:].any()
    assert users[1].any()


def test_without_a_penalty_a_user_of_one_rating_is_fitted_exactly() -> None:
    """MLlib's Cholesky decomposition gives up here: 4 unknowns and one equation."""
    matrix = sparse.csr_matrix(np.array([[2.0, 0, 0], [0, 3.0, 1.0]]))
    users, items = als(Ratings.from_matrix(matrix), Objective(regularization=0), 4, 5, seed=0)
    found = users @ items.T
    np.testing.assert_allclose([found[0, 0], found[1, 1], found[1, 2]], [2, 3, 1], rtol=1e-3)


def test_no_iteration_gives_random_directions(ratings: Ratings) -> None:
    for factors in als(ratings, Objective(), 3, 0, seed=0):
        np.testing.assert_allclose(np.linalg.norm(factors, axis=1), 1, rtol=1e-6)


def test_both_sides_hold_the_ratings_sorted(triples: tuple[np.ndarray, ...], ratings: Ratings) -> None:
    users, items, values = triples
    for side, rows, columns in ((ratings.by_user, users, items), (ratings.by_item, items, users)):
        order = np.lexsort((values, columns, rows))
        found_rows = np.repeat(np.arange(len(side)), np.diff(side.starts))
        found = np.lexsort((side.values, side.columns, found_rows))
        np.testing.assert_array_equal(found_rows[found], rows[order])
        np.testing.assert_array_equal(side.columns[found], columns[order])
        np.testing.assert_array_equal(side.values[found], values[order])
        inside = np.diff(found_rows) == 0
        assert (np.diff(side.columns)[inside] >= 0).all()


def test_building_both_sides_holds_at_most_twice_one_of_them() -> None:
    rng = np.random.default_rng(0)
    n = 400_000

    def build(n: int) -> Ratings:
        pieces = [rng.integers(0, 500, n // 8).astype(np.int32) for _ in range(16)]
        values = [np.ones(n // 8, np.float32) for _ in range(8)]
        codes = pieces[:8], pieces[8:]
        pieces.clear()
        tracemalloc.reset_peak()
        return Ratings.from_pieces(*codes, values, 500, 500)

    build(800)  # compiles
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        held = build(n)
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert len(held) == n
    assert peak < 2.1 * 8 * n
