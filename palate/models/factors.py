"""A factorized rating matrix as a bundle holds it: a user's and an item's id in, the predicted rating out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from scipy import sparse

from palate.dataset.ids import Codes, IdMap
from palate.errors import ParameterError, SchemaError
from palate.models.dense import float_matrix
from palate.models.protocol import Arrays, Signature

Floats = npt.NDArray[np.float32]


def encoded_pairs(batch: Mapping[str, Any], users: IdMap, items: IdMap) -> tuple[Codes, Codes]:
    """Codes of the columns `user` and `item`, -1 for the unknown. Raises SchemaError unless they are of one length."""
    codes = []
    for name, ids in (("user", users), ("item", items)):
        values = batch.get(name) if isinstance(batch, Mapping) else None
        if isinstance(values, (str, bytes)) or not hasattr(values, "__len__"):
            raise SchemaError("must be a column of ids.", where=name)
        codes.append(ids.encode(values))
    if len(codes[0]) != len(codes[1]):
        raise SchemaError(f"{len(codes[0])} users and {len(codes[1])} items make no pairs.", where="user, item")
    return codes[0], codes[1]


class Factors:
    """Predicts the rating of a user for an item: the dot product of their factors.

    Parameters
    ----------
    users, items: ids in the order of the rows of the factors.
    user_factors: `(n_users, rank) float32`.
    item_factors: `(n_items, rank) float32`.
    seen: CSR `(n_users, n_items)` of the pairs it was fitted on, where they are to be left out of recommendations.
    engine: what fitted it.
    """

    kind: ClassVar[str] = "factors"

    def __init__(
        self,
        users: IdMap,
        items: IdMap,
        user_factors: npt.ArrayLike,
        item_factors: npt.ArrayLike,
        seen: sparse.csr_matrix | None = None,
        engine: str = "native",
    ) -> None:
        self.users, self.items, self.seen, self.engine = users, items, seen, engine
        self.user_factors: Floats = float_matrix(user_factors, "user_factors")
        self.item_factors: Floats = float_matrix(item_factors, "item_factors")
        shapes = self.user_factors.shape, self.item_factors.shape
        if shapes != ((len(users), self.rank), (len(items), self.rank)):
            raise SchemaError(
                f"{len(users)} users and {len(items)} items have factors of shapes {shapes[0]} and {shapes[1]}.",
                where="factors",
            )
        if seen is not None and seen.shape != (len(users), len(items)):
            raise SchemaError(f"must have shape {(len(users), len(items))}, not {seen.shape}.", where="seen")

    @property
    def rank(self) -> int:
        return int(self.user_factors.shape[1])

    def ratings(self, users: Codes, items: Codes) -> Floats:
        """Predictions `(n,) float32` for pairs of codes; NaN where either is -1."""
        found = np.full(len(users), np.nan, np.float32)
        known = np.flatnonzero((users >= 0) & (items >= 0))
        found[known] = np.einsum("ij,ij->i", self.user_factors[users[known]], self.item_factors[items[known]])
        return found

    def signature(self) -> Signature:
        kinds = ["int64" if ids.is_integer else "string" for ids in (self.users, self.items)]
        return Signature({"user": kinds[0], "item": kinds[1]}, {"prediction": "float"})

    def predict(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """`{"user": ids, "item": ids}` to `{"prediction": ratings}`, NaN for who or what is not in the model."""
        return {"prediction": self.ratings(*encoded_pairs(batch, self.users, self.items)).tolist()}

    def to_arrays(self) -> Arrays:
        arrays: dict[str, Any] = {"user_factors": self.user_factors, "item_factors": self.item_factors}
        if self.seen is not None:
            arrays["seen"] = self.seen
        return Arrays({"engine": self.engine}, arrays, {"users": self.users, "items": self.items})

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        held, ids = arrays.arrays, arrays.ids
        return cls(
            ids["users"],
            ids["items"],
            held["user_factors"],
            held["item_factors"],
            held.get("seen"),
            str(arrays.params.get("engine", "native")),
        )

    def require_seen(self) -> sparse.csr_matrix:
        """The pairs it was fitted on. Raises ParameterError if it holds none."""
        if self.seen is None:
            raise ParameterError(
                "this model does not hold which pairs were seen.", where="filterSeen", hint="Fit with filterSeen=True."
            )
        return self.seen
