"""Matrix factorization that learns to rank pairs of items, its items trained by the implicit library.

Rendle, Freudenthaler, Gantner and Schmidt-Thieme, "BPR: Bayesian Personalized Ranking from Implicit Feedback",
UAI 2009.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from scipy import sparse

from palate.dataset.schema import Interactions, Items, Users
from palate.models.params import ModelParams, within
from palate.models.protocol import Floats
from palate.models.sampled import SampledFactorModel

_PAIRS = 8
"""Items that each item of a history is compared with when a user is solved for."""


@dataclass(frozen=True)
class BPRParams(ModelParams):
    """Parameters of BPR.

    factors: width of the embeddings.
    learning_rate: of stochastic gradient descent.
    regularization: the penalty on squared factors, for each pair they occur in, while the items are trained.
    user_regularization: the same, when the users are solved for from the final items: a history says less about its
        user than descent, which stops early, makes of it.
    iterations: passes over the interactions.
    seed: of the start and of the sampled pairs; the same seed gives the same factors (which is why one thread trains).

    The defaults were tuned on validation data cut from the training part of ml-latest-small:
    `python -m benchmarks.tune_models bpr`.
    """

    factors: int = field(default=64, metadata=within(1, 4096))
    learning_rate: float = field(default=0.02, metadata=within(above=0))
    regularization: float = field(default=0.03, metadata=within(above=0))
    user_regularization: float = field(default=0.2, metadata=within(above=0))
    iterations: int = field(default=200, metadata=within(1, 100_000))
    seed: int = field(default=0, metadata=within(0, 2**32 - 1))


class BPR(SampledFactorModel):
    """What a user touched is to score above what the user did not: the logistic loss of the difference.

    The items to compare with are drawn by popularity, as the library draws them. Weights of interactions don't count.
    """

    kind: ClassVar[str] = "bpr"
    Params: ClassVar[type[BPRParams]] = BPRParams
    params: BPRParams

    def _fit(self, interactions: Interactions, items: Items, users: Users | None) -> None:
        from implicit.cpu.bpr import BayesianPersonalizedRanking

        params = self.params
        engine = BayesianPersonalizedRanking(
            factors=params.factors,
            learning_rate=params.learning_rate,
            regularization=params.regularization,
            dtype=np.float32,
            iterations=params.iterations,
            verify_negative_samples=True,
            num_threads=1,
            random_state=params.seed,
        )
        # The library keeps the items' bias in a last column, beside which users have a 1.
        factors = self._items_of(engine, self.seen)
        self._settle(self.seen, factors[:, :-1], factors[:, -1], self.popularity)

    def _solve(self, histories: sparse.csr_matrix) -> Floats:
        ridges = self.params.user_regularization * np.maximum(np.diff(histories.indptr), 1)
        return self._pooled(histories, _PAIRS, ridges, pairwise=True)
