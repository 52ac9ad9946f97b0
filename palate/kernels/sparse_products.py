"""Products of two sparse matrices whose result is dense, computed by threads.

scipy forms such a product as a sparse matrix first, in one thread, and takes several times as long where the result
is well filled, as sums over the histories of users are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from palate.kernels.threads import FEW, in_threads

Floats = npt.NDArray[np.float32]


def dense_product(left: sparse.csr_matrix, right: sparse.csr_matrix, out: Floats | None = None) -> Floats:
    """`left @ right` as `(rows of left, columns of right) float32`.

    `out`, rows in C order, is written over where given. Each row is summed by one thread in the order of its columns,
    so that the result does not depend on the number of threads.
    """
    from palate.kernels.sparse_products_loops import multiply_rows

    if out is None:
        out = np.empty((left.shape[0], right.shape[1]), np.float32)
    arrays = *_parts(left), *_parts(right), out
    in_threads(lambda first, last: multiply_rows(*arrays, first, last), left.shape[0])
    return out


def gram_product(left: sparse.csr_matrix, by_row: sparse.csr_matrix, by_column: sparse.csr_matrix) -> Floats:
    """`left @ by_row @ by_column`, where `by_column` is the transpose of `by_row`, as `(rows of left, rows of by_row)
    float32`.

    What is in between is well filled for all but the shortest rows: for many rows it is held densely, a few of them at
    a time, which takes a half to a seventh of the time.
    """
    from palate.kernels.sparse_products_loops import ROWS, multiply_twice

    if left.shape[0] <= FEW:
        return dense_product(sparse.csr_matrix(left @ by_row), by_column)
    out = np.empty((left.shape[0], by_row.shape[0]), np.float32)
    arrays = *_parts(left), *_parts(by_row), by_row.shape[1], out
    in_threads(lambda first, last: multiply_twice(*arrays, first, last), len(out), ROWS)
    return out


def _parts(matrix: sparse.csr_matrix) -> tuple[npt.NDArray[Any], npt.NDArray[Any], Floats]:
    return matrix.indptr, matrix.indices, matrix.data.astype(np.float32, copy=False)
