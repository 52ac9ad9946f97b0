"""Matrix factorization by alternating least squares whose penalty grows with how much is known of a user or an item.

Rendle, Krichene, Zhang and Koren, "Revisiting the Performance of iALS on Item Recommendation Benchmarks", 2021.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import ClassVar

import numpy as np
from scipy import sparse
from threadpoolctl import threadpool_limits

from palate.dataset.schema import Interactions, Items, Users
from palate.errors import ParameterError, SchemaError
from palate.kernels.threads import FEW, cores, in_threads
from palate.models.factorization import FactorModel
from palate.models.params import ModelParams, one_of, within
from palate.models.protocol import Arrays, Floats, Histories, Vectors
from palate.models.recency import faded
from palate.models.sequences import Ordered

_BLOCKS = 64
_SOLVED_AT_ONCE = 128
_SCALE = 0.1
"""The length of random factors at the start, as in the paper."""


@dataclass(frozen=True)
class IALSParams(ModelParams):
    """Parameters of IALS.

    factors: width of the embeddings.
    regularization: lambda below.
    unobserved: what all pairs that nobody touched weigh together, where all interactions weigh 1. The weight of one
        such pair is the attribute `unobserved_weight`, alpha_0 in the paper; this one suits thin and dense data alike.
    iterations: passes over users and items.
    weighting: "weights" takes the interactions' weights (ratings, counts), divided by their mean; "binary" does not.
    recency: when a user is solved for, each item of the history counts (1 + k)^-recency, k being how much came after
        it: 0 counts all alike; near 0.5 where people's next items resemble their last ones.
    seed: of the random start; the same seed gives the same factors, on any number of threads.

    The defaults were tuned on validation data cut from the training part of ml-latest-small:
    `python -m benchmarks.tune_models ials`.
    """

    factors: int = field(default=64, metadata=within(1, 4096))
    regularization: float = field(default=0.01, metadata=within(above=0))
    unobserved: float = field(default=40.0, metadata=within(above=0))
    iterations: int = field(default=15, metadata=within(1, 10_000))
    weighting: str = field(default="weights", metadata=one_of("weights", "binary"))
    recency: float = field(default=0.0, metadata=within(0, 3))
    seed: int = field(default=0, metadata=within(0, 2**32 - 1))


class IALS(FactorModel):
    """Users and items as vectors x and y whose dot product says how sure we are of a liking.

    With w the weight of a pair that was touched, and a that of one that was not, it minimises

        sum over touched pairs (w + a) (1 - x.y)^2  +  sum over all others a (x.y)^2
        +  lambda (sum (n_u + a n_items) |x_u|^2 + sum (n_i + a n_users) |y_i|^2)

    where n_u and n_i count a user's and an item's interactions: the penalty is scaled by how often a vector occurs
    (the paper's exponent 1). After the last pass every user vector is solved for exactly, from the final item factors:
    so a user of the training data and somebody folded in with the same history get the same vector.
    """

    kind: ClassVar[str] = "ials"
    Params: ClassVar[type[IALSParams]] = IALSParams
    params: IALSParams

    unobserved_weight: float
    """a above."""

    def _fit(self, interactions: Interactions, items: Items, users: Users | None) -> None:
        matrix = interactions.matrix(binary=self.params.weighting == "binary")
        if matrix.nnz == 0:
            raise SchemaError("no interaction has a weight above zero.", where="interactions")
        self.usual_weight = float(matrix.data.mean(dtype=np.float64))  # large weights would overflow
        weights = self._weights(matrix)
        by_item = sparse.csr_matrix(weights.T)
        known_users, known_items = np.count_nonzero(np.diff(weights.indptr)), np.count_nonzero(np.diff(by_item.indptr))
        self.unobserved_weight = self.params.unobserved * matrix.nnz / (known_users * known_items)
        random = np.random.default_rng(self.params.seed)
        shapes = [(side.shape[0], self.params.factors) for side in (weights, by_item)]
        start = np.float32(_SCALE / np.sqrt(self.params.factors))
        factors = [random.standard_normal(shape, dtype=np.float32) * start for shape in shapes]
        factors[0][np.diff(weights.indptr) == 0] = 0
        with threadpool_limits(1, "blas"), ThreadPoolExecutor(cores()) as pool:
            for _ in range(self.params.iterations):
                self._half_step(by_item, factors[0], factors[1], known_users, pool)
                self._half_step(weights, factors[1], factors[0], known_items, pool)
        self.item_factors = factors[1]
        order = Ordered.of_interactions(interactions, interactions.item_codes)
        self.user_factors = self._solve(faded(weights, order, self.params.recency))
        if not np.isfinite(self.user_factors).all() or not np.isfinite(self.item_factors).all():
            raise ParameterError(
                f"with regularization {self.params.regularization:g} and unobserved {self.params.unobserved:g} the "
                "factors are not finite numbers.",
                where=self.kind,
                hint="Take both nearer to their defaults.",
            )

    def _weights(self, matrix: sparse.csr_matrix) -> sparse.csr_matrix:
        data = np.ones_like(matrix.data) if self.params.weighting == "binary" else matrix.data / self.usual_weight
        return sparse.csr_matrix((data.astype(np.float32), matrix.indices, matrix.indptr), shape=matrix.shape)

    def _half_step(
        self, side: sparse.csr_matrix, given: Floats, solved: Floats, others: int, pool: ThreadPoolExecutor
    ) -> None:
        """Solves for the rows of `side` from the factors `given` of its columns; `others` of those are known.

        The kernel solves the same problem divided by a, with lambda n_u added to the diagonal; the rest of the
        penalty, which is the same for all rows, goes with the matrix Y'Y.
        """
        from palate.kernels.als_loops import half_step

        alpha, penalty = 1 / self.unobserved_weight, self.params.regularization / self.unobserved_weight
        gram = _gram(given) + np.float32(self.params.regularization * others) * np.eye(given.shape[1], dtype=np.float32)
        starts = side.indptr.astype(np.int64)
        cost = starts + 20 * np.arange(len(starts))  # a row costs as much as 20 entries
        cuts = np.searchsorted(cost, np.linspace(0, cost[-1], _BLOCKS + 1)[1:-1])
        pieces = [
            pool.submit(
                half_step,
                starts,
                side.indices,
                side.data,
                given,
                gram,
                solved,
                True,
                penalty,
                alpha,
                False,
                first,
                last,
            )
            for first, last in pairwise(sorted({0, *cuts.tolist(), side.shape[0]}))
        ]
        for piece in pieces:
            piece.result()

    @cached_property
    def _shared(self) -> Floats:
        """What the normal equations of all users have in common, divided by a: `(factors, factors)`."""
        known = int(np.count_nonzero(self.item_factors.any(axis=1)))
        ridge = np.float32(self.params.regularization * known)
        return _gram(self.item_factors) + ridge * np.eye(self.params.factors, dtype=np.float32)

    def _solve(self, weights: sparse.csr_matrix) -> Floats:
        """The least-squares vector of each row, `(n, factors)`, exactly."""
        solved = np.zeros((weights.shape[0], self.params.factors), np.float32)
        alpha, penalty = 1 / self.unobserved_weight, self.params.regularization / self.unobserved_weight
        shared, items = self._shared, self.item_factors
        diagonal = np.arange(self.params.factors)

        def work(first: int, last: int) -> None:
            for start in range(first, last, _SOLVED_AT_ONCE):
                rows = range(start, min(start + _SOLVED_AT_ONCE, last))
                left, right = np.repeat(shared[None], len(rows), axis=0), solved[start : rows.stop]
                for at, row in enumerate(rows):
                    held = slice(weights.indptr[row], weights.indptr[row + 1])
                    theirs, confidence = items[weights.indices[held]], np.float32(alpha) * weights.data[held]
                    left[at] += (theirs.T * confidence) @ theirs
                    left[at][diagonal, diagonal] += np.float32(penalty * len(theirs))
                    right[at] = (1 + confidence) @ theirs
                right[:] = np.linalg.solve(left, right[:, :, None])[:, :, 0]

        try:
            # Many small products, and threads of our own; for a request the call costs too much.
            with threadpool_limits(1, "blas") if len(solved) > FEW else nullcontext():
                in_threads(work, len(solved))
        except np.linalg.LinAlgError:
            solved[:] = np.nan
        return solved

    def _fold(self, histories: sparse.csr_matrix) -> Vectors:
        return (self._solve(self._weights(histories)),)

    def _fold_in(self, histories: Histories, matrix: sparse.csr_matrix) -> Vectors:
        if self.params.recency == 0:
            return self._fold(matrix)
        order = Ordered.of(histories, self.items)
        return (self._solve(faded(self._weights(matrix), order, self.params.recency)),)

    def _state(self) -> Arrays:
        return Arrays(
            {"unobserved_weight": self.unobserved_weight, "usual_weight": self.usual_weight},
            {"user_factors": self.user_factors, "item_factors": self.item_factors},
        )

    def _restore(self, state: Arrays) -> None:
        self.unobserved_weight = float(state.params["unobserved_weight"])
        self.usual_weight = float(state.params["usual_weight"])
        self.user_factors, self.item_factors = state.arrays["user_factors"], state.arrays["item_factors"]


def _gram(factors: Floats) -> Floats:
    """Y'Y."""
    gram: Floats = factors.T @ factors
    return gram
