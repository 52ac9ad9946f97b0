"""Two towers that meet: one reads the content of an item, the other that of a user's history and attributes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from scipy import sparse
from threadpoolctl import threadpool_limits

from palate.dataset.ids import Codes
from palate.dataset.schema import Interactions, Items, Users
from palate.engines import ENGINES, chosen_engine
from palate.errors import BundleFormatError
from palate.features import ContentEncoder
from palate.features.description import Described, Describer, encoder_params
from palate.features.encoder import EncoderParams
from palate.features.facts import Facts
from palate.models.cold.taste import aligned_users, facts_of_context, facts_of_users
from palate.models.content import BY_CONTENT, leading_axes
from palate.models.epochs import Parameters, train
from palate.models.params import one_of, within
from palate.models.protocol import Arrays, Capability, Context, Floats, Recommender, Vectors
from palate.models.two_tower.definition import Batches, Definition, tower, user_inputs
from palate.models.two_tower.engines import make_engine


@dataclass(frozen=True)
class TwoTowerParams(EncoderParams):
    """Parameters of TwoTower, beside those of its encoder.

    attributes: the weight of the items' attributes, where that of the rest of the content is 1.
    dims: axes of the latent space of the content that the towers read; fewer if the content has fewer.
    factors: width of what comes out. hidden: width of each tower's hidden layer.
    epochs, batch_size, learning_rate: of Adam; the learning rate falls to 0.
    dropout: the share of a tower's inputs that is left out at random while it is trained.
    regularization: the penalty on squared weights.
    preference_weight: stated categories or tags count like so many items in the history.
    engine: what trains: "torch", "mxnet", or "auto", the first that is installed. A trained model needs neither.
    seed: of the start, the batches and the decomposition.
    """

    attributes: float = field(default=0.7, metadata=within(0))
    dims: int = field(default=256, metadata=within(1, 4096))
    factors: int = field(default=64, metadata=within(1, 4096))
    hidden: int = field(default=128, metadata=within(1, 65_536))
    epochs: int = field(default=10, metadata=within(1, 10_000))
    batch_size: int = field(default=512, metadata=within(2, 65_536))
    learning_rate: float = field(default=0.002, metadata=within(above=0))
    dropout: float = field(default=0.3, metadata=within(0, 0.95))
    regularization: float = field(default=1e-5, metadata=within(above=0))
    preference_weight: float = field(default=2.0, metadata=within(0))
    engine: str = field(default="auto", metadata=one_of("auto", *ENGINES))
    seed: int = field(default=0, metadata=within(0, 2**32 - 1))


class TwoTower(Recommender):
    """Scores items by the product of what two towers make of contents (`palate.models.two_tower.definition`).

    The item's tower reads its description: the content on its leading axes, and its numbers. The user's reads the mean
    description of the items of the history, how many there are, and the user's attributes; while it is trained, the
    item to be found is left out of the history. There is no parameter that belongs to a single item or user, so that
    new ones are scored as those of the training data are. An item without content is never recommended.
    """

    kind: ClassVar[str] = "two-tower"
    capabilities: ClassVar[frozenset[Capability]] = BY_CONTENT
    Params: ClassVar[type[TwoTowerParams]] = TwoTowerParams
    params: TwoTowerParams

    describer: Describer
    axes: Floats
    """`(width, dims) float32`."""
    scale: float
    """What inputs are multiplied by, so that they are of the order of 1."""
    inputs: Floats
    """Of each item, `(n_items, item_inputs) float32`; zeros without content."""
    known: npt.NDArray[np.bool_]
    """Whether an item has content, `(n_items,)`."""
    parameters: Parameters
    facts: Facts
    """Of the users."""
    about: sparse.csr_matrix
    """What is known of each user of the training data, `(n_users, facts.width)`."""
    losses: tuple[float, ...]
    """The mean loss of each epoch."""

    def _fit(self, interactions: Interactions, items: Items, users: Users | None) -> None:
        params = self.params
        name = chosen_engine(self.kind, params.engine)
        rng = np.random.default_rng(params.seed)
        self.describer = Describer.fit(items, encoder_params(params), params.attributes)
        described = self.describer.describe(items)
        with threadpool_limits(1, "blas"):
            self.axes = leading_axes(described.content, params.dims, params.seed)
        self.scale = 1.0
        self.inputs = self._read(described)
        spread = float(np.sqrt(np.mean(np.square(self.inputs[described.known])))) if described.known.any() else 0.0
        self.scale = 1 / spread if spread > 0 else 1.0
        self.inputs, self.known = self._read(described), described.known
        rows = (
            [{} for _ in range(len(self.users))] if users is None else facts_of_users(aligned_users(users, self.users))
        )
        self.facts = Facts.fit(rows)
        self.about, _ = self.facts.encode(rows)
        definition = Definition(
            self.inputs.shape[1], self.inputs.shape[1] + 2 + self.facts.width, params.hidden, params.factors,
            params.regularization,
        )  # fmt: skip
        start = definition.start(rng)
        seen = sparse.csr_matrix(self.seen @ sparse.diags(self.known.astype(np.float32)))
        seen.eliminate_zeros()
        if seen.nnz == 0:
            self.parameters, self.losses = start, ()
            return
        batches = Batches(seen, self.inputs, self.about, params.batch_size, params.dropout, rng)
        engine = make_engine(name, definition, start)
        trained = train(self.kind, engine, params.epochs, params.learning_rate, batches.epoch, len(batches))
        self.parameters, self.losses = trained.parameters, trained.losses

    def _read(self, described: Described) -> Floats:
        """Descriptions as the towers read them; nothing but zeros without content."""
        numbers = described.numbers * np.float32(_NUMBERS)
        inputs = np.column_stack([described.content @ self.axes, numbers]) * np.float32(self.scale)
        return np.asarray(inputs * described.known[:, None], dtype=np.float32)

    def _user_vectors(self, codes: Codes) -> Vectors:
        sums, lengths, _ = self._fold(self._rows_seen(codes))
        about = self.about[np.maximum(codes, 0)].multiply((codes >= 0)[:, None])
        return sums, lengths, sparse.csr_matrix(about)

    def _fold(self, histories: sparse.csr_matrix) -> Vectors:
        binary = sparse.csr_matrix(histories, copy=True)
        binary.data = np.ones_like(binary.data)
        lengths = np.asarray(binary @ self.known.astype(np.float32))
        return np.asarray(binary @ self.inputs), lengths, sparse.csr_matrix((len(lengths), self.facts.width))

    def _score(self, vectors: Vectors, contexts: Sequence[Context]) -> tuple[Floats, npt.NDArray[np.bool_]]:
        sums, lengths, about = np.asarray(vectors[0]), np.asarray(vectors[1]), sparse.csr_matrix(vectors[2])
        if self.params.preference_weight > 0 and any(each.categories or each.tags for each in contexts):
            weight = np.float32(self.params.preference_weight)
            stated = self.describer.prefer([each.categories for each in contexts], [each.tags for each in contexts])
            sums, lengths = sums + weight * self._read(stated), lengths + weight * stated.known
        told, _ = self.facts.encode([facts_of_context(each) for each in contexts])
        about = about.maximum(told).toarray()
        means = sums / np.where(lengths > 0, lengths, 1)[:, None]
        users = tower(self.parameters, "user", user_inputs(means, lengths, about))
        scores = np.column_stack([users, np.ones(len(users), np.float32)]) @ self._outputs
        scores[:, ~self.known] = -np.inf
        return np.asarray(scores, np.float32), (lengths > 0) | (about.any(axis=1))

    @cached_property
    def _outputs(self) -> Floats:
        """What the items' tower makes of each, `(factors + 1, n_items)`: a single user's scores are then sums of rows,
        as fast as they come from memory."""
        return self._all_outputs()

    def _all_outputs(self) -> Floats:
        return np.ascontiguousarray(tower(self.parameters, "item", self.inputs).T)

    def _similar(self, codes: Codes) -> Floats:
        vectors = self._outputs[:-1].T
        lengths = np.maximum(np.linalg.norm(vectors, axis=1), 1e-9)
        scores: Floats = np.asarray(vectors[codes] @ vectors.T) / lengths[codes, None] / lengths
        scores[:, ~self.known] = -np.inf
        scores[~self.known[codes]] = -np.inf
        return scores

    def _extend(self, fresh: Items) -> None:
        described = self.describer.describe(fresh)
        self.inputs = np.concatenate([self.inputs, self._read(described)])
        self.known = np.concatenate([self.known, described.known])
        # All anew: a product of fewer rows rounds otherwise, and a saved model has to answer as this one. And now, not
        # when somebody asks.
        self._outputs = self._all_outputs()

    def _state(self) -> Arrays:
        params: dict[str, Any] = {
            "describer": self.describer.to_params(), "facts": self.facts.to_params(), "scale": self.scale,
            "losses": list(self.losses),
        }  # fmt: skip
        arrays = {
            "axes": self.axes, "inputs": self.inputs, "known": self.known, "about": self.about,
            "sizes": self.describer.scale, **{f"parameter_{name}": held for name, held in self.parameters.items()},
        }  # fmt: skip
        ids = {"facts": self.describer.facts.labels, "user_facts": self.facts.labels}
        return Arrays(params, arrays, ids, {"encoder": self.describer.encoder})

    def _restore(self, state: Arrays) -> None:
        encoder, params, arrays = state.parts["encoder"], state.params, state.arrays
        if not isinstance(encoder, ContentEncoder):
            raise BundleFormatError(f"its encoder must be of kind {ContentEncoder.kind}, not {encoder.kind}.")
        self.describer = Describer.from_parts(encoder, params["describer"], state.ids["facts"], arrays["sizes"])
        self.facts = Facts.from_params(params["facts"], state.ids["user_facts"])
        self.scale, self.losses = float(params["scale"]), tuple(params["losses"])
        self.axes, self.inputs = np.asarray(arrays["axes"]), np.asarray(arrays["inputs"])
        self.known, self.about = np.asarray(arrays["known"]), sparse.csr_matrix(arrays["about"])
        prefix = "parameter_"
        self.parameters = {
            name.removeprefix(prefix): np.asarray(held) for name, held in arrays.items() if name.startswith(prefix)
        }


_NUMBERS = 0.05
"""The weight of the numbers beside content of length one: each then weighs as much as one axis of many."""
