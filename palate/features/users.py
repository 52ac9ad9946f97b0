"""Users as what they liked, in the space of the items."""

from __future__ import annotations

import numpy as np
from scipy import sparse


def user_vectors(histories: sparse.csr_matrix, item_vectors: sparse.csr_matrix) -> sparse.csr_matrix:
    """The weighted mean of the vectors of the items in each history, `(n_users, width) float32`.

    histories: `(n_users, n_items)`, weights of zero or more. item_vectors: `(n_items, width)`.
    A history that is empty, or whose weights are all zero, gives a row of zeros.
    """
    totals = np.asarray(histories.sum(axis=1)).ravel()
    shares = sparse.csr_matrix(histories, dtype=np.float32, copy=True)
    shares.data /= np.repeat(np.where(totals > 0, totals, 1), np.diff(histories.indptr)).astype(np.float32)
    return sparse.csr_matrix(shares @ item_vectors)
