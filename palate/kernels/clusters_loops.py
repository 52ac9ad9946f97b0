"""The inner loop of a search through clusters."""

from __future__ import annotations

from typing import Any

import numpy as np

from palate.kernels.compiled import compiled
from palate.kernels.top_n_loops import keep_row


@compiled
def search_row(
    query: Any, factors: Any, order: Any, starts: Any, bounds: Any, ranked: Any, barred: Any, room: Any,
    held: Any, heap: Any,
) -> int:  # fmt: skip
    """Takes the products of one query with the clusters, in the order `ranked`, into its heap and the codes `held`,
    until the bound of the next is below the worst of the heap; how many targets that were.

    barred: places that are left out, ascending. room: for the scores of the largest cluster.
    """
    looked = 0
    for number in range(len(ranked)):
        cluster = ranked[number]
        if bounds[cluster] < heap[0]:
            break
        first, last = starts[cluster], starts[cluster + 1]
        if first == last:
            continue
        scores = room[: last - first]
        np.dot(factors[first:last], query, scores)
        at = np.searchsorted(barred, first)
        while at < len(barred) and barred[at] < last:
            scores[barred[at] - first] = -np.inf
            at += 1
        keep_row(scores, first, order, heap, held)
        looked += last - first
    return looked
