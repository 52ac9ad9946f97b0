"""The inner loops of alternating least squares: one half-step for a range of rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from palate.kernels.compiled import compiled

_HELD = 1 << 18
"""How many numbers of gathered factors are kept: about what a core's cache holds. A row's others are multiplied out."""
_NARROW = 32
"""Of fewer factors a matrix is made, by pieces of _PIECE rows: at that width this costs less."""
_PIECE = 128
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
    ratings above 0 and gram = Y'Y. Then x = A^-1 b, by conjugate gradients from the guess on. They multiply A by a few
    vectors only, so it is kept as the sum that it is: a matrix, and the gathered factors, each times sqrt(c).
    (Measured on one core: 1.5 times faster than making A at 64 factors, 3 times at 200, and slower below 32.)
    """
    rank = given.shape[1]
    longest = 1
    for row in range(first, last):
        longest = max(longest, starts[row + 1] - starts[row])
    room = max(1, min(longest, _PIECE if rank < _NARROW else _HELD // rank))
    gathered, products = np.empty((room, rank), np.float32), np.empty(room, np.float32)
    summed, right, diagonal = gram.copy(), np.empty(rank, np.float32), np.empty(rank, np.float32)
    work = np.empty((5, rank), np.float32)
    for row in range(first, last):
        counted, held, whole = 0, 0, True
        constant = np.float32(0)
        for i in range(rank):
            right[i], diagonal[i] = 0, gram[i, i]
        for at in range(starts[row], starts[row + 1]):
            if held == room:
                _add_products(summed, gathered)
                held, whole = 0, False
            value, factor, taken = values[at], given[columns[at]], gathered[held]
            held += 1
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
                number = scale * factor[j]
                taken[j] = number
                right[j] += target * factor[j]
                diagonal[j] += number * number
        if rank < _NARROW:
            _add_products(summed, gathered[:held])
            held, whole = 0, False
        ridge = np.float32(regularization * counted)
        guess, some = solved[row], gathered[:held]
        if constant == 0:  # nothing to explain: only rows without a rating above 0, or all of them 0
            guess[:] = 0
        elif nonnegative:
            _descend(_matrix(summed, some, ridge), right, constant, guess)
        elif not _conjugate_gradients(summed, some, ridge, diagonal, right, constant, guess, products[:held], work):
            _cholesky(_matrix(summed, some, ridge), right, guess)
        if not whole:
            summed[:] = gram


@compiled
def _add_products(matrix: Any, rows: Any) -> None:
    """Adds rows'rows."""
    if len(rows) > 0:
        product = np.dot(rows.T, rows)
        for i in range(len(matrix)):
            for j in range(len(matrix)):
                matrix[i, j] += product[i, j]


@compiled
def _matrix(summed: Any, gathered: Any, ridge: Any) -> Any:
    """A = summed + gathered'gathered + ridge I."""
    made = summed.copy()
    _add_products(made, gathered)
    for i in range(len(made)):
        made[i, i] += ridge
    return made


@compiled
def _multiply(summed: Any, gathered: Any, ridge: Any, x: Any, products: Any, image: Any, part: Any) -> None:
    """image = A x. products and part: room for numbers on the way."""
    for i in range(len(x)):
        total = ridge * x[i]
        for j in range(len(x)):
            total += summed[i, j] * x[j]
        image[i] = total
    if len(gathered) > 0:
        np.dot(gathered, x, products)
        np.dot(products, gathered, part)
        for i in range(len(x)):
            image[i] += part[i]


@compiled
def _conjugate_gradients(
    summed: Any, gathered: Any, ridge: Any, diagonal: Any, right: Any, constant: Any, x: Any, products: Any,
    work: Any,
) -> bool:  # fmt: skip
    """Lowers x'Ax - 2b'x + constant, the row's loss, from `x` on, in place; whether it came to rest.

    Scaled by A's diagonal, `diagonal + ridge`. A step lowers the loss by exactly (r'z)^2 / p'Ap, which tells when the
    next is not worth it.
    """
    rank = len(x)
    residual, scaled, direction, image, part = work[0], work[1], work[2], work[3], work[4]
    _multiply(summed, gathered, ridge, x, products, image, part)
    norm, explained, along = np.float32(0), np.float32(0), np.float32(0)
    for i in range(rank):
        residual[i] = right[i] - image[i]
        diagonal[i] += ridge
        scaled[i] = residual[i] / diagonal[i] if diagonal[i] > 0 else np.float32(0)
        direction[i] = scaled[i]
        norm += right[i] * right[i]
        explained += x[i] * (right[i] + residual[i])
        along += residual[i] * scaled[i]
    loss = constant - explained
    for _ in range(2 * rank):
        if not along > np.float32(0):
            return True
        _multiply(summed, gathered, ridge, direction, products, image, part)
        curvature = np.float32(0)
        for i in range(rank):
            curvature += image[i] * direction[i]
        if not curvature > np.float32(0):
            return False
        step, next_along, size = along / curvature, np.float32(0), np.float32(0)
        for i in range(rank):
            x[i] += step * direction[i]
            residual[i] -= step * image[i]
            scaled[i] = residual[i] / diagonal[i] if diagonal[i] > 0 else np.float32(0)
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
def _descend(left: Any, right: Any, constant: Any, x: Any) -> None:
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
