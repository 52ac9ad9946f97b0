"""The inner loops of `top_n`: heaps of the best, the worst of them on top."""

from __future__ import annotations

from typing import Any

import numpy as np

from palate.kernels.compiled import compiled

_SCANNED = 32
"""Scores compared with the worst kept one at once: most such runs hold nothing better."""


@compiled
def keep_best(scores: Any, offset: int, at: Any, ends: Any, columns: Any, codes: Any, best: Any) -> None:
    """Takes a tile of scores, whose first column is `offset`, into the heaps `best` and `codes`.

    What row `i` leaves out begins at `columns[at[i]]` and ends before `ends[i]`; `at` is moved on behind the tile.
    Of equal scores the first one seen stays: columns come in ascending order.
    """
    width = scores.shape[1]
    for row in range(scores.shape[0]):
        found, heap, held = scores[row], best[row], codes[row]
        while at[row] < ends[row] and columns[at[row]] < offset + width:
            found[columns[at[row]] - offset] = -np.inf
            at[row] += 1
        worst = heap[0]
        for begin in range(0, width, _SCANNED):
            end = min(begin + _SCANNED, width)
            better = 0
            for column in range(begin, end):
                better += found[column] > worst
            if better:
                for column in range(begin, end):
                    if found[column] > worst:
                        _sink(heap, held, found[column], column + offset, len(heap))
                        worst = heap[0]


@compiled
def _sink(heap: Any, held: Any, score: Any, code: int, size: int) -> None:
    """Puts a score in place of the top one, and down to where it belongs; of equals the higher code is worse."""
    place = 0
    while True:
        child = 2 * place + 1
        if child >= size:
            break
        right = child + 1
        if right < size and (heap[right] < heap[child] or (heap[right] == heap[child] and held[right] > held[child])):
            child = right
        if heap[child] > score or (heap[child] == score and held[child] < code):
            break
        heap[place], held[place] = heap[child], held[child]
        place = child
    heap[place], held[place] = score, code


@compiled
def sort_best(codes: Any, best: Any) -> None:
    """Heaps become rows, best first: the worst of what is left goes to the end, again and again."""
    for row in range(best.shape[0]):
        heap, held = best[row], codes[row]
        for last in range(len(heap) - 1, 0, -1):
            score, code = heap[last], held[last]
            heap[last], held[last] = heap[0], held[0]
            _sink(heap, held, score, code, last)
