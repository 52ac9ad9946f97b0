"""Sums of products of rows: exact under shifts, splits and large offsets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from palate.kernels.gram import Moments


def moments(rows: np.ndarray, shift: np.ndarray | float = 0.0) -> Moments:
    found = Moments.about(np.broadcast_to(shift, rows.shape[1:]).astype(float))
    found.add_rows(rows)
    return found


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 60), st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_parts_about_any_shift_add_up_to_the_whole(seed: int, cut: int, one: float, other: float) -> None:
    rows = np.random.default_rng(seed).standard_normal((60, 4)) + np.array([one, 0, 3, -other])
    parts = [moments(rows[:cut], rows[0]), moments(rows[cut:], rows[-1])]
    told = ([getattr(part, name) for part in parts] for name in ("count", "shift", "total"))
    whole = Moments.together(*told, sum(part.gram for part in parts))
    assert whole.count == 60
    np.testing.assert_allclose(whole.covariance(), np.cov(rows.T), atol=1e-4)
    np.testing.assert_allclose(whole.mean, rows.mean(axis=0), rtol=1e-9, atol=1e-6)


def test_an_offset_of_a_hundred_million_leaves_the_variance_alone() -> None:
    rows = np.random.default_rng(0).standard_normal((5_000, 3)) + 1e8
    np.testing.assert_allclose(moments(rows, rows[0]).covariance(), np.cov(rows.T), atol=1e-3)


@pytest.mark.parametrize("scale", [1e-25, 1e25, 1e100])
def test_what_float32_cannot_square_is_squared_in_float64(scale: float) -> None:
    rows = np.random.default_rng(0).standard_normal((50, 3))
    np.testing.assert_allclose(moments(rows * scale).covariance() / scale**2, np.cov(rows.T), rtol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sparse_rows_count_as_the_dense_ones_they_are(dtype: type) -> None:
    rows = np.random.default_rng(1).standard_normal((40, 6)).astype(dtype) * (np.arange(240).reshape(40, 6) % 3 == 0)
    found = Moments.about(np.arange(6.0))
    found.add_rows(sparse.csr_matrix(rows))
    expected = moments(rows, np.arange(6.0))
    np.testing.assert_allclose(found.gram, expected.gram, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found.total, expected.total, rtol=1e-5, atol=1e-5)


def test_sums_of_numbers_that_float32_holds_do_not_have_to_fit_it() -> None:
    rows = (1e36 * (1 + np.random.default_rng(2).random((2000, 3)))).astype(np.float32)
    np.testing.assert_allclose(moments(rows).mean, rows.mean(axis=0, dtype=np.float64), rtol=1e-6)


def test_one_row_and_none_have_no_covariance() -> None:
    assert not moments(np.ones((1, 3)), 1.0).covariance().any()
    assert not moments(np.ones((0, 3))).covariance().any()
