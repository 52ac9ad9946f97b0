"""Items like those of the history: item-based nearest neighbours.

Deshpande and Karypis, "Item-Based Top-N Recommendation Algorithms", ACM Transactions on Information Systems 22, 2004.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from scipy import sparse

from palate.dataset.ids import Codes
from palate.kernels.neighbours import as_matrix, nearest
from palate.kernels.sparse_products import dense_product
from palate.models.histories import HistoryRecommender
from palate.models.neighbours import SIMILARITIES, NeighbourParams, Weigher, by_popularity
from palate.models.params import one_of, within
from palate.models.protocol import Floats


@dataclass(frozen=True)
class ItemKNNParams(NeighbourParams):
    """As NeighbourParams has them.

    The defaults were tuned on validation data cut from the training part of ml-latest-small:
    `python -m benchmarks.tune_models item-knn`.
    """

    neighbours: int = field(default=300, metadata=within(1, 100_000))
    similarity: str = field(default="tf-idf", metadata=one_of(*SIMILARITIES))
    shrinkage: float = field(default=3.0, metadata=within(0))


class ItemKNN(HistoryRecommender):
    """The score of an item is the sum of the similarities with which items of the history have it among their nearest.

    Items are compared by who touched them. What none of them has among its neighbours follows by popularity, with
    scores below 0. Similar items are the neighbours.
    """

    kind: ClassVar[str] = "item-knn"
    Params: ClassVar[type[ItemKNNParams]] = ItemKNNParams
    params: ItemKNNParams

    similarities: sparse.csr_matrix
    """`(n_touched, n_touched) float32`: each row's nearest, itself left out."""

    def _learn(self) -> None:
        params = self.params
        by_item = sparse.csr_matrix(self.histories.T)
        weighed = Weigher.of(by_item, params).weigh(by_item)
        found = nearest(weighed, weighed, params.neighbours, params.measure, params.shrinkage, itself=False)
        self.similarities = as_matrix(*found, len(self.touched))

    def _scores(self, histories: sparse.csr_matrix) -> tuple[Floats, npt.NDArray[np.bool_]]:
        scores = dense_product(histories, self.similarities)
        return scores, by_popularity(scores, self.popularity[self.touched])

    def _likeness(self, columns: Codes) -> Floats:
        found = np.asarray(self.similarities[columns].toarray())
        found[found == 0] = -np.inf
        return found

    def _learned(self) -> dict[str, Any]:
        return {"similarities": self.similarities}

    def _relearn(self, arrays: Any) -> None:
        self.similarities = arrays["similarities"]
