"""What models share that score by the dot product of a user's and an item's factors."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from palate.dataset.ids import Codes
from palate.models.protocol import Capability, Context, Floats, Recommender, Vectors


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

    def _user_vectors(self, codes: Codes) -> Vectors:
        vectors = self.user_factors[codes]
        vectors[codes < 0] = 0
        return (vectors,)

    def _score(self, vectors: Vectors, contexts: Sequence[Context]) -> tuple[Floats, npt.NDArray[np.bool_]]:
        scores: Floats = vectors[0] @ self.item_factors.T
        scores[:, self._untouched] = -np.inf
        return scores, np.asarray((vectors[0] != 0).any(axis=1))

    @cached_property
    def _untouched(self) -> npt.NDArray[np.intp]:
        return np.flatnonzero(~self.item_factors.any(axis=1))

    @cached_property
    def _directions(self) -> Floats:
        """Item factors of length one, `(n_items, factors)`."""
        lengths = np.linalg.norm(self.item_factors, axis=1, keepdims=True)
        directions: Floats = self.item_factors / np.where(lengths == 0, 1, lengths)
        return directions

    def _similar(self, codes: Codes) -> Floats:
        scores: Floats = self._directions[codes] @ self._directions.T
        scores[:, self._untouched] = -np.inf
        scores[np.isin(codes, self._untouched)] = -np.inf
        return scores
