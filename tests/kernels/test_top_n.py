"""The best of a product beside sorting all of it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from scipy import sparse

from palate.kernels.top_n import Targets, best_of, top_n
from palate.retrieval.topk import top_k


@pytest.mark.parametrize("excluding", [False, True])
@pytest.mark.parametrize(
    ("queries", "targets", "factors", "n"), [(300, 5000, 8, 20), (10, 3, 4, 5), (130, 2049, 5, 1), (7, 100, 3, 100)]
)
def test_it_finds_what_sorting_finds_ties_included(
    queries: int, targets: int, factors: int, n: int, excluding: bool
) -> None:
    rng = np.random.default_rng(0)
    left = rng.integers(-2, 3, (queries, factors)).astype(np.float32)  # few values, many ties
    right = rng.integers(-2, 3, (targets, factors)).astype(np.float32)
    seen = sparse.random(queries, targets, 0.1 if excluding else 0.0, "csr", rng=rng)
    seen.sort_indices()
    codes, scores = top_n(left, Targets.of(right), n, (seen.indptr, seen.indices) if excluding else None)
    expected_codes, expected_scores = top_k(left @ right.T, n, seen)
    np.testing.assert_array_equal(codes, expected_codes)
    np.testing.assert_array_equal(scores, expected_scores)


@pytest.mark.parametrize("excluding", [False, True])
def test_short_targets_that_are_never_looked_at_were_not_among_the_best(excluding: bool) -> None:
    """Lengths fall off as in a catalogue with a long tail; each query has as its best what is not left out of it."""
    rng = np.random.default_rng(1)
    right = rng.standard_normal((9000, 16), np.float32) * (rng.permutation(9000)[:, None] + 1.0) ** -0.8
    left = rng.standard_normal((300, 16), np.float32) * 10 ** rng.uniform(-6, 6, (300, 1))
    left, right = left.astype(np.float32), right.astype(np.float32)
    left[7] = 0
    seen = sparse.random(300, 9000, 0.3 if excluding else 0.0, "csr", rng=rng)
    seen.sort_indices()
    codes, scores = top_n(left, Targets.of(right), 20, (seen.indptr, seen.indices) if excluding else None)
    exact = left.astype(np.float64) @ right.astype(np.float64).T
    exact[seen.nonzero()] = -np.inf
    expected = -np.sort(-exact, axis=1)[:, :20]
    np.testing.assert_allclose(np.take_along_axis(exact, codes, axis=1), expected, rtol=1e-5)
    np.testing.assert_allclose(scores, expected, rtol=1e-5)
    assert not np.isin(codes + 9000 * np.arange(300)[:, None], np.ravel_multi_index(seen.nonzero(), seen.shape)).any()


def test_the_length_of_a_query_counts_whose_squares_float32_cannot_hold() -> None:
    """The best of 4,001 targets is the shortest, and not among the 2,048 that are looked at first."""
    right = np.array([[1e10, 1e11]] * 4000 + [[2e10, 0]], np.float32)
    codes, scores = top_n(np.array([[1e-25, 0]], np.float32), Targets.of(right), 1)
    np.testing.assert_array_equal(codes, [[4000]])
    np.testing.assert_allclose(scores, [[2e-15]], rtol=1e-5)


def test_who_has_seen_everything_gets_nothing() -> None:
    everything = np.array([0, 3, 4]), np.array([0, 1, 2, 1])
    codes, scores = top_n(
        np.ones((2, 1), np.float32), Targets.of(np.arange(3, dtype=np.float32)[:, None]), 2, everything
    )
    np.testing.assert_array_equal(codes, [[-1, -1], [2, 0]])
    np.testing.assert_array_equal(scores, [[-np.inf, -np.inf], [2, 0]])


def test_what_is_not_a_number_is_never_the_best() -> None:
    codes, _ = top_n(np.ones((1, 1), np.float32), Targets.of(np.array([[1], [np.nan], [3]], np.float32)), 3)
    np.testing.assert_array_equal(codes, [[2, 0, -1]])


def test_no_queries_and_no_targets() -> None:
    assert top_n(np.zeros((0, 2), np.float32), Targets.of(np.zeros((3, 2), np.float32)), 4)[0].shape == (0, 4)
    assert top_n(np.zeros((2, 2), np.float32), Targets.of(np.zeros((0, 2), np.float32)), 1)[0].tolist() == [[-1], [-1]]


@pytest.mark.parametrize("made", [Targets.of, Targets.rounded, Targets.in_place])
@pytest.mark.parametrize(
    ("targets", "factors", "n"), [(5000, 8, 20), (3, 4, 5), (2049, 5, 1), (100, 3, 100), (0, 3, 2)]
)
def test_one_query_gets_what_sorting_finds_to_the_last_tie(
    made: Callable[[npt.NDArray[np.float32]], Targets], targets: int, factors: int, n: int
) -> None:
    rng = np.random.default_rng(2)
    right = rng.integers(-2, 3, (targets, factors)).astype(np.float32)
    right[rng.random(targets) < 0.1] = 0
    for _ in range(20):
        query = rng.integers(-2, 3, factors).astype(np.float32)
        barred = rng.random(targets) < rng.random()
        codes, scores = best_of(query, made(right), n, barred)
        expected_codes, expected_scores = top_k((query @ right.T)[None], n, sparse.csr_matrix(barred[None]))
        np.testing.assert_array_equal(codes, expected_codes[0])
        np.testing.assert_array_equal(scores, expected_scores[0])
        np.testing.assert_array_equal(best_of(query, made(right), n)[0], top_k((query @ right.T)[None], n)[0][0])


@pytest.mark.parametrize("made", [Targets.of, Targets.rounded, Targets.in_place])
def test_one_query_misses_nothing_where_lengths_and_scales_differ_widely(
    made: Callable[[npt.NDArray[np.float32]], Targets],
) -> None:
    rng = np.random.default_rng(3)
    right = (rng.standard_normal((9000, 16)) * (rng.permutation(9000)[:, None] + 1.0) ** -0.8).astype(np.float32)
    targets = made(right)
    for scale in 10 ** rng.uniform(-6, 6, 50):
        query = (rng.standard_normal(16) * scale).astype(np.float32)
        codes, scores = best_of(query, targets, 20)
        expected = -np.sort(-(query.astype(np.float64) @ right.T.astype(np.float64)))[:20]
        np.testing.assert_allclose(scores, expected, rtol=1e-5)
        np.testing.assert_allclose(query.astype(np.float64) @ right[codes].T, expected, rtol=1e-5)


@pytest.mark.parametrize("made", [Targets.of, Targets.rounded, Targets.in_place])
def test_what_is_not_a_number_is_never_among_the_best(made: Callable[[npt.NDArray[np.float32]], Targets]) -> None:
    right = np.array([[np.nan, 1], [1, 1], [3, 0], [np.inf, np.nan], [2, 0]], np.float32)
    codes, _ = best_of(np.array([1, 0], np.float32), made(right), 4)
    np.testing.assert_array_equal(codes, [2, 4, 1, -1])


@pytest.mark.parametrize("factors", [5, 64, 2048])
def test_what_is_rounded_decides_nothing(factors: int) -> None:
    """All targets are as long, so that none is passed over for that, and near each other; sums of so many components
    as large as can be would not fit into 32 bits."""
    rng = np.random.default_rng(4)
    right = np.ones((500, factors)) + 1e-3 * rng.standard_normal((500, factors))
    right = (right / np.linalg.norm(right, axis=1, keepdims=True)).astype(np.float32)
    plain, rounded = Targets.of(right), Targets.rounded(right)
    for query in (np.ones(factors), *rng.standard_normal((20, factors)), np.full(factors, 1e-42)):
        for found, expected in zip(
            best_of(query.astype(np.float32), rounded, 5), best_of(query.astype(np.float32), plain, 5), strict=True
        ):
            np.testing.assert_array_equal(found, expected)


def test_of_what_is_rounded_few_targets_are_looked_at() -> None:
    """Factors of the others are not read: they could be anything."""
    rng = np.random.default_rng(5)
    right, query = rng.standard_normal((5000, 32)).astype(np.float32), rng.standard_normal(32).astype(np.float32)
    targets = Targets.rounded(right)
    best = np.argsort(-(targets.factors @ query))[:200]
    others = np.setdiff1d(np.arange(len(right)), best)
    codes, scores = best_of(query, targets, 10)
    early = others[others > 1000]  # until ten are found, all that come are looked at
    targets.factors[early] = 1e9 * np.sign(query)
    again, scores_again = best_of(query, targets, 10)
    np.testing.assert_array_equal(again, codes)
    np.testing.assert_array_equal(scores_again, scores)
