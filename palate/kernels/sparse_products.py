"""Products of two sparse matrices whose result is dense, computed by threads.

scipy forms such a product as a sparse matrix first, in one thread, and takes several times as long where the result
is well filled, as sums over the histories of users are.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from palate.kernels.als import cores

Floats = npt.NDArray[np.float32]

FEW = 16
"""So few rows, such as those of a request, are not worth a thread."""


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


def in_threads(work: Any, rows: int) -> None:
    """`work(first, last)` for ranges that cover all rows, by one thread for each core."""
    threads = 1 if rows <= FEW else cores()
    if threads == 1:
        work(0, rows)
        return
    step = max(1, -(-rows // (8 * threads)))
    with ThreadPoolExecutor(threads) as pool:
        for piece in [pool.submit(work, first, min(first + step, rows)) for first in range(0, rows, step)]:
            piece.result()


def _parts(matrix: sparse.csr_matrix) -> tuple[npt.NDArray[Any], npt.NDArray[Any], Floats]:
    return matrix.indptr, matrix.indices, matrix.data.astype(np.float32, copy=False)
