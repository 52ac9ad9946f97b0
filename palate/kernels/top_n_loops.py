"""The inner loops of `top_n`: heaps of the best, the worst of them on top."""

from __future__ import annotations

from typing import Any

import numpy as np

from palate.kernels.compiled import compiled

_SCANNED = 32
"""Scores compared with the worst kept one at once: most such runs hold nothing better."""
_ROUNDED = 64
"""Likewise of what rounded products are at most."""


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
def keep_best_of_rows(
    scores: Any, starts: Any, columns: Any, order: Any, codes: Any, best: Any, first: int, last: int
) -> None:
    """The best of the whole rows `first` to `last`, sorted, into `best` and `codes`, which hold -inf and -1.

    What a row leaves out is `columns[starts[row] : starts[row + 1]]`, in any order; its scores become -inf. order: 0 to
    the number of columns.
    """
    for row in range(first, last):
        found = scores[row]
        for at in range(starts[row], starts[row + 1]):
            found[columns[at]] = -np.inf
        keep_row(found, 0, order, best[row], codes[row])
    sort_best(codes[first:last], best[first:last])


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
    reach = _length(query) * (1 + slack)
    if reach == 0:
        return held, heap
    for place in range(len(factors)):
        if reach * lengths[place] < heap[0]:
            break
        _offer(query, factors[place], order[place], barred, heap, held)
    sort_best(codes, best)
    return held, heap


@compiled
def look_through_rounded(
    query: Any, n: int, slack: float, factors: Any, lengths: Any, order: Any, barred: Any,
    numbers: Any, steps: Any, errors: Any,
) -> Any:  # fmt: skip
    """As `look_through`, at the factors only of those targets that may be among the best by what is rounded of them.

    In whole numbers of steps a query q is q' and a target t is t': q.t is at most q'.t' + |q| |t - t'| + |q - q'| |t'|.
    numbers: `(n, width) int8`, a target in steps. errors: |t - t'|, with float32's own.
    """
    codes, best = np.full((1, n), -1, np.int32), np.full((1, n), -np.inf, np.float32)
    heap, held = best[0], codes[0]
    count, width = numbers.shape
    reach = _length(query) * (1 + slack)
    if reach == 0:
        return held, heap
    most = min(32767, (2**31 - 1) // (127 * width))  # no sum leaves 32 bits
    step = float(np.abs(query).max()) / most
    whole, off = np.empty(width, np.int16), 0.0
    for column in range(width):
        number = np.rint(query[column] / step)
        whole[column] = number
        off += (query[column] - number * step) ** 2
    off = np.sqrt(off)
    sums, tops = np.empty(_ROUNDED, np.int32), np.empty(_ROUNDED, np.float64)
    for first in range(0, count, _ROUNDED):
        if reach * lengths[first] < heap[0]:
            break
        rows = min(_ROUNDED, count - first)
        _whole_products(whole, numbers[first : first + rows], sums)
        worst, better = heap[0], 0
        for row in range(rows):
            place = first + row
            tops[row] = sums[row] * (step * steps[place]) + (reach + off) * errors[place] + off * lengths[first]
            better += not tops[row] < worst  # what is not a number is looked at
        if better:
            for row in range(rows):
                if not tops[row] < heap[0]:
                    _offer(query, factors[first + row], order[first + row], barred, heap, held)
    sort_best(codes, best)
    return held, heap


@compiled
def _whole_products(query: Any, targets: Any, sums: Any) -> None:
    """Of a query in int16 and targets in int8. 32 bits at each step, or the compiler takes wider and slower ones."""
    for row in range(len(targets)):
        target, total = targets[row], np.int32(0)
        for column in range(len(query)):
            total = np.int32(total + np.int32(np.int32(query[column]) * np.int32(target[column])))
        sums[row] = total


@compiled
def _offer(query: Any, target: Any, code: int, barred: Any, heap: Any, held: Any) -> None:
    """Takes one target into a heap, if it is better than the worst of it and not barred."""
    score = np.float32(0)
    for column in range(len(query)):
        score += query[column] * target[column]
    if score >= heap[0] and (score > heap[0] or code < held[0]) and not (len(barred) and barred[code]):
        sink(heap, held, score, code, len(heap))


@compiled
def _length(query: Any) -> Any:
    square = 0.0
    for column in range(len(query)):
        square += float(query[column]) * float(query[column])
    return np.sqrt(square)
