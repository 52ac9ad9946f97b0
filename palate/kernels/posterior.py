"""Variational Bayesian matrix factorization with biases: what is believed of one side, given what is of the other.

A value is x.y + b + c plus normal noise, x and b of the row, y and c of the column; all are normal variables whose
posterior is taken to factorize over rows and columns. Lim and Teh, "Variational Bayesian Approach to Movie Rating
Prediction", KDD Cup and Workshop 2007; with biases, and with prior means that may differ from row to row.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from palate.kernels.threads import in_threads

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Beliefs:
    """What is believed of the rows of one side: factors and, last, the bias.

    means: `(n, factors + 1) float64`. covariances: `(n, factors + 1, factors + 1) float32`.
    """

    means: Doubles
    covariances: Floats


@dataclass(frozen=True)
class Side:
    """What the other side needs of some beliefs: the expectations of z = (y, 1) and of c.

    means: (y, c). moments: E[y y'], `(n, factors, factors) float32`. crossed: cov(y, c). spread: var(c).
    """

    means: Floats
    moments: Floats
    crossed: Floats
    spread: Floats

    @classmethod
    def of(cls, beliefs: Beliefs) -> Side:
        means, factors = beliefs.means.astype(np.float32), beliefs.means.shape[1] - 1
        moments = beliefs.covariances[:, :factors, :factors] + means[:, :factors, None] * means[:, None, :factors]
        crossed = np.ascontiguousarray(beliefs.covariances[:, :factors, factors])
        return cls(means, moments, crossed, np.ascontiguousarray(beliefs.covariances[:, factors, factors]))


def posterior(
    values: sparse.csr_matrix, other: Side, prior: Doubles, precision: Doubles, noise: float
) -> tuple[Beliefs, float]:
    """What is believed of the rows of `values`, `(n, n_columns)`, the mean left out of them.

    prior: the prior means, `(n, factors + 1)`. precision: of the prior, `(factors + 1,)`. noise: the variance.
    The number is the expected sum of squared errors over all values.
    """
    n, width = prior.shape
    covariances: Floats = np.empty((n, width, width), np.float32)
    means, errors = _solve(values, other, prior, precision, noise, covariances)
    return Beliefs(means, covariances), float(errors.sum())


def posterior_means(
    values: sparse.csr_matrix, other: Side, prior: Doubles, precision: Doubles, noise: float
) -> Doubles:
    """The means alone of `posterior`, which take no memory for covariances."""
    return _solve(values, other, prior, precision, noise, np.empty((0, 0, 0), np.float32))[0]


def _solve(
    values: sparse.csr_matrix, other: Side, prior: Doubles, precision: Doubles, noise: float, covariances: Floats
) -> tuple[Doubles, Doubles]:
    """Means and, if there is room for the covariances, expected errors."""
    from palate.kernels.posterior_loops import solve_rows

    means, errors = np.empty(prior.shape), np.zeros(len(prior))
    given = values.indptr, values.indices, values.data, other.means, other.moments, other.crossed, other.spread
    arrays = *given, prior, precision, noise, means, covariances, errors
    in_threads(lambda first, last: solve_rows(*arrays, first, last), len(prior))
    return means, errors
