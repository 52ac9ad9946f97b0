"""The posterior of rows beside its definition in dense arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from palate.kernels.posterior import Beliefs, Side, posterior, posterior_means

RNG = np.random.default_rng(0)
N, M, FACTORS = 25, 12, 3
VALUES = sparse.csr_matrix((RNG.random((N, M)) < 0.4) * RNG.normal(size=(N, M)), dtype=np.float32)
PRIOR = RNG.normal(size=(N, FACTORS + 1))
PRECISION = RNG.uniform(0.5, 3, FACTORS + 1)
NOISE = 0.7


def items(size: float) -> Beliefs:
    """Of M columns, with covariances of about that size."""
    roots = RNG.normal(size=(M, FACTORS + 1, FACTORS + 1)) * np.sqrt(size / (FACTORS + 1))
    covariances = (roots @ roots.transpose(0, 2, 1)).astype(np.float32)
    return Beliefs(RNG.normal(size=(M, FACTORS + 1)), covariances)


@pytest.mark.parametrize("size", [0.0, 0.5])
def test_means_covariances_and_errors_are_those_of_the_definition(size: float) -> None:
    given = items(size)
    found, errors = posterior(VALUES, Side.of(given), PRIOR, PRECISION, NOISE)
    expected = 0.0
    for row in range(N):
        left, right = np.diag(PRECISION), PRECISION * PRIOR[row]
        mine = VALUES[row]
        for column, value in zip(mine.indices, mine.data, strict=True):
            mean, covariance = given.means[column], given.covariances[column].astype(float)
            z = np.r_[mean[:-1], 1]
            uncertain = np.zeros((FACTORS + 1, FACTORS + 1))
            uncertain[:-1, :-1] = covariance[:-1, :-1]
            left = left + (np.outer(z, z) + uncertain) / NOISE
            right = right + (z * (value - mean[-1]) - np.r_[covariance[:-1, -1], 0]) / NOISE
        covariance_of_row = np.linalg.inv(left)
        mean_of_row = covariance_of_row @ right
        assert np.allclose(found.means[row], mean_of_row, atol=1e-5)
        assert np.allclose(found.covariances[row], covariance_of_row, atol=1e-5)
        for column, value in zip(mine.indices, mine.data, strict=True):
            # E (value - x.y - b - c)^2 with (x, b) and (y, c) independent: the mean's square and the variance
            mean, covariance = given.means[column], given.covariances[column].astype(float)
            x, b, y, c = mean_of_row[:-1], mean_of_row[-1], mean[:-1], mean[-1]
            z, w = np.r_[y, 1], np.r_[x, 1]
            variance = z @ covariance_of_row @ z + w @ covariance @ w
            variance += np.trace(covariance_of_row[:-1, :-1] @ covariance[:-1, :-1])
            expected += (value - x @ y - b - c) ** 2 + variance
    assert errors == pytest.approx(expected, rel=1e-4)
    assert np.array_equal(posterior_means(VALUES, Side.of(given), PRIOR, PRECISION, NOISE), found.means)


def test_a_row_without_values_is_as_its_prior() -> None:
    nothing = sparse.csr_matrix((3, M), dtype=np.float32)
    found, errors = posterior(nothing, Side.of(items(0.5)), PRIOR[:3], PRECISION, NOISE)
    assert np.allclose(found.means, PRIOR[:3])
    assert np.allclose(found.covariances, np.diag(1 / PRECISION))
    assert errors == 0
