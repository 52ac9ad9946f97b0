"""The two protocols that everything hangs on: `Artifact` and `Recommender`.

An `Artifact` is anything a bundle can hold. A `Recommender` is an artifact that ranks items for users. To add one:
subclass `Recommender`, give it a frozen `Params` dataclass, implement the five abstract methods, list it in
`palate.models.KINDS`; the conformance suite in tests/models picks it up by itself.
"""

from __future__ import annotations

import copy
import dataclasses
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property, lru_cache
from typing import Any, ClassVar, Protocol, Self, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt
from scipy import sparse

from palate.dataset.ids import Codes, Id, IdMap, Ids
from palate.dataset.schema import Interactions, Items, Users
from palate.errors import CapabilityError, NotFittedError, ParameterError, SchemaError
from palate.retrieval.topk import top_k

Floats: TypeAlias = npt.NDArray[np.float32]
Array: TypeAlias = "npt.NDArray[Any] | sparse.csr_matrix"
Vectors: TypeAlias = tuple[Array, ...]
"""What a model knows of some users: arrays with one row per user; what they hold is the model's own affair."""


class Capability(StrEnum):
    """What a recommender can do beyond ranking for anybody (which all can, at worst by popularity)."""

    PERSONAL = "personal"
    """Users of the training data get a ranking of their own."""
    FOLD_IN_USERS = "fold-in-users"
    """A history of items is enough for a ranking of one's own."""
    FOLD_IN_ITEMS = "fold-in-items"
    """A new item's content is enough for it to be ranked."""
    SIMILAR_ITEMS = "similar-items"
    ATTRIBUTES = "attributes"
    """What is stated of a user counts: categories and tags, and by the models that learned of them other attributes."""
    SEGMENTS = "segments"
    """`Context.segment` counts."""
    MOMENT = "moment"
    """What is liked depends on the moment asked about: the hour and the weekday of `Context.now` count."""


@dataclass(frozen=True)
class Signature:
    """What `predict` takes and gives: column name to Arrow type name, as the manifest and MLflow state it.

    optional: inputs that may be left out, and outputs that an answer may lack.
    """

    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    optional: tuple[str, ...] = ()


@dataclass(frozen=True)
class Arrays:
    """An artifact taken apart, as a bundle stores it.

    params: JSON-serializable constructor parameters and small facts.
    arrays: name to numpy array or CSR matrix.
    ids: name to IdMap.
    parts: name to artifact, for artifacts made of others.
    """

    params: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, Array] = field(default_factory=dict)
    ids: Mapping[str, IdMap] = field(default_factory=dict)
    parts: Mapping[str, Artifact] = field(default_factory=dict)


@runtime_checkable
class Artifact(Protocol):
    """Whatever a bundle can hold. `kind` is the name under which `palate.models.KINDS` lists the class."""

    kind: ClassVar[str]

    def signature(self) -> Signature: ...

    def predict(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """`batch` maps the signature's input columns to equally long sequences; so does the answer for outputs."""
        ...

    def to_arrays(self) -> Arrays: ...

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self: ...


@dataclass(frozen=True)
class Context:
    """What is known of the moment of a request, beside the user's id.

    categories, tags: stated preferences. segment: the user's segment. attributes: the user's, one JSON object as text,
    as the schema of users has it. now: the moment asked about, in seconds since 1970 UTC.
    """

    categories: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    segment: int | None = None
    now: float | None = None
    attributes: str = ""


NO_CONTEXT = Context()


@dataclass(frozen=True)
class UserVectors:
    """Users who are not in the model, folded in by `fold_in_users`; hand it to `recommend` in place of ids.

    seen: the histories as CSR `(n, n_items)`, whose entries `exclude="seen"` leaves out; an empty row knows nothing.
    """

    vectors: Vectors
    seen: sparse.csr_matrix

    def __len__(self) -> int:
        return int(self.seen.shape[0])


@dataclass(frozen=True)
class Recommendations:
    """Ranked items, a row per query: best first, padded with code -1 and score -inf where nothing is left.

    codes: `(n_queries, n) int32` into `items`. scores: `(n_queries, n) float32`, comparable within a row.
    personal: `(n_queries,) bool`; False where the model knew nothing of the query and answered by popularity,
    so that a fallback is never silent.
    """

    items: IdMap
    codes: Codes
    scores: Floats
    personal: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.codes)

    def row(self, index: int) -> list[tuple[Id, float]]:
        """(item id, score) of one query, without the padding."""
        codes = self.codes[index]
        held = codes >= 0
        return list(zip(self.items.decode(codes[held]), self.scores[index][held].tolist(), strict=True))

    def ids(self) -> list[list[Id]]:
        return [[item for item, _ in self.row(index)] for index in range(len(self))]


Histories: TypeAlias = "Interactions | Sequence[Ids]"
Exclude: TypeAlias = "str | Sequence[Ids] | sparse.csr_matrix | None"


class Recommender(ABC):
    """Ranks items for users. Fitted once, then immutable: `fold_in_items` returns another model.

    Subclasses declare `kind`, `capabilities` and a frozen dataclass `Params` (its fields are the keyword arguments
    of the constructor), and implement `_fit`, `_user_vectors`, `_score`, `_state` and `_restore`. The base class does
    the rest: ids, exclusion, candidates, top-n, unknown users.
    """

    kind: ClassVar[str]
    capabilities: ClassVar[frozenset[Capability]] = frozenset()
    Params: ClassVar[type[Any]]

    params: Any
    items: IdMap
    """Items in code order; set by `fit`."""
    users: IdMap
    """Users of the training data; set by `fit`."""
    seen: sparse.csr_matrix
    """`(n_users, n_items)` binary: what each user of the training data has interacted with."""
    usual_weight: float = 1.0
    """What an item of a history without weights counts; a model that learns from ratings sets their mean."""

    def __init__(self, params: Any = None, /, **values: Any) -> None:
        try:
            self.params = params if params is not None else self.Params(**values)
        except TypeError as error:
            known = ", ".join(f.name for f in dataclasses.fields(self.Params)) or "none"
            wrong = sorted(set(values) - {f.name for f in dataclasses.fields(self.Params)})
            raise ParameterError(
                f"{self.kind} has no parameter {wrong[0]!r}." if wrong else str(error),
                hint=f"It has: {known}.",
            ) from None
        except ParameterError as error:  # which model's parameter it is, only the model knows
            raise ParameterError(error.message, where=f"{self.kind}.{error.where}", hint=error.hint) from None

    def __repr__(self) -> str:
        values = ", ".join(f"{k}={v!r}" for k, v in dataclasses.asdict(self.params).items())
        return f"{type(self).__name__}({values})"

    # -- to implement ----------------------------------------------------------------------------------------------

    @abstractmethod
    def _fit(self, interactions: Interactions, items: Items, users: Users | None) -> None:
        """Learn. `items` is aligned with `interactions.items`; `self.items`, `self.users` and `self.seen` are set."""

    @abstractmethod
    def _user_vectors(self, codes: Codes) -> Vectors:
        """Vectors of users of the training data; a code of -1 (unknown) gets zeros."""

    def _vectors_of(self, user: int) -> Vectors:
        """As `_user_vectors` of one code; not to be written to."""
        return self._user_vectors(np.array([user], np.int32))

    @abstractmethod
    def _score(self, vectors: Vectors, contexts: Sequence[Context]) -> tuple[Floats, npt.NDArray[np.bool_]]:
        """Scores `(n, n_items) float32` of every item for rows of user vectors, and which rows are personal, `(n,)`.

        -inf where the model is silent on an item. The scores of a row that is not personal are not used.
        """

    @abstractmethod
    def _state(self) -> Arrays:
        """What `_restore` needs beside `params`, `items`, `users` and `seen`."""

    @abstractmethod
    def _restore(self, state: Arrays) -> None: ...

    def _fallback(self, contexts: Sequence[Context]) -> Floats:
        """Scores of rows that are not personal: `(n_items,)` for all alike, or `(len(contexts), n_items)`."""
        return self.popularity

    def _fold(self, histories: sparse.csr_matrix) -> Vectors:
        """Vectors of new users from weighted histories `(n, n_items)`. Needs Capability.FOLD_IN_USERS."""
        raise NotImplementedError

    def _fold_in(self, histories: Histories, matrix: sparse.csr_matrix) -> Vectors:
        """As `_fold`, for models to which the order of a history matters: `histories` has it, `matrix` has not."""
        return self._fold(matrix)

    def _similar(self, codes: Codes) -> Floats:
        """Similarity `(n, n_items) float32` of every item to the given ones. Needs Capability.SIMILAR_ITEMS."""
        raise NotImplementedError

    def _extend(self, fresh: Items) -> None:
        """Take in items that follow the ones held; called on a shallow copy, so assign, never write in place.

        Needs Capability.FOLD_IN_ITEMS.
        """
        raise NotImplementedError

    def _ranked(
        self,
        vectors: Vectors,
        contexts: Sequence[Context],
        n: int,
        barred: sparse.csr_matrix | None,
        allowed: npt.NDArray[np.bool_] | None,
    ) -> tuple[Codes, Floats, npt.NDArray[np.bool_]]:
        """The `n` best of a few rows of user vectors, as `top_k` gives them, and which rows are personal.

        barred: CSR `(rows, n_items)`, left out. allowed: `(n_items,)`, the only ones there are; None allows all.
        """
        scores, personal = self._score(vectors, contexts)
        if not personal.all():
            others = np.flatnonzero(~personal)
            scores[others] = self._fallback([contexts[row] for row in others])
        if allowed is not None:
            scores[:, ~allowed] = -np.inf
        return *top_k(scores, n, barred), personal

    def _best(
        self, vectors: Vectors, context: Context, n: int, barred: npt.NDArray[np.bool_] | None
    ) -> tuple[Codes, Floats] | None:
        """The `n` best of one row of user vectors, padded; None if it is not personal. barred: `(n_items,)`."""
        allowed = None if barred is None else ~barred
        codes, scores, personal = self._ranked(vectors, [context], n, None, allowed)
        return (codes[0], scores[0]) if personal[0] else None

    # -- what callers use ------------------------------------------------------------------------------------------

    def fit(self, interactions: Interactions, items: Items | None = None, users: Users | None = None) -> Self:
        """Learn from interactions, and from what is known of the items and users.

        Items of the catalogue that nobody has touched are part of the model too (they follow the others).
        Raises SchemaError if there is nothing to learn from.
        """
        if len(interactions) == 0:
            raise SchemaError("there are no interactions to learn from.", where="interactions")
        if items is not None and items.ids != interactions.items:
            union = interactions.items.extended(items.ids.ids)
            items = items.aligned(union)
            if len(union) > interactions.n_items:
                interactions = dataclasses.replace(interactions, items=union)
        for name in [name for name in vars(self) if isinstance(getattr(type(self), name, None), cached_property)]:
            del self.__dict__[name]  # what was worked out of an earlier fit
        self.items, self.users = interactions.items, interactions.users
        self.seen = interactions.matrix(binary=True)
        self._fit(interactions, items if items is not None else Items(self.items), users)
        return self

    def can(self, capability: Capability) -> bool:
        return capability in self.capabilities

    def recommend(
        self,
        users: Ids | UserVectors,
        n: int = 10,
        *,
        exclude: Exclude = "seen",
        candidates: Ids | None = None,
        context: Context | Sequence[Context] = NO_CONTEXT,
    ) -> Recommendations:
        """The `n` best items for each user.

        Parameters
        ----------
        users: ids (unknown ones are welcome), or what `fold_in_users` gave.
        n: at least 1; rows with fewer items left are padded.
        exclude: "seen" (what the user has interacted with), None, one list of item ids per user, or a binary
            CSR `(n_queries, n_items)`. Unknown item ids are ignored.
        candidates: rank only these items; ids the model lacks are ignored.
        context: one for all, or one per user.

        Raises ParameterError for `n` below 1 or lists whose length differs, NotFittedError before `fit`.
        """
        self._require_fitted()
        n = checked_n(n, len(self.items))
        width = min(n, len(self.items))
        folded = users if isinstance(users, UserVectors) else None
        codes = None if isinstance(users, UserVectors) else self.users.encode(_checked_ids(users, "users"))
        n_queries = len(folded) if folded is not None else len(codes)  # type: ignore[arg-type]
        contexts = [context] * n_queries if isinstance(context, Context) else list(context)
        if len(contexts) != n_queries:
            raise ParameterError(f"{len(contexts)} contexts for {n_queries} users.")
        barred = self._barred(exclude, folded, codes, n_queries)
        allowed = None
        if candidates is not None:
            allowed = np.zeros(len(self.items), dtype=bool)
            held = self.items.encode(candidates)
            allowed[held[held >= 0]] = True
        found = np.full((n_queries, n), -1, dtype=np.int32)
        scores = np.full((n_queries, n), -np.inf, dtype=np.float32)
        personal = np.zeros(n_queries, dtype=bool)
        step = rows_at_once(len(self.items))
        for start in range(0, n_queries, step):
            part = slice(start, min(start + step, n_queries))
            vectors = (
                tuple(vector[part] for vector in folded.vectors)
                if folded is not None
                else self._user_vectors(codes[part])  # type: ignore[index]
            )
            left_out = None if barred is None else barred[part]
            best = self._ranked(vectors, contexts[part], width, left_out, allowed)
            found[part, :width], scores[part, :width], personal[part] = best
        return Recommendations(self.items, found, scores, personal)

    def best(
        self,
        user: int | UserVectors,
        n: int,
        barred: npt.NDArray[np.bool_] | None = None,
        context: Context = NO_CONTEXT,
    ) -> tuple[Codes, Floats] | None:
        """The `n` best items for one user, as `recommend` finds them, with no more arrays than it takes: for requests.

        user: their code, -1 for nobody known, or what `fold_in_users` gave for one user.
        barred: `(n_items,) bool`, the items to leave out, seen ones among them.

        Codes and scores, best first, without padding; None if the model knows nothing of the user or the context.
        """
        vectors = user.vectors if isinstance(user, UserVectors) else self._vectors_of(user)
        found = self._best(vectors, context, min(n, len(self.items)), barred)
        if found is None:
            return None
        codes, scores = found
        if codes[-1] < 0:
            held = codes >= 0
            return codes[held], scores[held]
        return found

    def similar_items(self, items: Ids, n: int = 10) -> Recommendations:
        """The `n` items most similar to each of `items`, itself left out.

        A row is empty, and not personal, where the model knows nothing of the item but its id.
        Raises UnknownIdError for an item the model lacks, CapabilityError without Capability.SIMILAR_ITEMS.
        """
        self._require(Capability.SIMILAR_ITEMS)
        n = checked_n(n, len(self.items))
        codes = self.items.require(_checked_ids(items, "items"), "item")
        itself = sparse.csr_matrix(
            (np.ones(len(codes), np.float32), codes, np.arange(len(codes) + 1)),
            shape=(len(codes), len(self.items)),
        )
        width = min(n, len(self.items))
        found = np.full((len(codes), n), -1, dtype=np.int32)
        scores = np.full((len(codes), n), -np.inf, dtype=np.float32)
        step = rows_at_once(len(self.items))
        for start in range(0, len(codes), step):
            part = slice(start, start + step)
            found[part, :width], scores[part, :width] = top_k(self._similar(codes[part]), width, itself[part])
        return Recommendations(self.items, found, scores, found[:, 0] >= 0)

    def fold_in_users(self, histories: Histories) -> UserVectors:
        """Vectors of users known only by what they did: one sequence of item ids each, or Interactions.

        Unknown items count for nothing. Raises CapabilityError without Capability.FOLD_IN_USERS.
        """
        self._require(Capability.FOLD_IN_USERS)
        matrix = self._history_matrix(histories)
        return UserVectors(self._fold_in(histories, matrix), matrix)

    def fold_in_items(self, content: Items) -> Self:
        """A model that also ranks these items; those it holds already keep what was learned of them.

        This model stays as it is, and shares its arrays. Raises CapabilityError without Capability.FOLD_IN_ITEMS.
        """
        self._require(Capability.FOLD_IN_ITEMS)
        union = self.items.extended(content.ids.ids)
        grown = len(union) - len(self.items)
        if grown == 0:
            return self
        model = copy.copy(self)
        model.items = union
        model.seen = sparse.csr_matrix(
            (self.seen.data, self.seen.indices, self.seen.indptr), shape=(len(self.users), len(union))
        )
        model.__dict__.pop("popularity", None)
        fresh = content.take(content.ids.require(union.ids.slice(len(self.items)), "item"))
        model._extend(fresh)
        return model

    @cached_property
    def popularity(self) -> Floats:
        """How many users of the training data touched each item, `(n_items,) float32`."""
        return np.bincount(self.seen.indices, minlength=len(self.items)).astype(np.float32)

    # -- as an artifact --------------------------------------------------------------------------------------------

    def signature(self) -> Signature:
        user = "int64" if self.users.is_integer else "string"
        item = "int64" if self.items.is_integer else "string"
        answer = {"items": f"list<{item}>", "scores": "list<float>", "personal": "bool"}
        if self.can(Capability.MOMENT):
            return Signature({"user": user, "now": "double"}, answer, ("now",))
        return Signature({"user": user}, answer)

    def predict(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """`{"user": ids}`, and `n` (one number, 10 unless given), to the columns of the signature.

        Of each user there may be `now`, the moment asked about in seconds since 1970 UTC, or null.
        """
        if "user" not in batch:
            raise SchemaError("the column 'user' is missing.", where="predict", hint=f"Given: {', '.join(batch)}.")
        users, context = list(_checked_ids(batch["user"], "user")), _contexts_at(batch)
        found = self.recommend(users, batch.get("n", 10), context=context)
        rows = [found.row(index) for index in range(len(found))]
        return {
            "items": [[item for item, _ in row] for row in rows],
            "scores": [[score for _, score in row] for row in rows],
            "personal": found.personal.tolist(),
        }

    def to_arrays(self) -> Arrays:
        self._require_fitted()
        own = self._state()
        return Arrays(
            {**own.params, "params": dataclasses.asdict(self.params)},
            {**own.arrays, "seen": self.seen},
            {**own.ids, "items": self.items, "users": self.users},
            own.parts,
        )

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        model = cls(**arrays.params["params"])
        model.items, model.users = arrays.ids["items"], arrays.ids["users"]
        model.seen = arrays.arrays["seen"]
        model._restore(arrays)
        return model

    # -- helpers ---------------------------------------------------------------------------------------------------

    def _require_fitted(self) -> None:
        if not hasattr(self, "items"):
            raise NotFittedError(f"the {self.kind} model is not fitted yet.", hint="Call fit(interactions) first.")

    def _require(self, capability: Capability) -> None:
        self._require_fitted()
        if capability not in self.capabilities:
            can = ", ".join(sorted(self.capabilities)) or "rank by popularity only"
            raise CapabilityError(f"the {self.kind} model cannot do {capability}.", hint=f"It can: {can}.")

    def _rows_seen(self, codes: Codes) -> sparse.csr_matrix:
        """Rows of `seen`; an unknown user (-1) has seen nothing."""
        if len(codes) and (codes < 0).any():
            known = sparse.csr_matrix(self.seen[np.maximum(codes, 0)])
            known = sparse.csr_matrix(sparse.diags((codes >= 0).astype(np.float32)) @ known)
            known.eliminate_zeros()
            return known
        return sparse.csr_matrix(self.seen[codes])

    def _barred(
        self, exclude: Exclude, folded: UserVectors | None, codes: Codes | None, n_queries: int
    ) -> sparse.csr_matrix | None:
        if exclude is None:
            return None
        if isinstance(exclude, str):
            if exclude != "seen":
                raise ParameterError(f"exclude must be 'seen', None, lists or a matrix, not {exclude!r}.")
            barred = folded.seen if folded is not None else self._rows_seen(codes)  # type: ignore[arg-type]
        else:
            # Other sparse formats would be sliced and read as if they were CSR.
            barred = sparse.csr_matrix(exclude) if sparse.issparse(exclude) else self._history_matrix(exclude)
        if barred.shape[0] != n_queries:
            raise ParameterError(f"exclude has {barred.shape[0]} rows for {n_queries} users.")
        if barred.shape[1] > len(self.items):
            raise ParameterError(f"exclude has {barred.shape[1]} columns, the model {len(self.items)} items.")
        return barred

    def _history_matrix(self, histories: Histories) -> sparse.csr_matrix:
        """`(n_users, n_items) float32` over this model's items; items it lacks are dropped."""
        if isinstance(histories, Interactions):
            codes = self.items.encode(histories.items.ids)[histories.item_codes]
            rows, n_rows = histories.user_codes, histories.n_users
            values = histories.weights
            if values is None:
                values = np.full(len(codes), self.usual_weight, np.float32)
        elif len(histories) == 1:  # a request waits
            found = self.items.encode(_checked_ids(histories[0], "a history"))
            times = Counter(found.tolist())
            del times[-1]
            known = sorted(times)
            row = copy.copy(_empty_row(len(self.items)))  # scipy's checks of a new one cost more than the rest of it
            row.indices = np.array(known, np.int32)
            row.data = np.array([times[code] for code in known], np.float32)
            row.data *= np.float32(max(self.usual_weight, 0.0))
            row.indptr = np.array([0, len(known)], np.int32)
            return row
        else:
            lists = [self.items.encode(_checked_ids(history, "a history")) for history in histories]
            codes = np.concatenate([*lists, np.empty(0, np.int32)])
            rows, n_rows = np.repeat(np.arange(len(lists)), [len(found) for found in lists]), len(lists)
            values = np.full(codes.shape, self.usual_weight, np.float32)
        held = codes >= 0
        matrix = sparse.csr_matrix(
            (values[held], (rows[held], codes[held])), shape=(n_rows, len(self.items)), dtype=np.float32
        )
        matrix.sum_duplicates()
        matrix.data = np.maximum(matrix.data, 0)
        return matrix


@lru_cache(maxsize=16)
def _empty_row(width: int) -> sparse.csr_matrix:
    return sparse.csr_matrix((1, width), dtype=np.float32)


def checked_n(n: Any, n_items: int) -> int:
    """`n` as an int. It may exceed the catalogue, but not so far that a wrong number takes all memory."""
    limit = max(1_000_000, n_items)
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or not 1 <= n <= limit:
        raise ParameterError(f"n must be at least 1, a whole number, and at most {limit}, not {str(n)[:40]!r}.")
    return int(n)


def _checked_ids(ids: Ids, what: str) -> Ids:
    """Refuse a single id where a list is due: iterating over its letters would answer another question."""
    if isinstance(ids, (str, bytes)) or not hasattr(ids, "__len__"):
        raise ParameterError(f"{what} must be a list of ids, not {str(ids)[:40]!r}.")
    return ids


def _contexts_at(batch: Mapping[str, Any]) -> Context | list[Context]:
    """What the column `now` says of each row, if there is one. Raises SchemaError naming a row that is no number."""
    if "now" not in batch:
        return NO_CONTEXT
    from palate.features.fields import numbers  # the features' encoders are artifacts themselves

    return [Context(now=None if np.isnan(now) else float(now)) for now in numbers(batch["now"], "now")]


def rows_at_once(n_items: int) -> int:
    """How many users' scores to hold at once while ranking many: 4 MB of float32, which stays in the processor's cache,
    or, of a larger catalogue, 256 rows, for which a product need not read its factors from memory again and again; but
    no more than 64 MB."""
    n_items = max(1, n_items)
    return max(1, min(max(_NEAR // n_items, _ROWS), _MOST // n_items))


_NEAR, _ROWS, _MOST = 1 << 20, 256, 1 << 24
