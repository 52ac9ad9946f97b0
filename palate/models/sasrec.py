"""SASRec: what comes next, from what came before and in which order.

Kang and McAuley, "Self-Attentive Sequential Recommendation", ICDM 2018; trained by cross-entropy over many items, with
which it outdoes its successors (Klenitskiy and Vasilev, RecSys 2023), not by the paper's one negative for each
positive.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from scipy import sparse

from palate.dataset.schema import Interactions, Items, Users
from palate.errors import ParameterError, SchemaError
from palate.kernels.attention import Weights, encode
from palate.models.factorization import FactorModel
from palate.models.params import ModelParams, within
from palate.models.protocol import Arrays, Floats, Histories, Vectors
from palate.models.sequences import Ordered


@dataclass(frozen=True)
class SASRecParams(ModelParams):
    """Parameters of SASRec.

    factors: width of the embeddings and of the network.
    blocks: how many layers of attention. heads: parts of each; they divide `factors`.
    length: so many items are looked back at, the latest ones.
    dropout: the share of what goes into and comes out of each layer that training leaves out by chance.
    shuffle: the share of histories that each pass reads in random order: some of it helps where the order says little,
        as with ratings given in one sitting; 1 makes a model for which order means nothing.
    negatives: each next item is compared with all items if there are no more than so many, else with so many drawn by
        chance for each batch.
    epochs: passes over the data, at most.
    patience: training ends after so many passes without gain on histories' last items, which are held back for that;
        it is then repeated on everything, with the number of passes that was best. 0 holds nothing back, and takes all
        passes; so do data with fewer than 50 histories of three items.
    batch: stretches of histories for each step. learning_rate: of Adam.
    seed: of the random start, the order of the data, what is left out and what is drawn.

    The defaults are those of the literature; the number of passes is found anew for each data set.
    """

    factors: int = field(default=64, metadata=within(1, 4096))
    blocks: int = field(default=2, metadata=within(1, 16))
    heads: int = field(default=1, metadata=within(1, 64))
    length: int = field(default=50, metadata=within(1, 1000))
    dropout: float = field(default=0.2, metadata=within(0, 0.95))
    shuffle: float = field(default=0.0, metadata=within(0, 1))
    negatives: int = field(default=256, metadata=within(1))
    epochs: int = field(default=100, metadata=within(1, 10_000))
    patience: int = field(default=10, metadata=within(0))
    batch: int = field(default=32, metadata=within(1))
    learning_rate: float = field(default=0.005, metadata=within(above=0))
    seed: int = field(default=0, metadata=within(0, 2**32 - 1))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.factors % self.heads:
            raise ParameterError(f"it must divide factors, {self.factors}, not be {self.heads}.", where="heads")


class SASRec(FactorModel):
    """A network of attention reads the latest items of a history in order, and gives the vector of what comes next.

    The score of an item is the dot product of that vector and the item's embedding, the same that the network reads,
    and a number of the item's own, which begins as the logarithm of its popularity: the last of `item_factors`, beside
    a one in `user_factors`.

    Order is by time, and as given where there are no times: lists of items are read from the oldest to the newest.
    Two histories of the same items in another order get other recommendations. A known user is their whole history of
    the training data, and somebody folded in with the same one gets the same scores. Of histories of one item alone
    nothing can be learned: then nobody gets a ranking of their own.

    torch trains; a fitted model needs numpy alone.
    """

    kind: ClassVar[str] = "sasrec"
    Params: ClassVar[type[SASRecParams]] = SASRecParams
    params: SASRecParams

    network: Weights
    trained: dict[str, object]
    """How training went: `epochs` that the weights had, `device`, and `diverged`, whether it had to be cut short."""

    def _fit(self, interactions: Interactions, items: Items, users: Users | None) -> None:
        histories = Ordered.of_interactions(interactions, interactions.item_codes)
        if len(histories.codes) == 0:
            raise SchemaError("no interaction has a weight above zero.", where="interactions")
        touched, places = np.unique(histories.codes, return_inverse=True)
        self.item_factors = np.zeros((len(self.items), self.params.factors + 1), np.float32)
        if (histories.lengths > 1).any():
            from palate.models.sasrec_training import train

            narrow = Ordered(places.astype(np.int32), histories.starts)
            self.network, self.item_factors[touched], self.trained = train(narrow, len(touched), self.params)
        else:
            self.network = Weights.zeros(self.params.factors, self.params.blocks, self.params.length)
            self.trained = {"epochs": 0, "device": "none", "diverged": False}
        self.user_factors = self._read(histories)

    def _read(self, histories: Ordered) -> Floats:
        """The vector of what comes next, `(n_histories, factors + 1)`; zeros if nothing that is known came before."""
        known = histories.without(~self._known[histories.codes])
        vectors = encode(self.network, self.item_factors[:, :-1], known.newest(self.params.length), self.params.heads)
        return np.column_stack([vectors, vectors.any(axis=1).astype(np.float32)])

    @cached_property
    def _directions(self) -> Floats:
        lengths = np.linalg.norm(self.item_factors[:, :-1], axis=1, keepdims=True)
        directions: Floats = self.item_factors[:, :-1] / np.where(lengths == 0, 1, lengths)
        return directions

    @property
    def _known(self) -> npt.NDArray[np.bool_]:
        """Of which items there is something to read, `(n_items,)`."""
        return np.asarray(self.item_factors.any(axis=1))

    def _fold_in(self, histories: Histories, matrix: sparse.csr_matrix) -> Vectors:
        return (self._read(Ordered.of(histories, self.items)),)

    def _fold(self, histories: sparse.csr_matrix) -> Vectors:
        """Of a matrix no order is known but that in which its entries are stored."""
        return (self._read(Ordered(histories.indices.astype(np.int32), histories.indptr.astype(np.int64))),)

    def _state(self) -> Arrays:
        arrays = {"user_factors": self.user_factors, "item_factors": self.item_factors, **self.network.arrays()}
        return Arrays({"trained": self.trained}, arrays)

    def _restore(self, state: Arrays) -> None:
        self.trained = dict(state.params["trained"])
        self.user_factors, self.item_factors = state.arrays["user_factors"], state.arrays["item_factors"]
        self.network = Weights.from_arrays(state.arrays)
