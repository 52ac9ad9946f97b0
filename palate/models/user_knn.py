"""What people with a similar history liked: user-based nearest neighbours.

Herlocker, Konstan, Borchers and Riedl, "An Algorithmic Framework for Performing Collaborative Filtering", SIGIR 1999,
for interactions without ratings.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from scipy import sparse

from palate.kernels.neighbours import as_matrix, nearest
from palate.kernels.sparse_products import dense_product
from palate.models.histories import HistoryRecommender
from palate.models.neighbours import SIMILARITIES, NeighbourParams, Weigher, by_popularity
from palate.models.params import one_of, within
from palate.models.protocol import Floats


@dataclass(frozen=True)
class UserKNNParams(NeighbourParams):
    """As NeighbourParams has them.

    The defaults were tuned on validation data cut from the training part of ml-latest-small:
    `python -m benchmarks.tune_models user-knn`.
    """

    neighbours: int = field(default=30, metadata=within(1, 100_000))
    similarity: str = field(default="bm25", metadata=one_of(*SIMILARITIES))


class UserKNN(HistoryRecommender):
    """The score of an item is the sum of the similarities of the nearest users who touched it.

    Users are compared by what they touched, when they are asked for; the same history has the same neighbours, whether
    its user is known or new (who is known is a neighbour, too, which matters to what was touched only). What no
    neighbour touched follows by popularity, with scores below 0. Similar items are those that the same users touched,
    by the cosine.
    """

    kind: ClassVar[str] = "user-knn"
    Params: ClassVar[type[UserKNNParams]] = UserKNNParams
    params: UserKNNParams

    def _learn(self) -> None:
        """Neighbours are looked for when they are asked for."""

    @cached_property
    def _compared(self) -> tuple[Weigher, sparse.csr_matrix, sparse.csr_matrix]:
        """What weighs a history, all of them weighed, and that by item."""
        weigher = Weigher.of(self.histories, self.params)
        weighed = weigher.weigh(self.histories)
        return weigher, weighed, sparse.csr_matrix(weighed.T)

    def _scores(self, histories: sparse.csr_matrix) -> tuple[Floats, npt.NDArray[np.bool_]]:
        weigher, weighed, by_item = self._compared
        params = self.params
        found = nearest(
            weigher.weigh(histories), weighed, params.neighbours, params.measure, params.shrinkage, by_column=by_item
        )
        scores = dense_product(as_matrix(*found, len(self.users)), self.histories)
        by_popularity(scores, self.popularity[self.touched])
        return scores, np.ones(len(scores), dtype=bool)

    def _learned(self) -> dict[str, Any]:
        return {}

    def _relearn(self, arrays: Any) -> None:
        """Nothing beside the histories is kept."""
