"""FM and DeepFM as a recommender: what users touched against items drawn at random, by ids, all that is known, and the
moment."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from scipy import sparse

from palate.dataset.ids import Codes
from palate.dataset.schema import Interactions, Items, Users
from palate.engines import chosen_engine
from palate.features.fields import FieldEncoder, Rows
from palate.kernels.logistic import draw_pool, users_of
from palate.models.cold.taste import aligned_users, facts_of_context, facts_of_users
from palate.models.deep_fm.columns import ITEM_KINDS, USER_KINDS, described, encoder_of, labels_of
from palate.models.deep_fm.definition import Definition
from palate.models.deep_fm.engines import make_engine
from palate.models.deep_fm.moments import Moments
from palate.models.deep_fm.pairs import Pairs
from palate.models.deep_fm.params import FMRankerParams
from palate.models.epochs import Parameters, train
from palate.models.protocol import NO_CONTEXT, Arrays, Capability, Context, Floats, Recommender, Vectors

_POOL = 1024
"""With 256 the NDCG@20 of validation data cut from ml-latest-small was 5 % lower."""


class FMRanker(Recommender):
    """Ranks by the machine of `palate.models.deep_fm.definition` over the fields user, what is known of the user, the
    moment, item, and what is known of the item: categories, tags and attributes.

    Learns to tell the items that a user has touched from others. A new item is ranked by what is known of it, a new
    user by a history, by attributes (`Context.attributes`), or by both; who says nothing gets what is popular. With
    `moments`, the hour and the weekday of `Context.now` (UTC) count; where it is not given all do, as often as they
    came in training.

    With the items fixed, the fm of a user is a logistic regression: so every user's embedding is solved for at the end,
    by the user's part of the objective, held towards what the attributes tell. A user of the training data and somebody
    folded in with the same history and attributes get the same one. The deepfm has no such part of its own: it ranks
    for the users it was trained with, and for whom attributes are known.
    """

    kind: ClassVar[str] = "fm-ranker"
    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {
            Capability.PERSONAL,
            Capability.FOLD_IN_USERS,
            Capability.FOLD_IN_ITEMS,
            Capability.SIMILAR_ITEMS,
            Capability.MOMENT,
        }
    )
    Params: ClassVar[type[FMRankerParams]] = FMRankerParams
    params: FMRankerParams

    user_encoder: FieldEncoder
    item_encoder: FieldEncoder
    user_rows: Rows
    item_rows: Rows
    """Of each user and item; features are numbered from the users' over the moments' to the items'."""
    moments: Moments
    definition: Definition
    parameters: Parameters
    losses: tuple[float, ...]

    def __init__(self, params: Any = None, /, **values: Any) -> None:
        super().__init__(params, **values)
        self._declare(moments=self.params.moments)

    def _declare(self, *, moments: bool) -> None:
        lacks = {Capability.FOLD_IN_USERS} if self.params.network == "deepfm" else set()
        lacks |= set() if moments else {Capability.MOMENT}
        self.capabilities = type(self).capabilities - lacks  # type: ignore[misc]

    def _fit(self, interactions: Interactions, items: Items, users: Users | None) -> None:
        params = self.params
        name = chosen_engine(self.kind, params.engine)
        rng = np.random.default_rng(params.seed)
        facts: list[dict[str, Any]] = [{} for _ in range(len(self.users))]
        if users is not None:
            facts = facts_of_users(aligned_users(users, self.users))
        about: dict[str, list[Any]] = {
            "user": np.arange(len(self.users)).tolist(),
            "facts": [labels_of(row) for row in facts],
        }
        self.user_encoder = encoder_of(about, USER_KINDS, params.min_count)
        content = described(items, 0)
        self.item_encoder = encoder_of(content, ITEM_KINDS, params.min_count)
        self.moments, moments = Moments.fit(interactions, params.moments)
        self.user_rows, self.item_rows = self.user_encoder.encode(about), self._items(content)
        self._define(-float(np.log(params.negatives)))
        start = self.definition.start(rng)
        known = np.flatnonzero(np.bincount(self.seen.indices, minlength=len(self.items)))
        pairs = Pairs(
            self.user_rows, Rows(moments.codes + np.int32(self.user_encoder.width), moments.values), self.item_rows,
            self.seen, known, params.negatives, params.batch_size, params.forget, rng,
        )  # fmt: skip
        engine = make_engine(name, self.definition, start)
        trained = train(self.kind, engine, params.epochs, params.learning_rate, pairs.epoch, len(pairs))
        self.parameters, self.losses = trained.parameters, trained.losses
        if params.network == "fm":
            self._settle()

    def _define(self, offset: float) -> None:
        params, first = self.params, len(self.user_encoder.fields)
        of_items = first + (self.moments.slots > 0)
        slots = (
            *self.user_encoder.slots, *[first] * self.moments.slots,
            *(of_items + each for each in self.item_encoder.slots),
        )  # fmt: skip
        self.definition = Definition(
            params.network, "classification", self._items_from + self.item_encoder.width, slots, params.factors,
            params.hidden, params.layers, params.regularization, offset,
        )  # fmt: skip
        self._declare(moments=self.moments.width > 0)

    def _items(self, content: dict[str, list[Any]]) -> Rows:
        rows = self.item_encoder.encode(content)
        return Rows(rows.codes + np.int32(self._items_from), rows.values)

    @property
    def _items_from(self) -> int:
        """Where the numbers of the items' features begin."""
        return self.user_encoder.width + self.moments.width

    # -- users -----------------------------------------------------------------------------------------------------

    def _settle(self) -> None:
        """Puts what is solved for in place of the users' trained embeddings."""
        own = self._solve(self.seen, self._told(self.user_rows))
        self.parameters["factors"][self.user_rows.codes[:, 0]] = own

    def _told(self, rows: Rows) -> Floats:
        """What the attributes in users' rows say: the sum of their embeddings and, last, what they add to all scores,
        `(n, factors + 1)`."""
        codes, values = rows.codes[:, 1:], rows.values[:, 1:, None]
        products = self.parameters["factors"][codes] * values
        sums = products.sum(axis=1)
        added = (self.parameters["linear"][codes] * values).sum(axis=(1, 2))
        added = added + 0.5 * (np.square(sums) - np.square(products).sum(axis=1)).sum(axis=1)
        return np.asarray(np.column_stack([sums, added]), np.float32)

    def _solve(self, histories: sparse.csr_matrix, told: Floats) -> Floats:
        """What histories add to what attributes told, `(n, factors)`: the embedding of the user alone."""
        items = np.column_stack([self._item_sums, np.ones(len(self.items), np.float32)])
        offsets = self._item_offsets + self.parameters["offset"][0]
        lengths = np.diff(histories.indptr).astype(np.float32)
        ridges = self.params.user_regularization + self.params.history_regularization * lengths
        expected = told.copy()
        expected[:, :-1] += self._moments([NO_CONTEXT]).sum(axis=1)
        solved = users_of(
            histories, items, offsets, self._pool, negatives=self.params.negatives, ridges=ridges, means=expected
        )
        return np.asarray((solved - expected)[:, :-1])

    def _user_vectors(self, codes: Codes) -> Vectors:
        """The embedding of each field, which users are known, and their histories."""
        rows = self.user_rows.take(np.maximum(codes, 0))
        values = rows.values * (codes >= 0)[:, None]
        fields = self._fields(rows.codes, values, np.array(self.user_encoder.slots))
        return fields, (values != 0).any(axis=1).astype(np.float32), self._rows_seen(codes)

    def _fold(self, histories: sparse.csr_matrix) -> Vectors:
        held = ~np.isin(histories.indices, self._silent)
        starts = np.concatenate([[0], np.cumsum(held)])[histories.indptr]
        ones: Floats = np.ones(int(held.sum()), np.float32)
        known = sparse.csr_matrix((ones, histories.indices[held], starts), shape=histories.shape)
        nothing: Floats = np.zeros((known.shape[0], self.params.factors + 1), np.float32)
        fields: Floats = np.zeros((known.shape[0], len(self.user_encoder.fields), self.params.factors), np.float32)
        fields[:, 0] = self._solve(known, nothing)
        return fields, (np.diff(starts) > 0).astype(np.float32), known

    # -- scores ----------------------------------------------------------------------------------------------------

    def _score(self, vectors: Vectors, contexts: Sequence[Context]) -> tuple[Floats, npt.NDArray[np.bool_]]:
        mine, known, histories = np.asarray(vectors[0]), np.asarray(vectors[1]) > 0, vectors[2]
        stated = [row for row, context in enumerate(contexts) if context.attributes]
        if stated:
            mine, known = mine.copy(), known.copy()
            rows = self.user_encoder.encode({"facts": [labels_of(facts_of_context(contexts[row])) for row in stated]})
            told = self._told(rows)
            mine[stated, 1] = told[:, :-1]
            if self.params.network == "fm":
                mine[stated, 0] = self._solve(sparse.csr_matrix(histories[stated]), told)
            known[stated] |= (rows.values != 0).any(axis=1)
        asked = np.concatenate([mine, self._moments(contexts)], axis=1)
        scores = asked.sum(axis=1) @ self._item_sums.T + self._item_offsets
        if self.params.network == "deepfm":
            scores += self._deep(asked)
        scores[:, self._silent] = -np.inf
        return np.asarray(scores, np.float32), known

    def _moments(self, contexts: Sequence[Context]) -> Floats:
        """The embeddings of the moments asked about, `(n, fields, factors)`; there is one field, or none."""
        if not self.moments.width:
            return np.zeros((len(contexts), 0, self.params.factors), np.float32)
        found = self.moments.of(contexts) @ self.parameters["factors"][self.user_encoder.width : self._items_from]
        return np.asarray(found[:, None], np.float32)

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

    @cached_property
    def _item_sums(self) -> Floats:
        return np.asarray(self._item_fields.sum(axis=1), np.float32)

    @cached_property
    def _pool(self) -> Codes:
        """Items that stand for those that a user has not touched."""
        return draw_pool((self.popularity > 0).astype(np.float32), self.params.seed, _POOL)

    @cached_property
    def _item_offsets(self) -> Floats:
        """What an item scores whoever asks, `(n_items,)`: its weights, and the products among its own features."""
        codes, values = self.item_rows.codes, self.item_rows.values[:, :, None]
        products = self.parameters["factors"][codes] * values
        pairs = np.square(products.sum(axis=1)) - np.square(products).sum(axis=1)
        return np.asarray((self.parameters["linear"][codes] * values).sum(axis=(1, 2)) + 0.5 * pairs.sum(axis=1))

    def _deep(self, asked: Floats) -> Floats:
        """The deep part, `(n, n_items)`, of the fields of users and moments; its first layer is a sum of both sides."""
        held, fields = self.parameters, asked.reshape(len(asked), -1)
        of_users = fields @ held["hidden_0_weight"][:, : fields.shape[1]].T + held["hidden_0_bias"]
        found = np.empty((len(asked), len(self.items)), np.float32)
        for row, mine in enumerate(of_users):
            found[row] = self.definition.deep(held, np.maximum(self._item_layer + mine, 0), 1)
        return found

    @cached_property
    def _item_layer(self) -> Floats:
        """The items' side of that sum, `(n_items, hidden)`."""
        fields = self._item_fields.reshape(len(self.items), -1)
        return np.asarray(fields @ self.parameters["hidden_0_weight"][:, -fields.shape[1] :].T)

    @cached_property
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
        more = self._items(described(fresh, len(self.item_rows)))
        held = self.item_rows
        self.item_rows = Rows(np.concatenate([held.codes, more.codes]), np.concatenate([held.values, more.values]))
        for name in ("_item_sums", "_item_offsets", "_item_layer", "_silent"):
            self.__dict__.pop(name, None)

    def _state(self) -> Arrays:
        params: dict[str, Any] = {
            "user_fields": self.user_encoder.to_params(), "item_fields": self.item_encoder.to_params(),
            "offset": self.definition.offset, "losses": list(self.losses),
        }  # fmt: skip
        arrays = {
            "user_codes": self.user_rows.codes, "user_values": self.user_rows.values,
            "item_codes": self.item_rows.codes, "item_values": self.item_rows.values,
            "moment_shares": self.moments.shares,
            **{f"parameter_{name}": held for name, held in self.parameters.items()},
        }  # fmt: skip
        ids = {f"{each.name}_ids": each.ids for each in (*self.user_encoder.fields, *self.item_encoder.fields)}
        return Arrays(params, arrays, ids)

    def _restore(self, state: Arrays) -> None:
        params, arrays = state.params, state.arrays
        encoders = [
            FieldEncoder.from_params(params[f"{side}_fields"], [state.ids[f"{name}_ids"] for name in kinds])
            for side, kinds in (("user", USER_KINDS), ("item", ITEM_KINDS))
        ]
        self.user_encoder, self.item_encoder = encoders
        self.user_rows = Rows(np.asarray(arrays["user_codes"]), np.asarray(arrays["user_values"]))
        self.item_rows = Rows(np.asarray(arrays["item_codes"]), np.asarray(arrays["item_values"]))
        self.moments = Moments(np.asarray(arrays.get("moment_shares", np.zeros(0, np.float32))))
        self.losses = tuple(params["losses"])
        prefix = "parameter_"
        self.parameters = {
            name.removeprefix(prefix): np.asarray(held) for name, held in arrays.items() if name.startswith(prefix)
        }
        self._define(float(params["offset"]))
