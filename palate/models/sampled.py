"""What factor models share that learn from what was touched against a sample of what was not."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from palate.dataset.ids import Codes
from palate.errors import ParameterError
from palate.kernels.logistic import draw_pool, users_of
from palate.models.factorization import FactorModel
from palate.models.protocol import Arrays, Context, Floats, Vectors


class SampledFactorModel(FactorModel):
    """Scores are the dot product of a user's and an item's factors plus the item's bias.

    However the items' factors came about, the users' are then solved for, each from the own history against a pool of
    items that stands for the rest: so a user of the training data and somebody folded in with the same history get the
    same vector. Subclasses implement `_solve`, and call `_settle` at the end of `_fit`.
    """

    item_bias: Floats
    """`(n_items,) float32`."""
    pool: Codes
    """Items that stand for what a user has not touched, `(n_pool,)`."""

    @abstractmethod
    def _solve(self, histories: sparse.csr_matrix) -> Floats:
        """The vector of each row of histories `(n, n_items)`, weighted as the training data was."""

    def _weighed(self, matrix: sparse.csr_matrix) -> sparse.csr_matrix:
        """Histories as the model counts them: all items alike, unless it says otherwise."""
        alike = np.ones(matrix.nnz, np.float32)
        return sparse.csr_matrix((alike, matrix.indices, matrix.indptr), shape=matrix.shape)

    def _settle(self, histories: sparse.csr_matrix, item_factors: Floats, item_bias: Floats, chances: Floats) -> None:
        """Takes the trained items, forgets those that nobody touched, and solves for the users.

        chances: in proportion to which the pool is drawn, `(n_items,)`. Raises ParameterError for factors that are not
        finite numbers.
        """
        touched = np.bincount(histories.indices, minlength=histories.shape[1]) > 0
        self.item_factors = np.ascontiguousarray(item_factors * touched[:, None], dtype=np.float32)
        self.item_bias = np.asarray(item_bias * touched, dtype=np.float32)
        self.pool = draw_pool(chances * touched, self.params.seed)
        if np.isfinite(self.item_factors).all() and np.isfinite(self.item_bias).all():
            self.user_factors = self._solve(histories)
            if np.isfinite(self.user_factors).all():
                return
        raise self._diverged()

    def _items_of(self, engine: Any, matrix: sparse.csr_matrix) -> Floats:
        """What a model of the implicit library learned of the items from the matrix, as the library keeps it."""
        from implicit.recommender_base import ModelFitError

        try:
            engine.fit(matrix, show_progress=False)
        except ModelFitError:
            raise self._diverged() from None
        return np.asarray(engine.item_factors)

    def _diverged(self) -> ParameterError:
        return ParameterError(
            "training diverged: the factors are not finite numbers.",
            where=self.kind,
            hint="Take a smaller learning_rate, or a regularization nearer to its default.",
        )

    def _pooled(
        self, histories: sparse.csr_matrix, negatives: int, ridges: npt.NDArray[np.floating], *, pairwise: bool = False
    ) -> Floats:
        """`palate.kernels.logistic.users_of` with this model's items."""
        return users_of(
            histories,
            self.item_factors,
            self.item_bias,
            self.pool,
            negatives=negatives,
            ridges=ridges.astype(np.float32),
            pairwise=pairwise,
        )

    def _fold(self, histories: sparse.csr_matrix) -> Vectors:
        known = histories.copy()
        known.data = known.data * ~np.isin(known.indices, self._untouched)  # of which nothing was learned
        known.eliminate_zeros()
        return (self._solve(self._weighed(known)),)

    def _score(self, vectors: Vectors, contexts: Sequence[Context]) -> tuple[Floats, npt.NDArray[np.bool_]]:
        scores, personal = super()._score(vectors, contexts)
        return scores + self.item_bias, personal

    def _queries(self, users: Floats) -> Floats:
        return np.concatenate([users, np.ones((len(users), 1), np.float32)], axis=1)

    def _item_rows(self, codes: Codes | slice) -> Floats:
        return np.concatenate([self.item_factors[codes], self.item_bias[codes, None]], axis=1)

    @cached_property
    def _untouched(self) -> npt.NDArray[np.intp]:
        return np.flatnonzero(~self.item_factors.any(axis=1) & (self.item_bias == 0))

    @property
    def _alike(self) -> Floats:
        """Without what stands beside a user's bias."""
        return self.item_factors[:, : self.params.factors]

    def _state(self) -> Arrays:
        return Arrays(
            {"usual_weight": self.usual_weight},
            {
                "user_factors": self.user_factors,
                "item_factors": self.item_factors,
                "item_bias": self.item_bias,
                "pool": self.pool,
            },
        )

    def _restore(self, state: Arrays) -> None:
        self.usual_weight, held = float(state.params["usual_weight"]), state.arrays
        self.user_factors, self.item_factors = held["user_factors"], held["item_factors"]
        self.item_bias, self.pool = held["item_bias"], held["pool"]
