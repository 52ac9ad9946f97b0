"""Matrix factorization of implicit feedback by alternating least squares, computed by the implicit library.

Hu, Koren and Volinsky, "Collaborative Filtering for Implicit Feedback Datasets", ICDM 2008.
"""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from scipy import sparse
from threadpoolctl import threadpool_limits

from palate.dataset.schema import Interactions, Items, Users
from palate.errors import ParameterError, SchemaError
from palate.models.factorization import FactorModel
from palate.models.params import ModelParams, one_of, within
from palate.models.protocol import Arrays, Floats, Vectors

_SOLVED_AT_ONCE = 512
"""Users whose systems are solved in one call: 8 MB of float32 at 64 factors."""
_FEW = 16


@dataclass(frozen=True)
class ALSParams(ModelParams):
    """Parameters of ALS.

    factors: width of the embeddings.
    regularization: the penalty on squared factors, as a share of sqrt(interactions per user * interactions per item).
        That is the scale of the matrix's singular values, so that one value suits a hundred interactions and a
        hundred million. The penalty in force is the attribute `penalty`, in the units of the paper and of implicit.
    alpha: the confidence in an interaction of average weight; what was not seen has confidence 1.
    iterations: passes over users and items.
    weighting: "weights" takes the interactions' weights (ratings, counts), divided by their mean; "binary" does not.
    seed: of the random start; the same seed gives the same factors, on any number of threads.

    The defaults were tuned on the last fifth of each user's training history (by time) of ml-latest-small:
    `python -m benchmarks.tune_models als`. A regularization of 0.5 is as good there, but leaves little more than
    popularity of a set ten times as dense; 0.35 suits both.
    """

    factors: int = field(default=64, metadata=within(1, 4096))
    regularization: float = field(default=0.35, metadata=within(above=0))
    alpha: float = field(default=2.0, metadata=within(above=0))
    iterations: int = field(default=15, metadata=within(1, 10_000))
    weighting: str = field(default="weights", metadata=one_of("weights", "binary"))
    seed: int = field(default=0, metadata=within(0, 2**32 - 1))


class ALS(FactorModel):
    """Users and items as vectors whose dot product says how sure we are of a liking.

    After the last pass every user vector is solved for exactly, from the final item factors: so a user of the
    training data and somebody folded in with the same history get the same vector. An item nobody has touched is
    never recommended.
    """

    kind: ClassVar[str] = "als"
    Params: ClassVar[type[ALSParams]] = ALSParams
    params: ALSParams

    penalty: float
    """The regularization in force."""

    def _fit(self, interactions: Interactions, items: Items, users: Users | None) -> None:
        from implicit.cpu.als import AlternatingLeastSquares
        from implicit.recommender_base import ModelFitError

        matrix = interactions.matrix(binary=self.params.weighting == "binary")
        if matrix.nnz == 0:
            raise SchemaError("no interaction has a weight above zero.", where="interactions")
        self.usual_weight = float(matrix.data.mean(dtype=np.float64))  # large weights would overflow
        per_user = matrix.nnz / np.count_nonzero(np.diff(matrix.indptr))
        per_item = matrix.nnz / len(np.unique(matrix.indices))
        self.penalty = self.params.regularization * math.sqrt(per_user * per_item)
        confidence = self._confidence(matrix)
        with threadpool_limits(1, "blas"):  # implicit's own threads already use the cores
            engine = AlternatingLeastSquares(
                factors=self.params.factors,
                regularization=self.penalty,
                alpha=1.0,
                dtype=np.float32,
                iterations=self.params.iterations,
                random_state=self.params.seed,
            )
            try:
                engine.fit(confidence, show_progress=False)
            except ModelFitError:
                raise self._not_finite() from None
        touched = np.bincount(matrix.indices, minlength=len(self.items)) > 0
        self.item_factors = np.ascontiguousarray(engine.item_factors * touched[:, None], dtype=np.float32)
        try:
            self.user_factors = self._solve(confidence, confidence.data)
        except np.linalg.LinAlgError:
            raise self._not_finite() from None
        if not np.isfinite(self.user_factors).all():
            raise self._not_finite()

    def _not_finite(self) -> ParameterError:
        return ParameterError(
            f"with regularization {self.params.regularization:g} and alpha {self.params.alpha:g} the factors "
            "are not finite numbers.",
            where=self.kind,
            hint="Take both nearer to their defaults.",
        )

    def _confidence(self, matrix: sparse.csr_matrix) -> sparse.csr_matrix:
        """Weights as confidences: `alpha` for the average one."""
        return sparse.csr_matrix((self._sureness(matrix.data), matrix.indices, matrix.indptr), shape=matrix.shape)

    def _sureness(self, weights: Floats) -> Floats:
        shares = np.ones_like(weights) if self.params.weighting == "binary" else weights / self.usual_weight
        return (np.float32(self.params.alpha) * shares).astype(np.float32)

    @cached_property
    def _gram(self) -> Floats:
        """`Y'Y + penalty * I`, `(factors, factors)`."""
        gram: Floats = self.item_factors.T @ self.item_factors
        return gram + np.float32(self.penalty) * np.eye(self.params.factors, dtype=np.float32)

    def _solve(self, rows: sparse.csr_matrix, confidence: Floats) -> Floats:
        """The least-squares vector of each row, `(n, factors)`: equation 4 of the paper, exactly.

        x = (Y'Y + penalty I + Y'(C - I)Y)^-1 Y'C 1, with C the row's confidences (those of the entries of `rows`, in
        their order) and Y the item factors.
        """
        n, factors = rows.shape[0], self.params.factors
        solved = np.zeros((n, factors), dtype=np.float32)
        # Many small products, in which threads only get in each other's way; for a request the call costs too much.
        with threadpool_limits(1, "blas") if n > _FEW else nullcontext():
            for start in range(0, n, _SOLVED_AT_ONCE):
                part = range(start, min(start + _SOLVED_AT_ONCE, n))
                left = np.repeat(self._gram[None], len(part), axis=0)
                right = np.empty((len(part), factors, 1), np.float32)
                for at, row in enumerate(part):
                    held = slice(rows.indptr[row], rows.indptr[row + 1])
                    theirs, sure = self.item_factors[rows.indices[held]], confidence[held]
                    left[at] += (theirs.T * (sure - 1)) @ theirs
                    right[at, :, 0] = sure @ theirs
                solved[start : part.stop] = np.linalg.solve(left, right)[:, :, 0]
        return solved

    @cached_property
    def _inverse(self) -> npt.NDArray[np.float64]:
        """`(Y'Y + penalty * I)^-1`, `(factors, factors) float64`."""
        inverse: npt.NDArray[np.float64] = np.linalg.inv(self._gram.astype(np.float64)).astype(np.float64, copy=False)
        return inverse

    def _fold(self, histories: sparse.csr_matrix) -> Vectors:
        confidence = self._sureness(histories.data)
        if histories.shape[0] == 1 and histories.nnz <= self.params.factors // 2:
            from palate.kernels.fold_loops import solve_short

            return (solve_short(histories.indices, confidence, self.item_factors, self._inverse)[None],)
        return (self._solve(histories, confidence),)

    def _state(self) -> Arrays:
        return Arrays(
            {"penalty": self.penalty, "usual_weight": self.usual_weight},
            {"user_factors": self.user_factors, "item_factors": self.item_factors},
        )

    def _restore(self, state: Arrays) -> None:
        self.penalty, self.usual_weight = float(state.params["penalty"]), float(state.params["usual_weight"])
        self.user_factors, self.item_factors = state.arrays["user_factors"], state.arrays["item_factors"]
