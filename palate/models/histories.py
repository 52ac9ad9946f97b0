"""What models share that know a user by the items touched, and by nothing else."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from scipy import sparse

from palate.dataset.ids import Codes
from palate.dataset.schema import Interactions, Items, Users
from palate.errors import SchemaError
from palate.kernels.rows import widened
from palate.kernels.sparse_products import dense_product
from palate.models.protocol import Arrays, Capability, Context, Floats, Histories, Recommender, Vectors
from palate.models.recency import faded
from palate.models.sequences import Ordered

WEIGHTINGS = ("binary", "weights")
"""What the parameter `weighting` may be: whether each item of a history counts alike, or by the weight (rating, count)
of its interactions, divided by the mean weight."""


class HistoryRecommender(Recommender):
    """A user's vector is the row of what was touched; somebody new with the same row gets the same scores.

    Works on the items that somebody has touched, in code order; the others are never recommended. Subclasses have the
    parameters `weighting` and `recency`, and implement `_learn`, `_scores`, `_learned` and `_relearn`. Similar items
    are those that the same users touched, by the cosine of the columns of `histories`.
    """

    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {Capability.PERSONAL, Capability.FOLD_IN_USERS, Capability.SIMILAR_ITEMS}
    )

    touched: Codes
    """Codes of the items that somebody has touched, ascending, `(n_touched,)`."""
    histories: sparse.csr_matrix
    """`(n_users, n_touched) float32`: ones, or weights divided by their mean."""
    recent: sparse.csr_matrix
    """`histories` as users are scored by them: with `recency` what came last counts more."""

    @abstractmethod
    def _learn(self) -> None:
        """Learn from `histories`, in which every column has an entry."""

    @abstractmethod
    def _scores(self, histories: sparse.csr_matrix) -> tuple[Floats, npt.NDArray[np.bool_]]:
        """Scores `(n, n_touched)` for histories `(n, n_touched)`, and which rows are personal.

        A row that is all empty need not be told: it never is personal.
        """

    @abstractmethod
    def _learned(self) -> dict[str, Any]:
        """The arrays that `_relearn` takes."""

    @abstractmethod
    def _relearn(self, arrays: Any) -> None: ...

    def _fit(self, interactions: Interactions, items: Items, users: Users | None) -> None:
        binary = self.params.weighting == "binary"
        matrix = self.seen if binary else interactions.matrix()
        if matrix.nnz == 0:
            raise SchemaError("no interaction has a weight above zero.", where="interactions")
        self.usual_weight = float(matrix.data.mean(dtype=np.float64))  # in float32 large weights would overflow
        self.touched = np.unique(matrix.indices).astype(np.int32)
        self.histories = self._narrowed(matrix)
        self._learn()
        self.recent = self._faded(self.histories, Ordered.of_interactions(interactions, interactions.item_codes))

    def _faded(self, histories: sparse.csr_matrix, order: Ordered) -> sparse.csr_matrix:
        """Histories over the touched items as `recency` counts them. order: over all items."""
        if self.params.recency == 0:
            return histories
        order = order.without(self._places[order.codes] < 0)
        return faded(histories, Ordered(self._places[order.codes], order.starts), self.params.recency)

    def _narrowed(self, matrix: sparse.csr_matrix) -> sparse.csr_matrix:
        """Histories over all items as histories over those touched, weighted as the model weights."""
        data, columns, starts = matrix.data, matrix.indices, matrix.indptr
        if len(self.touched) < matrix.shape[1]:
            columns = self._places[columns]
            held = columns >= 0
            starts = np.concatenate([[0], np.cumsum(held)])[starts]
            data, columns = data[held], columns[held]
        if self.params.weighting == "binary":
            data = np.ones(len(data), np.float32)
        else:
            data = (data / self.usual_weight).astype(np.float32)
        narrow = sparse.csr_matrix((data, columns, starts), shape=(matrix.shape[0], len(self.touched)))
        narrow.has_sorted_indices = True
        return narrow

    @cached_property
    def _places(self) -> Codes:
        """The column of each item, -1 for one that nobody has touched, `(n_items,)`."""
        places = np.full(len(self.items), -1, np.int32)
        places[self.touched] = np.arange(len(self.touched), dtype=np.int32)
        return places

    def _user_vectors(self, codes: Codes) -> Vectors:
        rows = self.recent[np.maximum(codes, 0)]
        if (codes < 0).any():
            rows = sparse.csr_matrix(sparse.diags((codes >= 0).astype(np.float32)) @ rows)
            rows.eliminate_zeros()
        return (rows,)

    def _fold(self, histories: sparse.csr_matrix) -> Vectors:
        """Of a matrix no order is known: all of it counts as if it came at once."""
        return (self._narrowed(histories),)

    def _fold_in(self, histories: Histories, matrix: sparse.csr_matrix) -> Vectors:
        if self.params.recency == 0:
            return self._fold(matrix)
        return (self._faded(self._narrowed(matrix), Ordered.of(histories, self.items)),)

    def _score(self, vectors: Vectors, contexts: Sequence[Context]) -> tuple[Floats, npt.NDArray[np.bool_]]:
        rows = sparse.csr_matrix(vectors[0])
        found, personal = self._scores(rows)
        return self._widened(found), personal & (np.diff(rows.indptr) > 0)

    def _similar(self, codes: Codes) -> Floats:
        places = self._places[codes]
        found = self._likeness(np.maximum(places, 0))
        found[places < 0] = -np.inf
        return self._widened(found)

    def _likeness(self, columns: Codes) -> Floats:
        """How alike all touched items are to some, `(n, n_touched)`; -inf where nobody touched both."""
        by_user, by_item = self._directions
        found = dense_product(by_item[columns], by_user)
        found[found == 0] = -np.inf
        return found

    @cached_property
    def _directions(self) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
        """`histories` with columns of length one, and its transpose."""
        lengths = np.sqrt(np.bincount(self.histories.indices, self.histories.data**2, len(self.touched)))
        data = (self.histories.data / lengths[self.histories.indices]).astype(np.float32)
        unit = sparse.csr_matrix((data, self.histories.indices, self.histories.indptr), shape=self.histories.shape)
        return unit, sparse.csr_matrix(unit.T)

    def _widened(self, scores: Floats) -> Floats:
        """Scores over all items; -inf for those that nobody has touched."""
        if len(self.touched) == len(self.items):
            return scores
        return widened(scores, self.touched, len(self.items))

    def _state(self) -> Arrays:
        weighted = {} if self.params.weighting == "binary" else {"histories": self.histories}
        recent = {} if self.params.recency == 0 else {"recent": self.recent}
        arrays = {"touched": self.touched, **weighted, **recent, **self._learned()}
        return Arrays({"usual_weight": self.usual_weight}, arrays)

    def _restore(self, state: Arrays) -> None:
        self.usual_weight, self.touched = float(state.params["usual_weight"]), state.arrays["touched"]
        self.histories = state.arrays.get("histories", None)
        if self.histories is None:  # each counts alike: `seen` tells
            self.histories = self._narrowed(self.seen)
        self.recent = state.arrays.get("recent", self.histories)
        self._relearn(state.arrays)
