"""The inner loop of `palate.kernels.logistic`: Newton's method for one user after another."""

from __future__ import annotations

from typing import Any

import numpy as np

from palate.kernels.compiled import compiled

_STEPS = 30
_CLOSE = np.float32(1e-5)
"""A user is done when a step moves no coordinate further than this, or lowers the loss no more."""


@compiled
def solve_users(
    starts: Any, columns: Any, weights: Any, items: Any, offsets: Any, pool: Any,
    negatives: int, ridges: Any, means: Any, pairwise: bool, solved: Any, first: int, last: int,
) -> None:  # fmt: skip
    """Solves users `first` to `last` of `solved`, `(n_users, width) float32`; see `palate.kernels.logistic`.

    means: of each user, or one row for all.
    """
    width = items.shape[1]
    longest = 0
    for user in range(first, last):
        longest = max(longest, starts[user + 1] - starts[user])
    most = longest * negatives if pairwise else longest + len(pool)
    rows, scaled = np.empty((most, width), np.float32), np.empty((most, width), np.float32)
    base, share = np.empty(most, np.float32), np.empty(most, np.float32)
    held = np.zeros(len(items), np.bool_)
    for user in range(first, last):
        begin, end = starts[user], starts[user + 1]
        mean = means[min(user, len(means) - 1)]
        solved[user] = mean
        if begin == end:
            continue
        for at in range(begin, end):
            held[columns[at]] = True
        if pairwise:
            n = _pairs(columns[begin:end], weights[begin:end], items, offsets, pool, held, negatives, rows, base, share)
        else:
            n = _singles(
                columns[begin:end], weights[begin:end], items, offsets, pool, held, negatives, rows, base, share
            )
        for at in range(begin, end):
            held[columns[at]] = False
        _newton(rows[:n], base[:n], share[:n], ridges[user], mean, solved[user], scaled[:n])


@compiled
def _singles(
    mine: Any, weights: Any, items: Any, offsets: Any, pool: Any, held: Any, negatives: int,
    rows: Any, base: Any, share: Any,
) -> Any:  # fmt: skip
    """A row for each item of the history, and one, turned round, for each of the pool that is not in it."""
    total, n = np.float32(0), 0
    for at in range(len(mine)):
        rows[n], base[n], share[n] = items[mine[at]], offsets[mine[at]], weights[at]
        total += weights[at]
        n += 1
    own = n
    for item in pool:
        if not held[item]:
            for j in range(rows.shape[1]):
                rows[n, j] = -items[item, j]
            base[n] = -offsets[item]
            n += 1
    for at in range(own, n):
        share[at] = negatives * total / np.float32(n - own)
    return n


@compiled
def _pairs(
    mine: Any, weights: Any, items: Any, offsets: Any, pool: Any, held: Any, negatives: int,
    rows: Any, base: Any, share: Any,
) -> Any:  # fmt: skip
    """For each item of the history, its differences to so many items of the pool that are not in it, in turn."""
    n, place = 0, 0
    for at in range(len(mine)):
        for _ in range(negatives):
            tries = 0
            while held[pool[place]] and tries < len(pool):
                place = (place + 1) % len(pool)
                tries += 1
            if tries == len(pool):
                continue
            other = pool[place]
            place = (place + 1) % len(pool)
            for j in range(rows.shape[1]):
                rows[n, j] = items[mine[at], j] - items[other, j]
            base[n] = offsets[mine[at]] - offsets[other]
            share[n] = weights[at] / np.float32(negatives)
            n += 1
    return n


@compiled
def _newton(rows: Any, base: Any, share: Any, ridge: Any, mean: Any, x: Any, scaled: Any) -> None:
    """Lowers sum share log(1 + exp(-(base + rows x))) + ridge / 2 |x - mean|^2 from the x given, in place."""
    n, width = rows.shape
    trial = np.zeros(width, np.float32)
    loss = np.float32(np.inf)
    step = np.zeros(width, np.float32)
    for _ in range(_STEPS):
        scale = np.float32(1)
        while True:  # half the step until it lowers the loss
            for j in range(width):
                trial[j] = x[j] - scale * step[j]
            margins = base + np.dot(rows, trial)
            found = np.float32(0)
            for r in range(n):
                margin = margins[r]
                found += share[r] * (np.log1p(np.exp(-abs(margin))) + max(-margin, np.float32(0)))
            for j in range(width):
                found += np.float32(0.5) * ridge * (trial[j] - mean[j]) * (trial[j] - mean[j])
            if not found > loss or scale < np.float32(1e-3):
                break
            scale *= np.float32(0.5)
        if found > loss:
            return
        moved = np.float32(0)
        for j in range(width):
            moved = max(moved, abs(trial[j] - x[j]))
            x[j] = trial[j]
        if loss < np.float32(np.inf) and moved < _CLOSE:
            return
        loss = found
        gradient = np.zeros(width, np.float32)
        for j in range(width):
            gradient[j] = ridge * (x[j] - mean[j])
        for r in range(n):
            chance = np.float32(1) / (np.float32(1) + np.exp(margins[r]))
            pull = share[r] * chance
            root = np.sqrt(pull * (np.float32(1) - chance))
            for j in range(width):
                gradient[j] -= pull * rows[r, j]
                scaled[r, j] = root * rows[r, j]
        curvature = np.dot(scaled.T, scaled)
        for j in range(width):
            curvature[j, j] += ridge
        step = np.linalg.solve(curvature, gradient)
