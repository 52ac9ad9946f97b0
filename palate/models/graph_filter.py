"""Low-pass filtering of a user's history over the graph of users and items, in closed form.

Shen and others, "How Powerful is Graph Convolution for Recommendation?", CIKM 2021 (GF-CF).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from scipy import sparse
from threadpoolctl import threadpool_limits

from palate.kernels.sparse_products import gram_product
from palate.models.histories import WEIGHTINGS, HistoryRecommender
from palate.models.params import ModelParams, one_of, within
from palate.models.protocol import Floats


@dataclass(frozen=True)
class GraphFilterParams(ModelParams):
    """Parameters of GraphFilter.

    factors: how many singular vectors the ideal low-pass filter lets through.
    alpha: its weight beside propagation to neighbours; 0 leaves it out.
    user_power, item_power: each interaction is divided by the length of its user's history and by its item's number of
        users to these powers; 0.5 and 0.5 in the paper. A larger `item_power` holds popular items back.
    weighting: "binary" counts each item of a history alike; "weights" takes the interactions' weights (ratings,
        counts), divided by their mean.
    recency: when a user is scored, each item of the history counts (1 + k)^-recency, k being how much came after it:
        0 counts all alike; near 0.5 where people's next items resemble their last ones.
    iterations: power iterations of the randomized decomposition: more are nearer to the exact one.
    seed: of the randomized decomposition.

    The defaults were tuned on validation data cut from the training part of ml-latest-small:
    `python -m benchmarks.tune_models graph-filter`.
    """

    factors: int = field(default=128, metadata=within(1, 4096))
    alpha: float = field(default=0.3, metadata=within(0))
    user_power: float = field(default=0.3, metadata=within(0, 1))
    item_power: float = field(default=0.5, metadata=within(0, 1))
    weighting: str = field(default="weights", metadata=one_of(*WEIGHTINGS))
    recency: float = field(default=0.0, metadata=within(0, 3))
    iterations: int = field(default=4, metadata=within(1, 100))
    seed: int = field(default=0, metadata=within(0, 2**32 - 1))


class GraphFilter(HistoryRecommender):
    """The score of the items for a history r is r (R'R + alpha D^-p V V' D^p).

    R is the matrix of interactions, normalised; V its leading right singular vectors, D the diagonal of the items'
    numbers of users and p `item_power` (equations 17 and 18 of the paper). R'R is never formed: a history is taken to
    the users who share items with it, and on to what they touched. So memory grows with the interactions and with
    items by factors, not with items by items.
    """

    kind: ClassVar[str] = "graph-filter"
    Params: ClassVar[type[GraphFilterParams]] = GraphFilterParams
    params: GraphFilterParams

    axes: Floats
    """V, `(n_touched, factors) float32`."""

    def _learn(self) -> None:
        from sklearn.utils.extmath import randomized_svd

        by_user, _ = self._graph
        width = min(self.params.factors, *by_user.shape)
        if self.params.alpha == 0:
            self.axes = np.zeros((by_user.shape[1], 0), np.float32)
            return
        with threadpool_limits(1, "blas"):  # on a busy machine two threads took ten times as long
            _, _, rows = randomized_svd(by_user, width, n_iter=self.params.iterations, random_state=self.params.seed)
        self.axes = np.ascontiguousarray(rows.T, dtype=np.float32)

    @cached_property
    def _graph(self) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
        """R and its transpose."""
        held = self.histories
        lengths = np.repeat(np.diff(held.indptr), np.diff(held.indptr)).astype(np.float64)
        data = (
            held.data * lengths**-self.params.user_power * self._popularities[held.indices] ** -self.params.item_power
        )
        by_user = sparse.csr_matrix((data.astype(np.float32), held.indices, held.indptr), shape=held.shape)
        return by_user, sparse.csr_matrix(by_user.T)

    @cached_property
    def _popularities(self) -> npt.NDArray[np.float64]:
        return np.bincount(self.histories.indices, minlength=len(self.touched)).astype(np.float64)

    @cached_property
    def _passage(self) -> tuple[Floats, Floats]:
        """D^-p V, `(n_touched, factors)`, and alpha V' D^p."""
        spread = (self._popularities**self.params.item_power).astype(np.float32)
        return self.axes / spread[:, None], np.float32(self.params.alpha) * self.axes.T * spread

    def _scores(self, histories: sparse.csr_matrix) -> tuple[Floats, npt.NDArray[np.bool_]]:
        by_user, by_item = self._graph
        scores = gram_product(histories, by_item, by_user)
        if self.params.alpha > 0:
            into, out_of = self._passage
            scores += (histories @ into) @ out_of
        return scores, np.ones(len(scores), dtype=bool)

    def _learned(self) -> dict[str, Any]:
        return {"axes": self.axes}

    def _relearn(self, arrays: Any) -> None:
        self.axes = arrays["axes"]
