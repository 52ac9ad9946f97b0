"""A model together with how its item codes relate to those of the served catalogue."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import sparse

from palate.dataset.ids import Codes, Id, IdMap
from palate.dataset.schema import Items
from palate.models.protocol import NO_CONTEXT, Capability, Context, Recommender, UserVectors

Ranked = tuple[Codes, npt.NDArray[np.floating | np.integer]]
"""Codes of the served catalogue, best first, and their scores; no padding."""
Mask = npt.NDArray[np.bool_]

_EXCLUDED_AT_ONCE = 4_000_000
"""Pairs of a user and an item left out that are held at once while ranking many users: 32 MB."""

NOBODY: list[Id] = ["\x00nobody"]
"""A user no model knows: ids with control characters are refused at every door."""


class Ranker:
    """Ranks the served catalogue with a model that knows it, or a part of it.

    catalogue: the ids of the served catalogue. Where the model's ids are its beginning, codes are the same.
    """

    def __init__(self, model: Recommender, catalogue: IdMap) -> None:
        self.model = model
        n = len(model.items)
        same = n <= len(catalogue) and catalogue.ids.slice(0, n).equals(model.items.ids)
        self._to_served: Codes | None = None if same else catalogue.encode(model.items.ids)

    def can(self, capability: Capability) -> bool:
        return self.model.can(capability)

    def seen(self, user: int) -> Codes:
        """Served codes of what a user of the training data has touched."""
        start, stop = self.model.seen.indptr[user], self.model.seen.indptr[user + 1]
        codes: Codes = self.model.seen.indices[start:stop]
        if self._to_served is None:
            return codes
        served = self._to_served[codes]
        return served[served >= 0]

    def history(self, items: Sequence[Id]) -> list[Id]:
        """Those of the items that the model knows."""
        return [item for item in items if self.model.items.code(item) >= 0]

    def best(self, user: int | UserVectors, n: int, barred: Mask, context: Context = NO_CONTEXT) -> Ranked | None:
        """The `n` best items that are not barred; None if the model knows nothing of the user or the context.

        user: the model's code of them, -1 for nobody in particular, or what `fold_in_users` gave for one user.
        barred: `(n_served,) bool`.
        """
        found = self.model.best(user, n, self._own(barred), context)
        return None if found is None else self._served(*found)

    def best_of(
        self, users: Sequence[str], n: int, barred: Sequence[Mask], contexts: Sequence[Context]
    ) -> list[Ranked | None]:
        """As `best` of each user, computed together in blocks; None for those of whom the model knows nothing."""
        found: list[Ranked | None] = []
        while len(found) < len(users):
            rows = [self._exclusion(barred[len(found)])]
            held = rows[0].nnz
            while held < _EXCLUDED_AT_ONCE and len(found) + len(rows) < len(users):
                rows.append(self._exclusion(barred[len(found) + len(rows)]))
                held += rows[-1].nnz
            block = slice(len(found), len(found) + len(rows))
            ranked = self.model.recommend(
                list(users[block]), n, exclude=sparse.vstack(rows, "csr"), context=list(contexts[block])
            )
            found.extend(
                self._served(ranked.codes[row], ranked.scores[row]) if ranked.personal[row] else None
                for row in range(len(rows))
            )
        return found

    def popular(self) -> Ranked:
        """Every item the model has a popularity for, most popular first."""
        found = self.model.recommend(NOBODY, len(self.model.items), exclude=None)
        return self._served(found.codes[0], found.scores[0])

    def similar(self, item: Id, n: int, barred: Mask) -> Ranked:
        """The `n` items most similar to one that the model knows, best first, without those barred."""
        width = min(len(self.model.items), n + 32)
        while True:
            found = self.model.similar_items([item], width)
            codes, scores = self._served(found.codes[0], found.scores[0])
            free = ~barred[codes]
            if free.sum() >= n or width >= len(self.model.items):
                return codes[free][:n], scores[free][:n]
            width = min(len(self.model.items), width * 8)

    def folded(self, items: Items, catalogue: IdMap) -> Ranker:
        """A ranker that also knows these items, if its model can take them in."""
        model = self.model.fold_in_items(items) if self.can(Capability.FOLD_IN_ITEMS) else self.model
        return Ranker(model, catalogue)

    def _own(self, barred: Mask) -> Mask:
        """What is barred, by the model's own codes, `(n_items,)`."""
        if self._to_served is None:
            return barred[: len(self.model.items)]
        mask: Mask = barred[self._to_served] | (self._to_served < 0)
        return mask

    def _exclusion(self, barred: Mask) -> sparse.csr_matrix:
        codes = np.flatnonzero(self._own(barred)).astype(np.int32)
        shape = 1, len(self.model.items)
        return sparse.csr_matrix((np.ones(len(codes), np.float32), codes, np.array([0, len(codes)])), shape=shape)

    def _served(self, codes: Codes, scores: npt.NDArray[np.float32]) -> Ranked:
        if self._to_served is not None:
            codes = np.where(codes >= 0, self._to_served[codes], -1)
        if not len(codes) or (codes[-1] >= 0 and self._to_served is None):
            return codes, scores  # padding is at the end
        held = codes >= 0
        return codes[held], scores[held]
