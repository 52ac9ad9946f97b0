"""What came last in a history counts more than what came first: how much more, by how much came after it."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from palate.models.sequences import Ordered


def faded(histories: sparse.csr_matrix, order: Ordered, recency: float) -> sparse.csr_matrix:
    """Each entry of `(n, n_items)` histories times (1 + k)^-recency, k being how much came after it; the same sum of
    each row as before.

    order: of the same rows and columns. Of what comes twice the last time counts, and what the order does not hold
    counts as the oldest.
    """
    if recency == 0:
        return histories
    width = histories.shape[1]
    of_row = np.repeat(np.arange(histories.shape[0]), np.diff(histories.indptr))
    of_history = np.repeat(np.arange(len(order)), order.lengths)
    after = order.starts[1:][of_history] - 1 - np.arange(len(order.codes))
    held, last = np.unique((of_history * width + order.codes)[::-1], return_index=True)
    wanted = of_row * width + histories.indices
    places = np.minimum(np.searchsorted(held, wanted), max(0, len(held) - 1))
    later = order.lengths[of_row]
    if len(held):
        later = np.where(held[places] == wanted, after[::-1][last][places], later)
    data = histories.data * (1.0 + later) ** -recency
    sums = [np.bincount(of_row, values, histories.shape[0]) for values in (histories.data, data)]
    data *= (sums[0] / np.where(sums[1] > 0, sums[1], 1))[of_row]
    return sparse.csr_matrix((data.astype(np.float32), histories.indices, histories.indptr), shape=histories.shape)
