"""Ratings as models take them: each pair once, on the scale that the training data has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy import sparse

from palate.dataset.schema import Interactions
from palate.errors import SchemaError
from palate.models.latest import latest_rows


@dataclass(frozen=True)
class Scale:
    """The lowest, the highest and the mean rating of the training data, and their standard deviation (1 if it is 0)."""

    low: float
    high: float
    mean: float
    deviation: float

    @classmethod
    def of(cls, matrix: sparse.csr_matrix) -> Self:
        ratings = matrix.data.astype(np.float64)
        return cls(float(ratings.min()), float(ratings.max()), float(ratings.mean()), float(ratings.std()) or 1.0)

    def standardised(self, ratings: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
        """Ratings, held within the scale, with mean 0 and deviation 1 over the training data."""
        return ((self.clip(ratings) - self.mean) / self.deviation).astype(np.float32)

    def clip(self, ratings: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
        return np.clip(ratings, self.low, self.high).astype(np.float32)


def rating_matrix(interactions: Interactions) -> sparse.csr_matrix:
    """`(n_users, n_items) float32`, ratings of 0 included; of a pair rated more than once the last one, by time.

    Interactions without weights are all rated 1. Raises SchemaError for a rating below 0.
    """
    ratings = interactions.weights if interactions.weights is not None else np.ones(len(interactions), np.float32)
    if ratings.min() < 0:
        row = int(np.argmin(ratings))
        raise SchemaError(
            f"the rating {ratings[row]:g} is below 0.", where=f"row {row}: weights", hint="Add a constant to all."
        )
    rows = latest_rows(interactions)
    starts = np.searchsorted(interactions.user_codes[rows], np.arange(interactions.n_users + 1))
    shape = interactions.n_users, interactions.n_items
    return sparse.csr_matrix((ratings[rows], interactions.item_codes[rows], starts), shape=shape)
