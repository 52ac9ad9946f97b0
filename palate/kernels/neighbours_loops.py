"""The inner loop of `palate.kernels.neighbours`: all similarities of one query at a time."""

from __future__ import annotations

from typing import Any

import numpy as np

from palate.kernels.compiled import compiled
from palate.kernels.top_n_loops import keep_row


@compiled
def find(
    starts: Any, columns: Any, values: Any, by_starts: Any, by_rows: Any, by_values: Any, sizes: Any, row_sizes: Any,
    measure: int, shrinkage: float, itself: bool, codes: Any, best: Any, first: int, last: int,
) -> None:  # fmt: skip
    """Takes the rows most similar to queries `first` to `last` into the heaps `codes` and `best`.

    measure: 0 the dot product, 1 the cosine, 2 Jaccard's.
    """
    n_rows = len(row_sizes)
    total = np.empty(n_rows, np.float32)
    common = np.empty(n_rows, np.int32)
    order = np.arange(n_rows).astype(np.int32)
    for query in range(first, last):
        total[:] = 0
        common[:] = 0
        for at in range(starts[query], starts[query + 1]):
            scale = values[at]
            for place in range(by_starts[columns[at]], by_starts[columns[at] + 1]):
                total[by_rows[place]] += scale * by_values[place]
                common[by_rows[place]] += 1
        if not itself:
            common[query] = 0
        size = sizes[query]
        for row in range(n_rows):
            shared = np.float32(common[row])
            if shared == 0:
                total[row] = -np.inf
                continue
            found = total[row]
            if measure == 1:
                found /= size * row_sizes[row]
            elif measure == 2:
                found = shared / (size + row_sizes[row] - shared)
            total[row] = found * (shared / (shared + np.float32(shrinkage)))
        keep_row(total, 0, order, best[query], codes[query])


@compiled
def gather(near: Any, products: Any, diagonal: Any, chosen: Any, places: Any, blocks: Any) -> None:
    """For each row of `chosen`, the symmetric matrix of the products of those items with each other.

    near, products: `(n, known)`, items and the products with them; one of the two directions suffices, else it is 0.
    chosen: `(n_blocks, width)`, ended by -1 where a row holds fewer; its part of the matrix is that of the identity.
    places: `(n,)`, all -1, and so again afterwards. blocks: `(n_blocks, width, width)`, written over.
    """
    width = chosen.shape[1]
    for block in range(len(chosen)):
        items, matrix = chosen[block], blocks[block]
        matrix[:] = 0
        for i in range(width):
            matrix[i, i] = np.float32(1)
            if items[i] >= 0:
                places[items[i]] = i
        for i in range(width):
            item = items[i]
            if item < 0:
                break
            matrix[i, i] = diagonal[item]
            for at in range(near.shape[1]):
                other = near[item, at]
                if other < 0:
                    break
                j = places[other]
                if j >= 0:
                    matrix[i, j] = products[item, at]
                    matrix[j, i] = products[item, at]
        for i in range(width):
            if items[i] >= 0:
                places[items[i]] = -1
