"""The inner loops of `compact`: rounded products by blocks, and the heap of what the best are at least."""

from __future__ import annotations

from typing import Any

import numpy as np

from palate.kernels.compact import BLOCK
from palate.kernels.compiled import compiled
from palate.kernels.top_n_loops import sink

_SIGN, _REST = np.int32(0x8000), np.int32(0x7FFF)
_SHIFTED = np.float32(2.0**112)
"""What the bits of a float16, put where those of a float32 are, have to be multiplied by: the exponents' biases differ
by as much."""


@compiled
def candidates(
    query: Any, reach: Any, blocks: Any, scales: Any, errors: Any, lengths: Any, order: Any, barred: Any,
    heap: Any, held: Any, codes: Any, uppers: Any,
) -> int:  # fmt: skip
    """Writes the codes that may be among the best, and what their products are at most, to `codes` and `uppers`; how
    many. heap, held: of the best by what they are at least. reach: the query's length. barred: by code, or empty."""
    sums = np.empty(BLOCK, np.float32)
    tops = np.empty(BLOCK, np.float32)
    count = 0
    for number in range(len(blocks)):
        first = number * BLOCK
        worst = heap[0]
        if reach * lengths[first] < worst:
            break
        _products(query, blocks[number], sums)
        better = 0
        for row in range(BLOCK):
            sums[row] *= scales[first + row]
            tops[row] = sums[row] + reach * errors[first + row]
            better += tops[row] >= worst
        if better:
            for row in range(BLOCK):
                code = order[first + row]
                if tops[row] < worst or code < 0 or (len(barred) and barred[code]):
                    continue
                codes[count], uppers[count] = code, tops[row]
                count += 1
                least = sums[row] - reach * errors[first + row]
                if least > worst:
                    sink(heap, held, least, code, len(heap))
                    worst = heap[0]
    return count


@compiled
def _products(query: Any, block: Any, sums: Any) -> None:
    """The products of a query with a block `(width, BLOCK)` of int8, or of float16 seen as int16."""
    sums[:] = 0
    for at in range(0, len(query), 4):
        a, b, c, d = query[at], query[at + 1], query[at + 2], query[at + 3]
        if block.itemsize == 1:
            for row in range(BLOCK):
                sums[row] += (
                    a * np.float32(block[at, row]) + b * np.float32(block[at + 1, row])
                    + c * np.float32(block[at + 2, row]) + d * np.float32(block[at + 3, row])
                )  # fmt: skip
        else:
            for row in range(BLOCK):
                sums[row] += (
                    a * _float16(block[at, row]) + b * _float16(block[at + 1, row])
                    + c * _float16(block[at + 2, row]) + d * _float16(block[at + 3, row])
                )  # fmt: skip


@compiled
def _float16(bits: Any) -> Any:
    """The number of these bits; by integers, since numba knows no float16 and not every processor either."""
    wide = np.int32(bits)
    return np.int32((wide & _REST) << np.int32(13) | (wide & _SIGN) << np.int32(16)).view(np.float32) * _SHIFTED
