"""The inner loops of `palate.kernels.sparse_products`."""

from __future__ import annotations

from typing import Any

from palate.kernels.compiled import compiled


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
