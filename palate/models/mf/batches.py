"""What the engines are given: the order of the interactions and the items drawn against them, from one generator."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Codes = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]

_ROWS_AT_ONCE = 1 << 19
"""Rows handed to an engine at once: with four negatives 23 MB."""


@dataclass(frozen=True)
class Rows:
    """Some batches in a row: users `(n,) int32`, items `(n, 1 + negatives) int32`, targets of the same shape."""

    users: Codes
    items: Codes
    targets: Floats

    def __len__(self) -> int:
        return len(self.users)


@dataclass(frozen=True)
class Batches:
    """Epochs over interactions.

    users, items: codes, `(n,) int32`. ratings: `(n,) float32`, or None to learn from negatives.
    known: the items to draw from, each with the same chance; one that the user touched may come, too.
    """

    users: Codes
    items: Codes
    ratings: Floats | None
    known: Codes
    negatives: int
    batch_size: int
    rng: np.random.Generator

    def __len__(self) -> int:
        return len(self.users)

    def epoch(self) -> Iterator[Rows]:
        """All interactions once, in a new order, in pieces of whole batches."""
        order = self.rng.permutation(len(self.users))
        step = max(1, _ROWS_AT_ONCE // self.batch_size) * self.batch_size
        for start in range(0, len(order), step):
            part = order[start : start + step]
            items = self.items[part, None]
            if self.ratings is not None:
                yield Rows(self.users[part], items, self.ratings[part, None])
                continue
            drawn = self.known[self.rng.integers(0, len(self.known), (len(part), self.negatives), dtype=np.int32)]
            targets = np.zeros((len(part), 1 + self.negatives), np.float32)
            targets[:, 0] = 1
            yield Rows(self.users[part], np.concatenate([items, drawn], axis=1), targets)
