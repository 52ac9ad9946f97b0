"""The inner loops of `top_n`: heaps of the best, the worst of them on top."""

from __future__ import annotations

from typing import Any

import numpy as np

from palate.kernels.compiled import compiled

_SCANNED = 32
"""Scores compared with the worst kept one at once: most such runs hold nothing better."""


@compiled
def left_out(at: Any, ends: Any, columns: Any, places: Any) -> Any:
    """The places of what each row leaves out, `columns[at[row] : ends[row]]`, ascending within the row."""
    found = np.empty(len(columns), np.int32)
    for row in range(len(at)):
        first, last = at[row], ends[row]
        for entry in range(first, last):
            found[entry] = places[columns[entry]]
        found[first:last].sort()
    return found


@compiled
def keep_best(
    scores: Any, offset: int, rows: Any, order: Any, at: Any, ends: Any, places: Any, codes: Any, best: Any
) -> None:
    """Takes a tile of scores, of the queries `rows` and the targets from place `offset` on, into the queries' heaps
    `best` and `codes`.

    order: the code at each place. What a query leaves out begins at `places[at[row]]` and ends before `ends[row]`; `at`
    is moved on behind the tile.
    """
    width = scores.shape[1]
    for number in range(len(rows)):
        row = rows[number]
        found, heap, held = scores[number], best[row], codes[row]
        while at[row] < ends[row] and places[at[row]] < offset + width:
            found[places[at[row]] - offset] = -np.inf
            at[row] += 1
        keep_row(found, offset, order, heap, held)


@compiled
def keep_row(scores: Any, offset: int, order: Any, heap: Any, held: Any) -> None:
    """Takes the scores of the places from `offset` on into one heap and its codes. order: the code at each place."""
    worst, width = heap[0], len(scores)
    for begin in range(0, width, _SCANNED):
        end = min(begin + _SCANNED, width)
        better = 0
        for column in range(begin, end):
            better += scores[column] >= worst
        if better:
            for column in range(begin, end):
                code = order[column + offset]
                if scores[column] > worst or (scores[column] == worst and code < held[0]):
                    sink(heap, held, scores[column], code, len(heap))
                    worst = heap[0]


@compiled
def sink(heap: Any, held: Any, score: Any, code: int, size: int) -> None:
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
            sink(heap, held, score, code, last)


@compiled
def look_through(query: Any, n: int, slack: float, factors: Any, lengths: Any, order: Any, barred: Any) -> Any:
    """The codes and products of the `n` best targets for one query, best first, none for one of zeros.

    It looks through them until none that is left could reach the worst one kept. slack: by what share a product may
    exceed that of the lengths. barred: by code, left out; empty for nothing.
    """
    codes, best = np.full((1, n), -1, np.int32), np.full((1, n), -np.inf, np.float32)
    heap, held = best[0], codes[0]
    count, width = factors.shape
    square = 0.0
    for column in range(width):
        square += float(query[column]) * float(query[column])
    if square == 0:
        return held, heap
    reach = np.sqrt(square) * (1 + slack)
    worst = heap[0]
    for place in range(count):
        if reach * lengths[place] < worst:
            break
        target = factors[place]
        score = np.float32(0)
        for column in range(width):
            score += query[column] * target[column]
        if score >= worst:
            code = order[place]
            if (score > worst or code < held[0]) and not (len(barred) and barred[code]):
                sink(heap, held, score, code, n)
                worst = heap[0]
    sort_best(codes, best)
    return held, heap
