"""A least-squares vector from a short history: what a request waits for, in one call."""

from __future__ import annotations

from typing import Any

import numpy as np

from palate.kernels.compiled import compiled


@compiled
def solve_short(items: Any, confidence: Any, factors: Any, inverse: Any) -> Any:
    """x = (P^-1 + Y' (C - I) Y)^-1 Y' C 1, `(width,) float32`, by a system as large as the history.

    Y are the rows `items` of `factors`, C has `confidence` (0 or more) on its diagonal, and P is `inverse`, `(width,
    width) float64`, of a matrix that holds Y'Y at least. Woodbury's identity makes of it x = P Y' z, where
    (I + (C - I) Y P Y') z = C 1: the determinant of each leading part of that system is one of matrices that are
    positive definite, divided by another's, so that it is solved without exchanging rows.
    """
    held, width = len(items), len(inverse)
    spread, system = np.zeros((held, width)), np.empty((held, held))
    for row in range(held):
        for column in range(width):
            factor = float(factors[items[row], column])
            for at in range(width):
                spread[row, at] += factor * inverse[column, at]
    for row in range(held):
        more = confidence[row] - 1
        for other in range(held):
            product = 0.0
            for at in range(width):
                product += spread[row, at] * factors[items[other], at]
            system[row, other] = more * product + (row == other)
    z = confidence.astype(np.float64)
    for pivot in range(held):
        for row in range(pivot + 1, held):
            share = system[row, pivot] / system[pivot, pivot]
            for column in range(pivot + 1, held):
                system[row, column] -= share * system[pivot, column]
            z[row] -= share * z[pivot]
    x = np.zeros(width)
    for row in range(held - 1, -1, -1):
        for column in range(row + 1, held):
            z[row] -= system[row, column] * z[column]
        z[row] /= system[row, row]
        for at in range(width):
            x[at] += z[row] * spread[row, at]
    return x.astype(np.float32)
