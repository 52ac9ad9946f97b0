"""The moment of an interaction, or of a request, as features of a ranking machine: its hour and its weekday, in UTC."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from palate.dataset.ids import IdMap
from palate.dataset.schema import Interactions
from palate.features.fields import Field, FieldEncoder, Rows
from palate.models.latest import latest_rows
from palate.models.protocol import Context, Floats

_ENCODER = FieldEncoder((Field("moment", "moment", IdMap([]), slots=2),))


@dataclass(frozen=True)
class Moments:
    """shares: what share of the training data has each feature, `(width,) float32`; of width 0, moments don't count."""

    shares: Floats

    @classmethod
    def fit(cls, interactions: Interactions, count: bool) -> tuple[Self, Rows]:
        """With the moments of each pair's latest interaction, in the order of the pairs: rows without slots if moments
        are not to count, or the interactions have no timestamps."""
        rows = latest_rows(interactions)
        if not count or interactions.timestamps is None:
            nothing = np.zeros((len(rows), 0))
            return cls(np.zeros(0, np.float32)), Rows(nothing.astype(np.int32), nothing.astype(np.float32))
        found = _ENCODER.encode({"moment": interactions.timestamps[rows].tolist()})
        return cls((np.bincount(found.codes.ravel(), minlength=_ENCODER.width) / len(rows)).astype(np.float32)), found

    @property
    def width(self) -> int:
        return len(self.shares)

    @property
    def slots(self) -> int:
        return len(_ENCODER.slots) if self.width else 0

    def of(self, contexts: Sequence[Context]) -> Floats:
        """What each feature counts at the moments asked about, `(n, width) float32`: as on average where nothing is
        said of the moment."""
        found = np.tile(self.shares, (len(contexts), 1))
        told = [row for row, context in enumerate(contexts) if context.now is not None]
        if self.width and told:
            encoded = _ENCODER.encode({"moment": [contexts[row].now for row in told]})
            found[told] = 0
            np.add.at(found, (np.array(told)[:, None], encoded.codes), encoded.values)
        return found
