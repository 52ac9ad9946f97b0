"""Matrix factorization by alternating least squares, with the objectives of pyspark.ml's ALS.

Explicit feedback (Zhou et al., "Large-scale Parallel Collaborative Filtering for the Netflix Prize", 2008) minimises

    sum (r - x.y)^2  +  lambda (sum n_u |x_u|^2 + sum n_i |y_i|^2)

over the ratings given, with n the ratings of a user or an item. Implicit feedback (Hu, Koren and Volinsky,
"Collaborative Filtering for Implicit Feedback Datasets", 2008) minimises

    sum c (p - x.y)^2  +  lambda (sum n_u |x_u|^2 + sum n_i |y_i|^2)

over all pairs, where p is 1 for r > 0 and else 0, c = 1 + alpha |r| (1 where there is no rating), and n counts the
ratings above 0. Several ratings of one pair are several terms: explicit, x.y goes to their mean, weighted by how many
they are; implicit, their confidences add up, each bringing its own 1 where r > 0.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from palate.kernels.ratings import Ratings, Side
from palate.kernels.threads import cores

Floats = npt.NDArray[np.float32]

_BLOCKS = 64
"""Pieces of a half-step that threads take in turn. Their number changes no result."""


@dataclass(frozen=True)
class Objective:
    """What is minimised; see above. regularization is lambda; `nonnegative` asks for factors of at least 0."""

    implicit: bool = False
    regularization: float = 0.1
    alpha: float = 1.0
    nonnegative: bool = False


def als(
    ratings: Ratings, objective: Objective, rank: int, iterations: int, seed: int, threads: int | None = None
) -> tuple[Floats, Floats]:
    """User and item factors, `(n_users, rank)` and `(n_items, rank)` float32.

    They start as directions drawn at random; each iteration solves for the items, then for the users, as pyspark.ml
    does. Each row's normal equations are summed with dense products of gathered factors and solved by conjugate
    gradients from the row's last value on, to within what matters to the loss: MLlib's exact solutions give the same
    loss to well within 1 %. The same seed gives the same bits, on any number of threads.
    """
    from palate.kernels.als_loops import half_step

    random = np.random.default_rng(seed)
    users = _directions(random, len(ratings.by_user), rank)
    if iterations == 0:
        return users, _directions(random, len(ratings.by_item), rank)
    items = np.zeros((len(ratings.by_item), rank), np.float32)
    nothing = np.zeros((rank, rank), np.float32)
    threads = threads or cores()

    def solve(side: Side, given: Floats, solved: Floats, pool: ThreadPoolExecutor) -> None:
        gram = _gram(given) if objective.implicit else nothing
        cuts = _cuts(side)
        work = [
            pool.submit(
                half_step, side.starts, side.columns, side.values, given, gram, solved,
                objective.implicit, objective.regularization, objective.alpha, objective.nonnegative, first, last,
            )
            for first, last in pairwise(cuts)
        ]  # fmt: skip
        for piece in work:
            piece.result()

    with threadpool_limits(1, "blas"), ThreadPoolExecutor(threads) as pool:
        for _ in range(iterations):
            solve(ratings.by_item, users, items, pool)
            solve(ratings.by_user, items, users, pool)
    return users, items


def _directions(random: np.random.Generator, n: int, rank: int) -> Floats:
    """Unit vectors, uniform over the sphere."""
    drawn = random.standard_normal((n, rank), dtype=np.float32)
    lengths = np.sqrt(np.einsum("ij,ij->i", drawn, drawn))  # a norm would hold all squares
    drawn /= np.maximum(lengths, np.finfo(np.float32).tiny)[:, None]
    return drawn


def _gram(factors: Floats) -> Floats:
    """Y'Y, summed in float64 over blocks."""
    total = np.zeros((factors.shape[1],) * 2)
    for start in range(0, len(factors), 4096):
        part = factors[start : start + 4096]
        total += part.T @ part
    return total.astype(np.float32)


def _cuts(side: Side) -> list[int]:
    """Borders between blocks of rows that cost about the same: a row beside its ratings as much as 20 ratings."""
    cost = side.starts + 20 * np.arange(len(side) + 1)
    cuts = np.searchsorted(cost, np.linspace(0, cost[-1], _BLOCKS + 1)[1:-1])
    return sorted({0, *cuts.tolist(), len(side)})


def loss(ratings: Ratings, objective: Objective, users: Floats, items: Floats) -> float:
    """The objective's value, in float64."""
    side = ratings.by_user
    total = float(np.einsum("ij,ij->", _wide_gram(users), _wide_gram(items))) if objective.implicit else 0.0
    for first, last in pairwise(_cuts(side)):
        held = slice(int(side.starts[first]), int(side.starts[last]))
        rows = np.repeat(np.arange(first, last), np.diff(side.starts[first : last + 1]))
        values = side.values[held].astype(np.float64)
        found = np.einsum("ij,ij->i", users[rows], items[side.columns[held]], dtype=np.float64)
        if objective.implicit:
            more = objective.alpha * np.abs(values)
            total += float(np.sum((1 + more) * ((values > 0) - found) ** 2 - found**2))
        else:
            total += float(np.sum((values - found) ** 2))
    for part, factors in ((ratings.by_user, users), (ratings.by_item, items)):
        counts = part.counts(above_zero=objective.implicit)
        total += objective.regularization * float(counts @ np.einsum("ij,ij->i", factors, factors, dtype=np.float64))
    return total


def _wide_gram(factors: Floats) -> npt.NDArray[np.float64]:
    wide = factors.astype(np.float64)
    product: npt.NDArray[np.float64] = wide.T @ wide
    return product
