"""Matrix factorization by mini-batches as a model that ranks items: torch or MXNet trains it, NumPy serves it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from scipy import sparse

from palate.dataset.ids import Codes
from palate.dataset.schema import Interactions, Items, Users
from palate.engines import ENGINES
from palate.kernels.logistic import draw_pool, users_of
from palate.models.epochs import Parameters
from palate.models.mf.batches import Batches
from palate.models.mf.definition import NETWORKS, OBJECTIVES, USER_TABLES, Definition
from palate.models.mf.training import train
from palate.models.params import ModelParams, one_of, within
from palate.models.protocol import Arrays, Capability, Context, Floats, Recommender, Vectors
from palate.models.ratings import Scale, rating_matrix


@dataclass(frozen=True)
class MFParams(ModelParams):
    """Parameters of MF.

    network: "linear", a dot product with biases; "neural", NeuMF.
    engine: "torch", "mxnet", or "auto": torch if it is installed, else mxnet.
    objective: "negatives" learns what is touched against items drawn at random; "ratings" learns the weights.
    factors: width of the embeddings.
    layers: hidden layers of the neural network, each half as wide as the one before.
    negatives: so many items are drawn against each interaction.
    regularization: the penalty on the squared rows of a batch.
    learning_rate: of Adam, in the first epoch; it falls linearly.
    batch_size: interactions per step, at most a tenth of those there are.
    epochs: passes over the interactions.
    seed: of the start, the order and the negatives, which are the same for both engines.

    The defaults were tuned on validation data cut from the training part of ml-latest-small:
    `python -m benchmarks.tune_models mf`.
    """

    network: str = field(default="linear", metadata=one_of(*NETWORKS))
    engine: str = field(default="auto", metadata=one_of("auto", *ENGINES))
    objective: str = field(default="negatives", metadata=one_of(*OBJECTIVES))
    factors: int = field(default=64, metadata=within(1, 4096))
    layers: int = field(default=2, metadata=within(1, 8))
    negatives: int = field(default=8, metadata=within(1, 1000))
    regularization: float = field(default=0.05, metadata=within(above=0))
    learning_rate: float = field(default=0.01, metadata=within(above=0))
    batch_size: int = field(default=4096, metadata=within(1, 1 << 22))
    epochs: int = field(default=20, metadata=within(1, 100_000))
    seed: int = field(default=0, metadata=within(0, 2**32 - 1))


class MF(Recommender):
    """`palate.models.mf.definition` says what the scores are and what is minimised.

    Of the linear network every user's vector is solved for at the end, from the final items, by the user's part of the
    same objective: so a user of the training data and somebody folded in with the same history get the same vector.
    The neural network has no such part of its own: it ranks for the users it was trained with and nobody else.
    """

    kind: ClassVar[str] = "mf"
    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {Capability.PERSONAL, Capability.FOLD_IN_USERS, Capability.SIMILAR_ITEMS}
    )
    Params: ClassVar[type[MFParams]] = MFParams
    params: MFParams

    parameters: Parameters
    """Of the definition; of items that nobody touched they are as they were drawn, and not used."""
    training: dict[str, Any]
    """How it went: `engine`, `device`, the `losses` of the epochs, and `diverged`, the epoch that did, or None."""

    def __init__(self, params: Any = None, /, **values: Any) -> None:
        super().__init__(params, **values)
        if self.params.network == "neural":
            self.capabilities = self.capabilities - {Capability.FOLD_IN_USERS}  # type: ignore[misc]

    def _fit(self, interactions: Interactions, items: Items, users: Users | None) -> None:
        params, rated = self.params, self.params.objective == "ratings"
        matrix = rating_matrix(interactions) if rated else self.seen
        self.scale = Scale.of(matrix)
        self.usual_weight = self.scale.mean
        rng = np.random.default_rng(params.seed)
        known = np.flatnonzero(self.popularity).astype(np.int32)
        rows = np.repeat(np.arange(len(self.users), dtype=np.int32), np.diff(matrix.indptr))
        batches = Batches(
            rows, matrix.indices, matrix.data if rated else None, known, params.negatives, self._batch_size, rng
        )
        start = self.definition.start(len(self.users), len(self.items), rng)
        trained = train(self.definition, params.engine, start, batches)
        self.training = {
            "engine": trained.engine,
            "device": trained.device,
            "losses": list(trained.losses),
            "diverged": trained.diverged,
        }
        self.parameters = trained.parameters
        self.pool = draw_pool((self.popularity > 0).astype(np.float32), params.seed)
        if params.network == "linear":
            solved = self._solve(matrix)
            self.parameters |= {"user_factors": solved[:, :-1], "user_bias": solved[:, -1:]}

    @property
    def _batch_size(self) -> int:
        return max(1, min(self.params.batch_size, int(self.seen.nnz) // 10))

    @cached_property
    def definition(self) -> Definition:
        """What is trained."""
        params = self.params
        rated = params.objective == "ratings"
        return Definition(
            network=params.network,
            objective=params.objective,
            factors=params.factors,
            layers=params.layers,
            negatives=0 if rated else params.negatives,
            regularization=params.regularization,
            learning_rate=params.learning_rate,
            batch_size=self._batch_size,
            epochs=params.epochs,
            offset=self.scale.mean if rated else -float(np.log(params.negatives)),
        )

    # -- users -----------------------------------------------------------------------------------------------------

    def _solve(self, histories: sparse.csr_matrix) -> Floats:
        """Factors and bias of users by their histories, `(n, factors + 1)`; zeros for an empty one."""
        held, params = self.parameters, self.params
        rows = np.concatenate([held["item_factors"], np.ones_like(held["item_bias"])], axis=1)
        offsets = held["item_bias"][:, 0] + np.float32(self.definition.offset)
        # The loss of each interaction brings a penalty of its own.
        ridges = 2 * params.regularization * np.maximum(np.diff(histories.indptr), 1)
        if params.objective == "negatives":
            return users_of(
                histories, rows, offsets, self.pool, negatives=params.negatives, ridges=ridges.astype(np.float32)
            )
        solved = np.zeros((histories.shape[0], rows.shape[1]), np.float32)
        for user, (start, stop) in enumerate(pairwise(histories.indptr)):
            codes = histories.indices[start:stop]
            if len(codes):
                mine = rows[codes].astype(np.float64)
                wanted = self.scale.clip(histories.data[start:stop]) - offsets[codes]
                left = 2 * mine.T @ mine + ridges[user] * np.eye(mine.shape[1])
                solved[user] = np.linalg.solve(left, 2 * mine.T @ wanted)
        return solved

    def _user_vectors(self, codes: Codes) -> Vectors:
        known = (codes >= 0) & (np.diff(self.seen.indptr)[codes] > 0)
        rows = [self.parameters[name][codes] for name in USER_TABLES if name in self.parameters]
        return *rows, known.astype(np.float32)

    def _fold(self, histories: sparse.csr_matrix) -> Vectors:
        held = self.popularity[histories.indices] > 0  # nothing was learned of the others
        starts = np.concatenate([[0], np.cumsum(held)])[histories.indptr]
        values = histories.data[held] if self.params.objective == "ratings" else np.ones(held.sum(), np.float32)
        solved = self._solve(sparse.csr_matrix((values, histories.indices[held], starts), shape=histories.shape))
        return solved[:, :-1], solved[:, -1:], (np.diff(starts) > 0).astype(np.float32)

    # -- scores ----------------------------------------------------------------------------------------------------

    def _score(self, vectors: Vectors, contexts: Sequence[Context]) -> tuple[Floats, npt.NDArray[np.bool_]]:
        *rows, known = vectors
        names = [name for name in USER_TABLES if name in self.parameters]
        scores = self.definition.scores(dict(zip(names, rows, strict=True)), self.parameters)
        scores[:, self.popularity == 0] = -np.inf
        return scores, np.asarray(known) > 0

    def _similar(self, codes: Codes) -> Floats:
        directions = self._directions
        scores: Floats = directions[codes] @ directions.T
        untouched = self.popularity == 0
        scores[:, untouched] = -np.inf
        scores[untouched[codes]] = -np.inf
        return scores

    @cached_property
    def _directions(self) -> Floats:
        """Item factors of length one, those of both parts of a neural network side by side."""
        held = self.parameters
        factors = np.concatenate([held[name] for name in ("item_factors", "item_inputs") if name in held], axis=1)
        lengths = np.linalg.norm(factors, axis=1, keepdims=True)
        directions: Floats = factors / np.where(lengths == 0, 1, lengths)
        return directions

    # -- as arrays -------------------------------------------------------------------------------------------------

    def _state(self) -> Arrays:
        facts = {"training": self.training, "scale": asdict(self.scale)}
        return Arrays(facts, {**self.parameters, "pool": self.pool})

    def _restore(self, state: Arrays) -> None:
        self.scale, self.training = Scale(**state.params["scale"]), dict(state.params["training"])
        self.usual_weight = self.scale.mean
        held = dict(state.arrays)
        held.pop("seen")
        self.pool = held.pop("pool")
        self.parameters = held
