"""Positive definite matrices in place, whole and in halves, beside numpy in float64."""

from __future__ import annotations

import numpy as np
import pytest

from palate.kernels.definite import Floats, factor, invert


def matrix_of(n: int) -> Floats:
    rows = np.random.default_rng(n).standard_normal((2 * n, n)).astype(np.float32)
    made: Floats = rows.T @ rows + np.float32(0.1 * n) * np.eye(n, dtype=np.float32)
    return made


@pytest.mark.parametrize("n", [1, 2, 7, 64, 131])
@pytest.mark.parametrize("largest", [1, 5, 40, 1000])
def test_inverse_and_factor_are_those_of_the_whole(n: int, largest: int) -> None:
    given = matrix_of(n)
    exact = given.astype(np.float64)
    made = given.copy()
    assert invert(made, largest)
    np.testing.assert_allclose(made, np.linalg.inv(exact), atol=2e-6 * np.abs(np.linalg.inv(exact)).max())
    made = given.copy()
    assert factor(made, largest)
    np.testing.assert_allclose(made, np.linalg.cholesky(exact), atol=1e-5 * np.abs(exact).max() ** 0.5)


@pytest.mark.parametrize("largest", [1, 3, 100])
@pytest.mark.parametrize("place", [0, 7, 19])
def test_what_is_not_definite_is_told(largest: int, place: int) -> None:
    for work in (invert, factor):
        given = matrix_of(20)
        given[place, place] = -1
        assert not work(given, largest)
