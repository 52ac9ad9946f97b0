"""Large symmetric positive definite matrices, factored and inverted in place, in float32.

OpenBLAS 0.3.30's Cholesky ends the process beyond some 26,000 rows: a panel of the matrix no longer fits into its
buffer. So larger ones are halved until LAPACK gets halves that do; what joins the halves are plain products.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.linalg import lapack, solve_triangular

Floats = npt.NDArray[np.float32]

LARGEST = 12_288
"""Rows of what LAPACK is given."""
_ROWS_AT_ONCE = 1024


def invert(matrix: Floats, largest: int = LARGEST) -> bool:
    """The inverse `(n, n)` in the matrix's place; False, and the matrix spoilt, if it is not positive definite.

    Beyond `largest` rows by the inverse of one half and of what it leaves of the other (Schur's complement), which
    takes half a matrix beside.
    """
    if len(matrix) <= largest:
        return _invert_whole(matrix)
    half = len(matrix) // 2
    first, across, second = matrix[:half, :half], matrix[:half, half:], matrix[half:, half:]
    if not invert(first, largest):
        return False
    held = first @ across
    second -= across.T @ held
    if not invert(second, largest):
        return False
    np.matmul(held, second, out=across)
    first += across @ held.T
    np.negative(across, out=across)
    matrix[half:, :half] = across.T
    return True


def factor(matrix: Floats, largest: int = LARGEST) -> bool:
    """The lower Cholesky factor `(n, n)` in the matrix's place, zeros above; False, and the matrix spoilt, if it is not
    positive definite."""
    if len(matrix) <= largest:
        found, failed = lapack.spotrf(matrix, lower=1, clean=1)
        matrix[:] = found
        return not failed
    half = len(matrix) // 2
    first, below, second = matrix[:half, :half], matrix[half:, :half], matrix[half:, half:]
    if not factor(first, largest):
        return False
    below[:] = solve_triangular(first, below.T, lower=True, check_finite=False).T
    second -= below @ below.T
    matrix[:half, half:] = 0
    return factor(second, largest)


def _invert_whole(matrix: Floats) -> bool:
    # A symmetric matrix in C order is the same one in Fortran's, which LAPACK takes without a copy.
    made, failed = lapack.spotrf(matrix.T, lower=1, clean=0, overwrite_a=1)
    if not failed:
        made, failed = lapack.spotri(made, lower=1, overwrite_c=1)
    if failed:
        return False
    whole = made.T  # in C order: the upper triangle is filled
    for start in range(0, len(whole), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        block = whole[rows, rows]
        block[:] = np.triu(block) + np.triu(block, 1).T
        whole[rows.stop :, rows] = whole[rows, rows.stop :].T
    if not np.may_share_memory(whole, matrix):
        matrix[:] = whole
    return True
