"""Exact top-n against the plainest sort there is."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import sparse

from palate.retrieval.topk import top_k

SHAPES = arrays.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12)
SCORES = st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.5, 2.0, np.inf, -np.inf, np.nan, 3e38])


def naive(row: list[float], n: int, barred: set[int]) -> list[int]:
    kept = [code for code, score in enumerate(row) if code not in barred and score > -np.inf]
    return sorted(kept, key=lambda code: (-row[code], code))[:n]


@given(st.data())
def test_as_a_naive_sort_with_ties_to_the_lower_code(data: st.DataObject) -> None:
    scores = data.draw(arrays.arrays(np.float32, SHAPES, elements=SCORES))
    n = data.draw(st.integers(1, 15))
    barred = data.draw(arrays.arrays(np.bool_, scores.shape))
    given_scores = scores.copy()
    codes, best = top_k(scores, n, sparse.csr_matrix(barred.astype(np.float32)))
    assert codes.shape == best.shape == (len(given_scores), n)
    for row, found, values in zip(range(len(codes)), codes, best, strict=True):
        expected = naive(given_scores[row].tolist(), n, set(np.flatnonzero(barred[row]).tolist()))
        assert found.tolist() == expected + [-1] * (n - len(expected))
        assert values[: len(expected)].tolist() == given_scores[row][expected].tolist()
        assert (values[len(expected) :] == -np.inf).all()


def test_a_wide_row_of_ties_keeps_the_lowest_codes() -> None:
    scores = np.zeros((3, 5000), dtype=np.float32)
    scores[1, 4000] = 1
    scores[2, 10:] = -1
    codes, _ = top_k(scores, 12)
    assert codes[0].tolist() == list(range(12))
    assert codes[1].tolist() == [4000, *range(11)]
    assert codes[2].tolist() == list(range(12))


def test_stored_zeros_are_excluded_too() -> None:
    exclude = sparse.csr_matrix((np.zeros(1, np.float32), np.array([2]), np.array([0, 1])), shape=(1, 4))
    assert top_k(np.array([[1, 2, 3, 0]], dtype=np.float32), 2, exclude)[0].tolist() == [[1, 0]]


def test_no_queries_and_no_items() -> None:
    assert top_k(np.empty((0, 5), np.float32), 3)[0].shape == (0, 3)
    assert top_k(np.empty((2, 0), np.float32), 3)[0].tolist() == [[-1] * 3] * 2


def test_many_rows_that_nobody_may_write_to() -> None:
    scores = np.random.default_rng(0).integers(0, 9, (70, 30)).astype(np.float32)
    scores.flags.writeable = False
    barred = sparse.random(70, 30, 0.2, "csr", np.float32, np.random.default_rng(1))
    codes, _ = top_k(scores.T.copy().T, 7, barred)
    for row in range(70):
        assert codes[row].tolist() == naive(scores[row].tolist(), 7, set(barred[row].indices.tolist()))
    np.testing.assert_array_equal(top_k(scores, 7, barred)[0], codes)
