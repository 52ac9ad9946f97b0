"""The inner loops of alternating least squares: one half-step for a range of rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from palate.kernels.compiled import compiled

_GATHERED = 128
"""Factor rows multiplied at once: enough for the matrix product to run at full speed, few enough to stay in cache."""
_CLOSE = np.float32(1e-4)
"""A row is solved when one more step would lower its part of the loss by less than this share of it."""


@compiled
def half_step(
    starts: Any, columns: Any, values: Any, given: Any, gram: Any, solved: Any,
    implicit: bool, regularization: float, alpha: float, nonnegative: bool, first: int, last: int,
) -> None:  # fmt: skip
    """Solves rows `first` to `last` of `solved` (float32, read as the first guess) from the factors `given`.

    Row by row: A = gram + sum c y y' + lambda n I and b = sum t y over its ratings, where explicit feedback has
    c = 1, t = r, n = ratings and gram = 0, and implicit feedback c = alpha |r|, t = 1 + c if r > 0 else 0, n = the
    ratings above 0 and gram = Y'Y. Then x = A^-1 b, by conjugate gradients from the guess on.
    """
    rank = given.shape[1]
    gathered = np.empty((_GATHERED, rank), np.float32)
    product = np.empty((rank, rank), np.float32)
    left = np.empty((rank, rank), np.float32)
    right = np.empty(rank, np.float32)
    work = np.empty((4, rank), np.float32)
    for row in range(first, last):
        left[:] = gram
        right[:] = 0
        counted = 0
        constant: Any = 0.0
        for begin in range(starts[row], starts[row + 1], _GATHERED):
            end = min(starts[row + 1], begin + _GATHERED)
            for at in range(begin, end):
                value, factor, taken = values[at], given[columns[at]], gathered[at - begin]
                scale, target = np.float32(1), value
                if implicit:
                    confidence = np.float32(alpha) * abs(value)
                    scale = np.sqrt(confidence)
                    target = np.float32(1) + confidence if value > 0 else np.float32(0)
                    constant += target
                    counted += value > 0
                else:
                    constant += value * value
                    counted += 1
                for j in range(rank):
                    right[j] += target * factor[j]
                    taken[j] = scale * factor[j]
            some = gathered[: end - begin]
            np.dot(some.T, some, product)
            for i in range(rank):
                for j in range(rank):
                    left[i, j] += product[i, j]
        for i in range(rank):
            left[i, i] += np.float32(regularization * counted)
        guess = solved[row]
        if constant == 0:  # nothing to explain: only rows without a rating above 0, or all of them 0
            guess[:] = 0
        elif nonnegative:
            _descend(left, right, constant, guess)
        elif not _conjugate_gradients(left, right, constant, guess, work):
            _cholesky(left, right, guess)


@compiled
def _conjugate_gradients(left: Any, right: Any, constant: float, x: Any, work: Any) -> bool:
    """Lowers x'Ax - 2b'x + constant, the row's loss, from `x` on, in place; whether it came to rest.

    Scaled by the diagonal. A step lowers the loss by exactly (r'z)^2 / p'Ap, which tells when the next is not worth it.
    """
    rank = len(x)
    residual, scaled, direction, image = work[0], work[1], work[2], work[3]
    norm, explained, along = np.float32(0), np.float32(0), np.float32(0)
    for i in range(rank):
        total = np.float32(0)
        for j in range(rank):
            total += left[i, j] * x[j]
        residual[i] = right[i] - total
        scaled[i] = residual[i] / left[i, i] if left[i, i] > 0 else np.float32(0)
        direction[i] = scaled[i]
        norm += right[i] * right[i]
        explained += x[i] * (right[i] + residual[i])
        along += residual[i] * scaled[i]
    loss = constant - explained
    for _ in range(2 * rank):
        if not along > np.float32(0):
            return True
        curvature = np.float32(0)
        for i in range(rank):
            total = np.float32(0)
            for j in range(rank):
                total += left[i, j] * direction[j]
            image[i] = total
            curvature += total * direction[i]
        if not curvature > np.float32(0):
            return False
        step, next_along, size = along / curvature, np.float32(0), np.float32(0)
        for i in range(rank):
            x[i] += step * direction[i]
            residual[i] -= step * image[i]
            scaled[i] = residual[i] / left[i, i] if left[i, i] > 0 else np.float32(0)
            next_along += residual[i] * scaled[i]
            size += residual[i] * residual[i]
        loss -= step * along
        if step * along < _CLOSE * loss or size < np.float32(1e-12) * norm:
            return True
        turn = next_along / along
        along = next_along
        for i in range(rank):
            direction[i] = scaled[i] + turn * direction[i]
    return False


@compiled
def _cholesky(left: Any, right: Any, x: Any) -> None:
    """x = A^-1 b in float64, for the rare row whose gradients don't come to rest; `x` stays if A is singular."""
    rank = len(x)
    lower = left.astype(np.float64)
    y = right.astype(np.float64)
    for i in range(rank):
        for j in range(i + 1):
            total = lower[i, j]
            for p in range(j):
                total -= lower[i, p] * lower[j, p]
            if i != j:
                lower[i, j] = total / lower[j, j]
            elif total > 0:
                lower[i, i] = np.sqrt(total)
            else:
                return
        total = y[i]
        for p in range(i):
            total -= lower[i, p] * y[p]
        y[i] = total / lower[i, i]
    for i in range(rank - 1, -1, -1):
        total = y[i]
        for p in range(i + 1, rank):
            total -= lower[p, i] * y[p]
        y[i] = total / lower[i, i]
        x[i] = y[i]


@compiled
def _descend(left: Any, right: Any, constant: float, x: Any) -> None:
    """The x >= 0 of the lowest loss, by coordinate descent from `x` on, in place.

    The loss is convex, so that what no single coordinate can better is the minimum.
    """
    rank = len(x)
    gradient = np.empty(rank, np.float32)
    explained = np.float32(0)
    for i in range(rank):
        x[i] = max(x[i], np.float32(0))
    for i in range(rank):
        total = np.float32(0)
        for j in range(rank):
            total += left[i, j] * x[j]
        gradient[i] = total - right[i]
        explained += x[i] * (right[i] - gradient[i])
    loss = constant - explained
    for _ in range(20 * rank):
        gained = np.float32(0)
        for i in range(rank):
            if not left[i, i] > 0:
                continue
            moved = max(x[i] - gradient[i] / left[i, i], np.float32(0)) - x[i]
            if moved == 0:
                continue
            gained -= moved * (np.float32(2) * gradient[i] + moved * left[i, i])
            x[i] += moved
            for j in range(rank):
                gradient[j] += moved * left[i, j]
        loss -= gained
        if gained < np.float32(0.1) * _CLOSE * loss or gained <= 0:
            return
