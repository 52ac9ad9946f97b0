"""The inner loops of `palate.kernels.sparse_products`."""

from __future__ import annotations

from typing import Any

import numpy as np

from palate.kernels.compiled import compiled

ROWS = 8
"""So many rows of a product are computed side by side: what is in between, of as many columns, is to stay near."""


@compiled
def multiply_rows(
    starts: Any, columns: Any, values: Any, by_starts: Any, by_columns: Any, by_values: Any, out: Any,
    first: int, last: int,
) -> None:  # fmt: skip
    """Rows `first` to `last` of the product of two CSR matrices, written over those of `out`."""
    for row in range(first, last):
        total = out[row]
        total[:] = 0
        for at in range(starts[row], starts[row + 1]):
            scale, other = values[at], columns[at]
            for place in range(by_starts[other], by_starts[other + 1]):
                total[by_columns[place]] += scale * by_values[place]


@compiled
def multiply_twice(
    starts: Any, columns: Any, values: Any, by_starts: Any, by_columns: Any, by_values: Any, width: int, out: Any,
    first: int, last: int,
) -> None:  # fmt: skip
    """Rows `first` to `last` of A B B' over those of `out`: A in CSR, B in CSR and `width` wide."""
    between, total = np.empty((width, ROWS), np.float32), np.empty(ROWS, np.float32)
    for begin in range(first, last, ROWS):
        rows = min(ROWS, last - begin)
        between[:] = 0
        for row in range(rows):
            for at in range(starts[begin + row], starts[begin + row + 1]):
                scale, other = values[at], columns[at]
                for place in range(by_starts[other], by_starts[other + 1]):
                    between[by_columns[place], row] += scale * by_values[place]
        for column in range(len(by_starts) - 1):
            total[:] = 0
            for place in range(by_starts[column], by_starts[column + 1]):
                value, held = by_values[place], between[by_columns[place]]
                for row in range(ROWS):
                    total[row] += value * held[row]
            for row in range(rows):
                out[begin + row, column] = total[row]
