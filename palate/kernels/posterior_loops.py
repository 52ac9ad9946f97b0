"""The inner loop of `palate.kernels.posterior`: the posterior of one row after another."""

from __future__ import annotations

from typing import Any

import numpy as np

from palate.kernels.compiled import compiled


@compiled
def solve_rows(
    starts: Any, columns: Any, values: Any, means: Any, moments: Any, crossed: Any, spread: Any,
    prior: Any, precision: Any, noise: float, found: Any, covariances: Any, errors: Any, first: int, last: int,
) -> None:  # fmt: skip
    """Rows `first` to `last`: the mean `found`, the covariance if there is room for it, and the expected error."""
    width = found.shape[1]
    left, right, lower = np.empty((width, width)), np.empty(width), np.empty((width, width))
    inverse = np.empty((width, width))
    total, pulled = np.empty((width, width)), np.empty(width)
    for row in range(first, last):
        total[:] = 0
        pulled[:] = 0
        constant = 0.0
        for at in range(starts[row], starts[row + 1]):
            column = columns[at]
            aim = values[at] - means[column, width - 1]
            constant += aim * aim + spread[column]
            for i in range(width - 1):
                pulled[i] += means[column, i] * aim - crossed[column, i]
                for j in range(i + 1):
                    total[i, j] += moments[column, i, j]
                total[width - 1, i] += means[column, i]
            pulled[width - 1] += aim
            total[width - 1, width - 1] += 1.0
        for i in range(width):
            for j in range(i):
                total[j, i] = total[i, j]
        for i in range(width):
            right[i] = precision[i] * prior[row, i] + pulled[i] / noise
            for j in range(width):
                left[i, j] = total[i, j] / noise
            left[i, i] += precision[i]
        _cholesky(left, lower)
        _invert(lower, inverse)
        for i in range(width):
            value = 0.0
            for j in range(width):
                value += inverse[i, j] * right[j]
            found[row, i] = value
        if len(covariances) > 0:
            covariances[row] = inverse
            error = constant
            for i in range(width):
                error -= 2 * found[row, i] * pulled[i]
                for j in range(width):
                    error += (inverse[i, j] + found[row, i] * found[row, j]) * total[i, j]
            errors[row] = error


@compiled
def _cholesky(left: Any, lower: Any) -> None:
    """The lower triangle L of a positive definite matrix L L'."""
    width = len(left)
    for i in range(width):
        for j in range(i + 1):
            value = left[i, j]
            for p in range(j):
                value -= lower[i, p] * lower[j, p]
            lower[i, j] = np.sqrt(max(value, 1e-12)) if i == j else value / lower[j, j]


@compiled
def _invert(lower: Any, inverse: Any) -> None:
    """(L L')^-1 from the lower triangle L, which is used up."""
    width = len(lower)
    for j in range(width):  # L^-1 in the place of L
        lower[j, j] = 1.0 / lower[j, j]
        for i in range(j + 1, width):
            value = 0.0
            for p in range(j, i):
                value -= lower[i, p] * lower[p, j]
            lower[i, j] = value / lower[i, i]
    for i in range(width):
        for j in range(i + 1):
            value = 0.0
            for p in range(i, width):
                value += lower[p, i] * lower[p, j]
            inverse[i, j] = value
            inverse[j, i] = value
