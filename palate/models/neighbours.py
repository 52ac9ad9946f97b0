"""What the neighbourhood models share: how entries are weighed before rows are compared, and how little is filled."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy import sparse

from palate.kernels.rows import filled
from palate.models.histories import WEIGHTINGS
from palate.models.params import ModelParams, one_of, within
from palate.models.protocol import Floats

SIMILARITIES = ("cosine", "jaccard", "tf-idf", "bm25")


@dataclass(frozen=True)
class NeighbourParams(ModelParams):
    """Parameters of ItemKNN and UserKNN.

    neighbours: how many are kept.
    similarity: "cosine"; "jaccard", of the sets of who touched what; "tf-idf", the cosine where columns that many have
        count less; "bm25", the dot product of entries weighed as Okapi BM25 weighs words in documents.
    shrinkage: a similarity that rests on c common entries is multiplied by c / (c + shrinkage).
    bm25_k1, bm25_b: BM25's saturation of repeated entries, and how much long rows are held back.
    weighting: "binary" counts each item of a history alike; "weights" takes the interactions' weights (ratings,
        counts), divided by their mean.
    recency: when a user is scored, each item of the history counts (1 + k)^-recency, k being how much came after it:
        0 counts all alike; near 0.5 where people's next items resemble their last ones.
    """

    neighbours: int = field(default=100, metadata=within(1, 100_000))
    similarity: str = field(default="cosine", metadata=one_of(*SIMILARITIES))
    shrinkage: float = field(default=0.0, metadata=within(0))
    bm25_k1: float = field(default=10.0, metadata=within(0))
    bm25_b: float = field(default=0.5, metadata=within(0, 1))
    weighting: str = field(default="weights", metadata=one_of(*WEIGHTINGS))
    recency: float = field(default=0.0, metadata=within(0, 3))

    @property
    def measure(self) -> str:
        """How weighed rows are compared: a measure of `palate.kernels.neighbours`."""
        return {"tf-idf": "cosine", "bm25": "dot"}.get(self.similarity, self.similarity)


@dataclass(frozen=True)
class Weigher:
    """Weighs the entries of rows by how rare their columns are, as words in documents are weighed.

    idf: `(n_columns,) float32`, the log of the inverse share of rows that have the column. mean: of the rows' sums.

    Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009.
    """

    params: NeighbourParams
    idf: Floats
    mean: float

    @classmethod
    def of(cls, rows: sparse.csr_matrix, params: NeighbourParams) -> Self:
        counts = np.bincount(rows.indices, minlength=rows.shape[1])
        # A column that all rows have still counts a little: rows of nothing else would have no neighbours.
        idf = np.log((1.0 + rows.shape[0]) / (1.0 + counts)) + 1.0
        return cls(params, idf.astype(np.float32), float(rows.data.sum(dtype=np.float64)) / max(1, rows.shape[0]))

    def weigh(self, rows: sparse.csr_matrix) -> sparse.csr_matrix:
        """Other rows over the same columns, or the same ones, weighed."""
        data: Any = rows.data
        if self.params.similarity == "tf-idf":
            data = np.sqrt(data) * self.idf[rows.indices]
        elif self.params.similarity == "bm25":
            of_row = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))
            lengths = np.bincount(of_row, data, rows.shape[0]) / self.mean
            held_back = 1.0 - self.params.bm25_b + self.params.bm25_b * lengths[of_row]
            k1 = self.params.bm25_k1
            data = data * (k1 + 1) / (k1 * held_back + data) * self.idf[rows.indices]
        return sparse.csr_matrix((data.astype(np.float32), rows.indices, rows.indptr), shape=rows.shape)


def by_popularity(scores: Floats, counts: Floats) -> npt.NDArray[np.bool_]:
    """Scores, in place, where 0 says that nothing is known: those come last, by popularity, from -1 to 0. Tells of
    which rows anything is known."""
    standing = counts / np.float32(counts.max() + 1) - np.float32(1)
    return filled(scores, standing.astype(np.float32, copy=False))
