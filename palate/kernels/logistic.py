"""Users as vectors that tell what they touched from what they did not, given the vectors of the items.

This is the half of a logistic or pairwise factorization that is convex: with the items fixed, a user's vector is a
logistic regression with a ridge penalty, solved by Newton's method. It gives the users of the training data and people
folded in later the same vector for the same history.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import sparse
from threadpoolctl import threadpool_limits

from palate.kernels.threads import FEW, in_threads

Floats = npt.NDArray[np.float32]
Codes = npt.NDArray[np.int32]

POOL = 256
"""So many items stand for all those that a user has not touched."""


def users_of(
    histories: sparse.csr_matrix,
    items: Floats,
    offsets: Floats,
    pool: Codes,
    *,
    negatives: int,
    ridges: Floats,
    pairwise: bool = False,
    means: Floats | None = None,
) -> Floats:
    """The vector x of each row of `histories`, `(n_users, width) float32`; its mean m for an empty row.

    With s(i) = offsets[i] + x . items[i], N the items of `pool` that are not in the history, W the sum of the
    history's weights w and softplus(s) = log(1 + exp(s)), x minimises

        sum over the history of w softplus(-s(i))  +  negatives W mean over N of softplus(s(j))  +  ridge |x - m|^2 / 2

    or, if `pairwise`, with `negatives` items j drawn from N in turn for each i,

        sum over the history of w mean over its j of softplus(s(j) - s(i))  +  ridge |x - m|^2 / 2.

    Parameters
    ----------
    histories: `(n_users, n_items)`, weights above 0. items: `(n_items, width)`. offsets: `(n_items,)`.
    pool: item codes. ridges: of each user, above 0, `(n_users,)`.
    means: what is expected of each user without a history, `(n_users, width)`; zeros if not given.
    """
    from palate.kernels.logistic_loops import solve_users

    solved: Floats = np.zeros((histories.shape[0], items.shape[1]), np.float32)
    arrays = histories.indptr, histories.indices, histories.data.astype(np.float32, copy=False)
    given = np.ascontiguousarray(items, np.float32), np.ascontiguousarray(offsets, np.float32), pool
    expected = np.zeros((1, items.shape[1]), np.float32) if means is None else np.ascontiguousarray(means, np.float32)
    penalties = np.asarray(ridges, np.float32), expected

    def work(first: int, last: int) -> None:
        solve_users(*arrays, *given, negatives, *penalties, pairwise, solved, first, last)

    if len(solved) <= FEW:
        work(0, len(solved))
    else:
        with threadpool_limits(1, "blas"):
            in_threads(work, len(solved))
    return solved


def draw_pool(weights: npt.ArrayLike, seed: int, size: int = POOL) -> Codes:
    """Codes of `size` items drawn with chances in proportion to `weights`, each at most once if there are enough."""
    chances = np.asarray(weights, dtype=np.float64)
    held = np.flatnonzero(chances > 0)
    if len(held) <= size:
        return held.astype(np.int32)
    rng = np.random.default_rng(seed)
    drawn = rng.choice(len(chances), size, replace=True, p=chances / chances.sum())
    return drawn.astype(np.int32)
