"""What models share that score by the dot product of a user's and an item's factors.

Their catalogue can be `indexed`: an answer to one user then looks through clusters of items (`palate.kernels.clusters`)
in place of all of them. Or it can be `compacted`: an answer then looks through int8 or float16
(`palate.kernels.compact`), and ranks what may be among the best by the factors themselves. Either is part of the
bundle, beside the factors. `palate.models.compiling` measures which serves a model best.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import fields, replace
from functools import cached_property
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt
from scipy import sparse

from palate.dataset.ids import Codes
from palate.dataset.schema import Interactions, Items, Users
from palate.errors import ParameterError
from palate.kernels.clusters import Clusters, search
from palate.kernels.compact import Compact, Form, may_be_best
from palate.kernels.top_n import Targets, best_of
from palate.models.protocol import Arrays, Capability, Context, Floats, Recommender, Vectors
from palate.retrieval.topk import top_k


class FactorModel(Recommender):
    """Users and items as vectors. Similar items are those with the largest cosine between their vectors.

    An item whose factors are all zero is one that nobody has touched, and is never recommended.
    """

    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {Capability.PERSONAL, Capability.FOLD_IN_USERS, Capability.SIMILAR_ITEMS}
    )

    user_factors: Floats
    """`(n_users, factors) float32`; zeros for a user without interactions."""
    item_factors: Floats
    """`(n_items, factors) float32`; zeros for an item without interactions."""
    index: Clusters | Compact | None = None
    """The catalogue in clusters, or in few bytes; None: every answer looks at all factors."""

    def fit(self, interactions: Interactions, items: Items | None = None, users: Users | None = None) -> Self:
        """Learns as every model does, and is without an index again."""
        self.index = None  # of the factors of an earlier fit
        return super().fit(interactions, items, users)

    def _user_vectors(self, codes: Codes) -> Vectors:
        vectors = self.user_factors[codes]
        vectors[codes < 0] = 0
        return (vectors,)

    def _vectors_of(self, user: int) -> Vectors:
        if user < 0 or type(self)._user_vectors is not FactorModel._user_vectors:
            return super()._vectors_of(user)
        return (self.user_factors[user : user + 1],)  # where they lie: each step of numpy's costs microseconds

    def _score(self, vectors: Vectors, contexts: Sequence[Context]) -> tuple[Floats, npt.NDArray[np.bool_]]:
        scores: Floats = vectors[0] @ self.item_factors.T
        scores[:, self._untouched] = -np.inf
        return scores, np.asarray((vectors[0] != 0).any(axis=1))

    def indexed(self, recall: float = 0.995, n: int = 20, clusters: int | None = None, seed: int = 0) -> Self:
        """This model with an index, with which users of the training data find this share of their true best `n`.

        clusters: how many; √items unless told. seed: of the samples of items and of users (at most 500) from which
        centres and caution are learned. This model stays as it is, and shares its arrays. Raises ParameterError for a
        recall outside (0, 1].
        """
        self._require_fitted()
        if not 0 < recall <= 1:
            raise ParameterError(f"must be above 0 and at most 1, not {recall:g}.", where="recall")
        sample = self.shuffled_users(seed)[:CALIBRATING]
        depth = n + self.seen.nnz // max(1, len(self.users))  # what a user has seen is at the top, and left out
        made = copy.copy(self)
        queries = self._queries(self.user_factors[sample])
        made.index = Clusters.of(self._item_rows(slice(None)), clusters, seed).calibrated(queries, depth, recall)
        return made

    def compacted(self, form: Form = "int8") -> Self:
        """This model with its items in int8 or float16 beside their factors; what it answers stays the same.

        This model stays as it is, and shares its arrays. Raises ParameterError for another form.
        """
        self._require_fitted()
        made = copy.copy(self)
        made.index = Compact.of(self._item_rows(slice(None)), form)
        return made

    def plain(self) -> Self:
        """This model without an index."""
        made = copy.copy(self)
        made.index = None
        return made

    def _queries(self, users: Floats) -> Floats:
        """What a score is a dot product of: `(n, width)` for vectors of users, and `_item_rows` for items."""
        return users

    def _item_rows(self, codes: Codes | slice) -> Floats:
        """`(n, width) float32`; zeros for items that are never recommended."""
        return self.item_factors[codes]

    def shuffled_users(self, seed: int) -> npt.NDArray[np.intp]:
        """Codes of the users that have factors, in random order; an index learns from the first CALIBRATING of them."""
        known = np.flatnonzero(self.user_factors.any(axis=1))
        return np.random.default_rng(seed).permutation(known)

    def _ranked(
        self,
        vectors: Vectors,
        contexts: Sequence[Context],
        n: int,
        barred: sparse.csr_matrix | None,
        allowed: npt.NDArray[np.bool_] | None,
    ) -> tuple[Codes, Floats, npt.NDArray[np.bool_]]:
        asked = vectors[0]
        one_by_one = len(asked) <= _FEW and n <= _SHORT and (self.index is not None or self._plain_products)
        if not one_by_one or not asked.any(axis=1).all():
            return super()._ranked(vectors, contexts, n, barred, allowed)
        best = []
        for row, context in enumerate(contexts):
            left_out = np.zeros(len(self.items), bool) if allowed is None else ~allowed
            if barred is not None:
                left_out[barred.indices[barred.indptr[row] : barred.indptr[row + 1]]] = True
            found = self._best((asked[row : row + 1],), context, n, left_out)
            assert found is not None  # noqa: S101  (for the type checker; the row is not zero)
            best.append(found)
        codes, scores = (np.stack(parts) for parts in zip(*best, strict=True))
        return codes, scores, np.ones(len(asked), bool)

    def _best(
        self, vectors: Vectors, context: Context, n: int, barred: npt.NDArray[np.bool_] | None
    ) -> tuple[Codes, Floats] | None:
        indexed = self.index if n <= _SHORT else None
        if indexed is None and not self._plain_products:
            return super()._best(vectors, context, n, barred)
        query = np.array(vectors[0][0], np.float32)  # of a file it could not be written to: to numba another type
        if indexed is not None:
            return self._looked_up(indexed, self._queries(query[None])[0], n, barred) if query.any() else None
        if self._nothing_known is not None:
            barred = self._nothing_known if barred is None else barred | self._nothing_known
        found = best_of(query, self._targets, n, barred)
        return found if (len(found[0]) and found[0][0] >= 0) or query.any() else None

    @property
    def _plain_products(self) -> bool:
        """Whether a score is the product of the factors, and nothing else."""
        return type(self)._score is FactorModel._score

    def _looked_up(
        self, index: Clusters | Compact, query: Floats, n: int, barred: npt.NDArray[np.bool_] | None
    ) -> tuple[Codes, Floats]:
        """The best for a query `(width,)` by the index, or of all that is allowed where it is little."""
        if barred is not None and len(barred) - np.count_nonzero(barred) <= _SCANNED * len(barred):
            left = ~barred
            left[self._untouched] = False
            few = np.flatnonzero(left).astype(np.int32)
        elif isinstance(index, Compact):
            few = may_be_best(query, index, n, barred)
        else:
            out = np.flatnonzero(barred).astype(np.int32) if barred is not None else np.zeros(0, np.int32)
            found = search(query[None], index, n, (np.array([0, len(out)]), out))
            return found[0][0], found[1][0]
        scores = self._item_rows(few) @ query
        if n < len(few) <= _SORTED:  # ascending codes: of equal scores the lower code comes first
            order = np.argsort(-scores, kind="stable")[:n]
            return few[order], scores[order]
        codes, scores = top_k(scores[None], n)
        return (np.where(codes >= 0, few[codes], np.int32(-1)) if len(few) else codes)[0], scores[0]

    def to_arrays(self) -> Arrays:
        held = super().to_arrays()
        if self.index is None:
            return held
        parts = {f"index.{name}": getattr(self.index, name) for name in _arrays_of(type(self.index))}
        params = {"caution": self.index.caution} if isinstance(self.index, Clusters) else {}
        return replace(held, params={**held.params, **params}, arrays={**held.arrays, **parts})

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        model = super().from_arrays(arrays)
        held = {name.removeprefix("index."): each for name, each in arrays.arrays.items() if name.startswith("index.")}
        if "caution" in arrays.params:
            model.index = Clusters(**held, caution=float(arrays.params["caution"]))
        elif held:
            model.index = Compact(**held)
        return model

    @cached_property
    def _targets(self) -> Targets:
        """The items as a single query looks through them: in the order that ends soonest, and rounded besides, unless
        that takes a large copy of what other processes share."""
        make = Targets.rounded if self.item_factors.nbytes <= _COPIED else Targets.in_place
        return make(self.item_factors)

    @cached_property
    def _nothing_known(self) -> npt.NDArray[np.bool_] | None:
        """`(n_items,) bool`: what is never recommended; None if that is nothing."""
        mask = np.zeros(len(self.item_factors), bool)
        mask[self._untouched] = True
        return mask if len(self._untouched) else None

    @cached_property
    def _untouched(self) -> npt.NDArray[np.intp]:
        return np.flatnonzero(~self.item_factors.any(axis=1))

    @property
    def _alike(self) -> Floats:
        """The factors whose directions say which items are alike, `(n_items, width)`."""
        return self.item_factors

    @cached_property
    def _lengths(self) -> Floats:
        """Euclidean lengths of `_alike`, `(n_items,)`, 1 where they are all zero."""
        lengths = np.linalg.norm(self._alike, axis=1)
        return np.asarray(np.where(lengths == 0, 1, lengths), np.float32)

    def _similar(self, codes: Codes) -> Floats:
        # Divided by the lengths only now: factors of length one would be a second copy of them all.
        directions = self._alike[codes] / self._lengths[codes, None]
        scores: Floats = np.asarray(directions @ self._alike.T, np.float32)
        scores /= self._lengths
        scores[:, self._untouched] = -np.inf
        scores[np.isin(codes, self._untouched)] = -np.inf
        return scores


def _arrays_of(index: type[Clusters] | type[Compact]) -> list[str]:
    return [field.name for field in fields(index) if field.name != "caution"]


CALIBRATING = 500
_FEW, _SHORT = 8, 1000
"""Up to so many users, and items for each, are looked up one by one; of more, products of matrices are faster."""
_SORTED = 1000
"""So few scores are sorted at once; of more, the best are taken out first."""
_COPIED = 32 << 20
"""Bytes of item factors up to which a model keeps a copy of them in another order."""
_SCANNED = 0.1
"""Where no more than this share of the items is allowed, all of them are looked at: clusters would hold few each."""
