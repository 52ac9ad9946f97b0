"""Matrix factorization of the chance that a user touches an item, its items trained by the implicit library.

Johnson, "Logistic Matrix Factorization for Implicit Feedback Data", NIPS workshop on distributed machine learning and
matrix computations, 2014.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from scipy import sparse

from palate.dataset.schema import Interactions, Items, Users
from palate.errors import SchemaError
from palate.models.histories import WEIGHTINGS
from palate.models.params import ModelParams, one_of, within
from palate.models.protocol import Floats
from palate.models.sampled import SampledFactorModel


@dataclass(frozen=True)
class LogisticMFParams(ModelParams):
    """Parameters of LogisticMF.

    factors: width of the embeddings.
    learning_rate: of AdaGrad.
    regularization: the penalty on squared factors.
    iterations: passes over users and items.
    negatives: so many items are drawn, with equal chances, against each interaction.
    weighting: "binary" counts each item of a history alike; "weights" takes the interactions' weights, divided by
        their mean.
    seed: of the start and of the draws; the same seed gives the same factors (which is why one thread trains).

    The defaults were tuned on validation data cut from the training part of ml-latest-small:
    `python -m benchmarks.tune_models logistic-mf`.
    """

    factors: int = field(default=32, metadata=within(1, 4096))
    learning_rate: float = field(default=1.0, metadata=within(above=0))
    regularization: float = field(default=3.0, metadata=within(above=0))
    iterations: int = field(default=30, metadata=within(1, 100_000))
    negatives: int = field(default=30, metadata=within(1, 1000))
    weighting: str = field(default="binary", metadata=one_of(*WEIGHTINGS))
    seed: int = field(default=0, metadata=within(0, 2**32 - 1))


class LogisticMF(SampledFactorModel):
    """The log odds that a user touches an item: the dot product of their factors plus a bias of each."""

    kind: ClassVar[str] = "logistic-mf"
    Params: ClassVar[type[LogisticMFParams]] = LogisticMFParams
    params: LogisticMFParams

    def _fit(self, interactions: Interactions, items: Items, users: Users | None) -> None:
        from implicit.cpu.lmf import LogisticMatrixFactorization

        params = self.params
        matrix = self.seen if params.weighting == "binary" else interactions.matrix()
        if matrix.nnz == 0:
            raise SchemaError("no interaction has a weight above zero.", where="interactions")
        self.usual_weight = float(matrix.data.mean(dtype=np.float64))  # in float32 large weights would overflow
        weights = self._weighed(matrix)
        engine = LogisticMatrixFactorization(
            factors=params.factors,
            learning_rate=params.learning_rate,
            regularization=params.regularization,
            dtype=np.float32,
            iterations=params.iterations,
            neg_prop=params.negatives,
            num_threads=1,
            random_state=params.seed,
        )
        # The library's last two columns are the item's bias and, beside the user's bias, a 1.
        factors = self._items_of(engine, weights)
        beside = np.delete(factors, params.factors, axis=1)
        self._settle(weights, beside, factors[:, params.factors], np.ones(len(factors), np.float32))

    def _weighed(self, matrix: sparse.csr_matrix) -> sparse.csr_matrix:
        data = np.ones_like(matrix.data) if self.params.weighting == "binary" else matrix.data / self.usual_weight
        return sparse.csr_matrix((data.astype(np.float32), matrix.indices, matrix.indptr), shape=matrix.shape)

    def _solve(self, histories: sparse.csr_matrix) -> Floats:
        ridges: npt.NDArray[np.float32] = np.full(histories.shape[0], self.params.regularization, np.float32)
        return self._pooled(histories, self.params.negatives, ridges)
