"""EASE for large catalogues: each item learns weights from its nearest items only.

The support of each column is fixed beforehand, as feature selection does in Ning and Karypis, "SLIM: Sparse Linear
Methods for Top-N Recommender Systems", ICDM 2011; and its weights come from a small block of a thresholded matrix X'X,
as in Steck, "Markov Random Fields for Collaborative Filtering", NeurIPS 2019.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from scipy import sparse
from threadpoolctl import threadpool_limits

from palate.dataset.ids import Codes
from palate.errors import ParameterError
from palate.kernels.neighbours import nearest
from palate.kernels.sparse_products import dense_product
from palate.kernels.threads import in_threads
from palate.models.ease import EASEParams, normalise
from palate.models.histories import HistoryRecommender
from palate.models.params import within
from palate.models.protocol import Floats

_SOLVED_AT_ONCE = 64


@dataclass(frozen=True)
class SparseEASEParams(EASEParams):
    """Parameters of SparseEASE, beside those of EASE.

    neighbours: so many items have a weight for each item: those nearest by the cosine.
    known: so many products with other items are known of each item, the ones of the largest cosine; other products
        count as 0. At least `neighbours`. Memory is 8 bytes for each.
    """

    neighbours: int = field(default=100, metadata=within(1, 4096))
    known: int = field(default=1000, metadata=within(1, 100_000))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.known < self.neighbours:
            raise ParameterError(f"it must be at least neighbours, {self.neighbours}, not {self.known}.", where="known")


class SparseEASE(HistoryRecommender):
    """As EASE, but of an item's weights all are 0 except those from its `neighbours` nearest items.

    Those are the ridge regression of the item's column of X on theirs, which is what EASE's weights are where all
    other items are neighbours. Memory and time grow with items by neighbours, not with items by items.
    """

    kind: ClassVar[str] = "sparse-ease"
    Params: ClassVar[type[SparseEASEParams]] = SparseEASEParams
    params: SparseEASEParams

    weights: sparse.csr_matrix
    """`(n_touched, n_touched) float32`: from the item of the row to the item of the column."""
    penalty: float
    """The regularization in force, in the units of the paper."""

    def _learn(self) -> None:
        n = len(self.touched)
        normalised, scale, spread = normalise(self.histories, self.params)
        self.penalty = self.params.regularization * float(np.mean(np.square(normalised.data), dtype=np.float64))
        by_item = sparse.csr_matrix(normalised.T)
        known = max(1, min(self.params.known, n - 1))
        near, cosines = nearest(by_item, by_item, known, itself=False, by_column=normalised)
        squares = np.bincount(normalised.indices, normalised.data.astype(np.float64) ** 2, n)
        products = _products(near, cosines, np.sqrt(squares).astype(np.float32))
        diagonal = (squares + self.penalty).astype(np.float32)
        chosen = near[:, : min(self.params.neighbours, known)]
        found = _regress(near, products, diagonal, chosen) * scale[chosen] * spread[:, None]
        held = chosen >= 0
        starts = np.concatenate([[0], np.cumsum(held.sum(axis=1))])
        by_target = sparse.csr_matrix((found[held], chosen[held], starts), shape=(n, n))
        self.weights = sparse.csr_matrix(by_target.T)

    def _scores(self, histories: sparse.csr_matrix) -> tuple[Floats, npt.NDArray[np.bool_]]:
        scores = dense_product(histories, self.weights)
        return scores, np.asarray(scores.any(axis=1))

    def _learned(self) -> dict[str, Any]:
        return {"weights": self.weights}

    def _relearn(self, arrays: Any) -> None:
        self.weights = arrays["weights"]


def _products(near: Codes, cosines: Floats, lengths: Floats) -> Floats:
    """Cosines, in place, as dot products; 0 where there is no neighbour."""
    cosines[near < 0] = 0
    cosines *= lengths[:, None]
    for start in range(0, len(near), 1024):
        rows = slice(start, start + 1024)
        cosines[rows] *= lengths[near[rows]]
    return cosines


def _regress(near: Codes, products: Floats, diagonal: Floats, chosen: Codes) -> Floats:
    """The weights of the `chosen` items for each item, `(n, neighbours)`; 0 where there is no neighbour."""
    from palate.kernels.neighbours_loops import gather

    n, width = chosen.shape
    weights = np.zeros((n, width), np.float32)

    def work(first: int, last: int) -> None:
        places = np.full(n, -1, np.int32)
        for start in range(first, last, _SOLVED_AT_ONCE):
            rows = slice(start, min(start + _SOLVED_AT_ONCE, last))
            left = np.empty((rows.stop - start, width, width), np.float32)
            right = products[rows, :width]
            gather(near, products, diagonal, chosen[rows], places, left)
            weights[rows] = np.linalg.solve(left, right[:, :, None])[:, :, 0]

    with threadpool_limits(1, "blas"):
        in_threads(work, n)
    return weights
