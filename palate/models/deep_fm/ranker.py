"""FM and DeepFM as a recommender: what users touched against items drawn at random, by ids and all that is known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from scipy import sparse

from palate.dataset.ids import Codes
from palate.dataset.schema import Interactions, Items, Users
from palate.engines import ENGINES, chosen_engine
from palate.features.facts import read_facts
from palate.features.fields import FieldEncoder, Rows
from palate.features.text import label
from palate.models.cold.taste import aligned_users, facts_of_context, facts_of_users
from palate.models.deep_fm.definition import NETWORKS, Batch, Definition
from palate.models.deep_fm.engines import make_engine
from palate.models.epochs import Parameters, train
from palate.models.params import ModelParams, one_of, within
from palate.models.protocol import Arrays, Capability, Context, Floats, Recommender, Vectors

_ITEM_KINDS = {"item": "category", "terms": "list"}
_USER_KINDS = {"user": "category", "facts": "list"}


@dataclass(frozen=True)
class FMRankerParams(ModelParams):
    """Parameters of FMRanker.

    network: "fm", or "deepfm", which adds a deep part, and time for ranking.
    factors: width of the embeddings. hidden, layers: of the deep part.
    negatives: how many items are drawn against each one that was touched.
    regularization: the penalty on the squared embedding and weight of each feature, each time it occurs.
    epochs, batch_size, learning_rate: of Adam; the learning rate falls to 0.
    forget: the share of features that are hidden at random in training, so that new items and users can be ranked.
    min_count: a category, tag or attribute that fewer items or users have is not learned.
    engine: what trains: "torch", "mxnet", or "auto", the first that is installed. A trained model needs neither.
    seed: of the start, the batches and the items drawn.
    """

    network: str = field(default="fm", metadata=one_of(*NETWORKS))
    factors: int = field(default=32, metadata=within(1, 4096))
    hidden: int = field(default=64, metadata=within(1, 65_536))
    layers: int = field(default=2, metadata=within(1, 8))
    negatives: int = field(default=4, metadata=within(1, 1000))
    regularization: float = field(default=1e-3, metadata=within(above=0))
    epochs: int = field(default=15, metadata=within(1, 10_000))
    batch_size: int = field(default=1024, metadata=within(1, 1 << 20))
    learning_rate: float = field(default=0.005, metadata=within(above=0))
    forget: float = field(default=0.1, metadata=within(0, 0.95))
    min_count: int = field(default=2, metadata=within(1))
    engine: str = field(default="auto", metadata=one_of("auto", *ENGINES))
    seed: int = field(default=0, metadata=within(0, 2**32 - 1))


@dataclass(frozen=True)
class Pairs:
    """Epochs over pairs of users and items that they touched, each with items drawn from `known` against it."""

    users: Rows
    items: Rows
    seen: sparse.csr_matrix
    known: npt.NDArray[np.intp]
    negatives: int
    batch_size: int
    forget: float
    rng: np.random.Generator

    def __len__(self) -> int:
        return int(self.seen.nnz) * (1 + self.negatives)

    def epoch(self) -> Iterator[Batch]:
        pairs = np.repeat(np.arange(self.seen.shape[0]), np.diff(self.seen.indptr))
        order = self.rng.permutation(self.seen.nnz)
        step = max(1, self.batch_size // (1 + self.negatives))
        for start in range(0, len(order), step):
            part = order[start : start + step]
            drawn = self.known[self.rng.integers(0, len(self.known), len(part) * self.negatives)]
            users = np.concatenate([pairs[part], np.repeat(pairs[part], self.negatives)])
            items = np.concatenate([self.seen.indices[part], drawn])
            codes = np.concatenate([self.users.codes[users], self.items.codes[items]], axis=1)
            values = np.concatenate([self.users.values[users], self.items.values[items]], axis=1)
            if self.forget:
                values = values * (self.rng.random(values.shape, dtype=np.float32) >= self.forget)
            labels = np.zeros(len(users), np.float32)
            labels[: len(part)] = 1
            yield Batch(codes, values.astype(np.float32), labels)


class FMRanker(Recommender):
    """Ranks by the machine of `palate.models.deep_fm.definition` over the fields user, what is known of the user, item,
    and what is known of the item: categories, tags and attributes.

    Learns to tell the items that a user has touched from others. A new item is ranked by what is known of it, a new
    user by attributes (`Context.attributes`); who says nothing gets what is popular.
    """

    kind: ClassVar[str] = "fm-ranker"
    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {Capability.PERSONAL, Capability.FOLD_IN_ITEMS, Capability.SIMILAR_ITEMS}
    )
    Params: ClassVar[type[FMRankerParams]] = FMRankerParams
    params: FMRankerParams

    user_encoder: FieldEncoder
    item_encoder: FieldEncoder
    user_rows: Rows
    item_rows: Rows
    """Of each user and item; the items' features are numbered after the users'."""
    definition: Definition
    parameters: Parameters
    losses: tuple[float, ...]

    def _fit(self, interactions: Interactions, items: Items, users: Users | None) -> None:
        params = self.params
        name = chosen_engine(self.kind, params.engine)
        rng = np.random.default_rng(params.seed)
        facts: list[dict[str, Any]] = [{} for _ in range(len(self.users))]
        if users is not None:
            facts = facts_of_users(aligned_users(users, self.users))
        about: dict[str, list[Any]] = {
            "user": np.arange(len(self.users)).tolist(),
            "facts": [_labels(row) for row in facts],
        }
        self.user_encoder = _encoder(about, _USER_KINDS, params.min_count)
        content = _described(items, 0)
        self.item_encoder = _encoder(content, _ITEM_KINDS, params.min_count)
        self.user_rows, self.item_rows = self.user_encoder.encode(about), self._items(content)
        self._define(-float(np.log(params.negatives)))
        start = self.definition.start(rng)
        known = np.flatnonzero(np.bincount(self.seen.indices, minlength=len(self.items)))
        pairs = Pairs(
            self.user_rows, self.item_rows, self.seen, known, params.negatives, params.batch_size, params.forget, rng
        )
        engine = make_engine(name, self.definition, start)
        trained = train(self.kind, engine, params.epochs, params.learning_rate, pairs.epoch, len(pairs))
        self.parameters, self.losses = trained.parameters, trained.losses

    def _define(self, offset: float) -> None:
        params, first = self.params, len(self.user_encoder.fields)
        slots = (*self.user_encoder.slots, *(first + each for each in self.item_encoder.slots))
        self.definition = Definition(
            params.network, "classification", self.user_encoder.width + self.item_encoder.width, slots, params.factors,
            params.hidden, params.layers, params.regularization, offset,
        )  # fmt: skip

    def _items(self, content: dict[str, list[Any]]) -> Rows:
        rows = self.item_encoder.encode(content)
        return Rows(rows.codes + np.int32(self.user_encoder.width), rows.values)

    def _user_vectors(self, codes: Codes) -> Vectors:
        rows = self.user_rows.take(np.maximum(codes, 0))
        return rows.codes, rows.values * (codes >= 0)[:, None]

    def _score(self, vectors: Vectors, contexts: Sequence[Context]) -> tuple[Floats, npt.NDArray[np.bool_]]:
        codes, values = np.asarray(vectors[0]).copy(), np.asarray(vectors[1], dtype=np.float32).copy()
        stated = [row for row, context in enumerate(contexts) if context.attributes]
        if stated:
            facts = [_labels(facts_of_context(contexts[row])) for row in stated]
            told = self.user_encoder.encode({"facts": facts})
            codes[stated, 1:], values[stated, 1:] = told.codes[:, 1:], told.values[:, 1:]
        mine = self._fields(codes, values, np.array(self.user_encoder.slots))
        scores = mine.sum(axis=1) @ self._item_sums.T + self._item_offsets
        if self.params.network == "deepfm":
            scores += self._deep(mine)
        scores[:, self._silent] = -np.inf
        return np.asarray(scores, np.float32), (values != 0).any(axis=1)

    def _fields(self, codes: npt.NDArray[Any], values: Floats, slots: npt.NDArray[Any]) -> Floats:
        """The embedding of each field, `(n, fields, factors)`."""
        products = self.parameters["factors"][codes] * values[:, :, None]
        found = np.zeros((len(codes), int(slots.max()) + 1, products.shape[2]), np.float32)
        for slot, place in enumerate(slots):
            found[:, place] += products[:, slot]
        return found

    @property
    def _item_fields(self) -> Floats:
        return self._fields(self.item_rows.codes, self.item_rows.values, np.array(self.item_encoder.slots))

    @property
    def _item_sums(self) -> Floats:
        return np.asarray(self._item_fields.sum(axis=1))

    @property
    def _item_offsets(self) -> Floats:
        """What an item scores whoever asks, `(n_items,)`: its weights, and the products among its own features."""
        codes, values = self.item_rows.codes, self.item_rows.values[:, :, None]
        products = self.parameters["factors"][codes] * values
        pairs = np.square(products.sum(axis=1)) - np.square(products).sum(axis=1)
        return np.asarray((self.parameters["linear"][codes] * values).sum(axis=(1, 2)) + 0.5 * pairs.sum(axis=1))

    def _deep(self, users: Floats) -> Floats:
        """The deep part, `(n_users, n_items)`; its first layer is a sum of both sides."""
        held = self.parameters
        wide = users.shape[1] * users.shape[2]
        first = held["hidden_0_weight"]
        of_users = users.reshape(len(users), -1) @ first[:, :wide].T + held["hidden_0_bias"]
        of_items = self._item_fields.reshape(len(self.items), -1) @ first[:, wide:].T
        found = np.empty((len(users), len(self.items)), np.float32)
        for row, mine in enumerate(of_users):
            hidden = np.maximum(of_items + mine, 0)
            for layer in range(1, self.params.layers):
                hidden = np.maximum(hidden @ held[f"hidden_{layer}_weight"].T + held[f"hidden_{layer}_bias"], 0)
            found[row] = (hidden @ held["output"].T)[:, 0]
        return found

    @property
    def _silent(self) -> npt.NDArray[np.intp]:
        """Items of which nothing is known: nobody has touched them, and they have no content."""
        touched = np.bincount(self.seen.indices, minlength=len(self.items)) > 0
        return np.flatnonzero(~touched & ~(self.item_rows.values[:, 1:] != 0).any(axis=1))

    def _similar(self, codes: Codes) -> Floats:
        sums = self._item_sums
        lengths = np.linalg.norm(sums, axis=1)
        unit = sums / np.maximum(lengths, 1e-9)[:, None]
        scores = np.asarray(unit[codes] @ unit.T, np.float32)
        scores[:, self._silent] = -np.inf
        scores[np.isin(codes, self._silent)] = -np.inf
        return scores

    def _extend(self, fresh: Items) -> None:
        more = self._items(_described(fresh, len(self.item_rows)))
        held = self.item_rows
        self.item_rows = Rows(np.concatenate([held.codes, more.codes]), np.concatenate([held.values, more.values]))

    def _state(self) -> Arrays:
        params: dict[str, Any] = {
            "user_fields": self.user_encoder.to_params(), "item_fields": self.item_encoder.to_params(),
            "offset": self.definition.offset, "losses": list(self.losses),
        }  # fmt: skip
        arrays = {
            "user_codes": self.user_rows.codes, "user_values": self.user_rows.values,
            "item_codes": self.item_rows.codes, "item_values": self.item_rows.values,
            **{f"parameter_{name}": held for name, held in self.parameters.items()},
        }  # fmt: skip
        ids = {f"{each.name}_ids": each.ids for each in (*self.user_encoder.fields, *self.item_encoder.fields)}
        return Arrays(params, arrays, ids)

    def _restore(self, state: Arrays) -> None:
        params, arrays = state.params, state.arrays
        encoders = [
            FieldEncoder.from_params(params[f"{side}_fields"], [state.ids[f"{name}_ids"] for name in kinds])
            for side, kinds in (("user", _USER_KINDS), ("item", _ITEM_KINDS))
        ]
        self.user_encoder, self.item_encoder = encoders
        self.user_rows = Rows(np.asarray(arrays["user_codes"]), np.asarray(arrays["user_values"]))
        self.item_rows = Rows(np.asarray(arrays["item_codes"]), np.asarray(arrays["item_values"]))
        self.losses = tuple(params["losses"])
        prefix = "parameter_"
        self.parameters = {
            name.removeprefix(prefix): np.asarray(held) for name, held in arrays.items() if name.startswith(prefix)
        }
        self._define(float(params["offset"]))


def _encoder(columns: dict[str, list[Any]], kinds: dict[str, str], min_count: int) -> FieldEncoder:
    """Ids are all learned, other values from `min_count` on."""
    ids, rest = list(kinds)
    first = FieldEncoder.fit({ids: columns[ids]}, {ids: kinds[ids]})
    other = FieldEncoder.fit({rest: columns[rest]}, {rest: kinds[rest]}, min_count)
    return FieldEncoder((*first.fields, *other.fields))


def _described(items: Items, first: int) -> dict[str, list[Any]]:
    """Columns of items whose codes begin with `first`."""
    facts = read_facts(items.table["attributes"].to_pylist(), "items")
    rows = zip(items.lists("categories"), items.lists("tags"), facts, strict=True)
    terms = [
        list(
            dict.fromkeys(
                [f"category:{label(each)}" for each in categories]
                + [f"tag:{label(each)}" for each in tags]
                + _labels(attributes)
            )
        )
        for categories, tags, attributes in rows
    ]
    return {"item": list(range(first, first + len(items))), "terms": terms}


def _labels(facts: dict[str, Any]) -> list[str]:
    """`attribute=value` for each value that is text, a number or a bool."""
    found = []
    for name, value in facts.items():
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, (str, bool, int, float)):
                found.append(f"{name}={label(str(each))}")
    return list(dict.fromkeys(found))
