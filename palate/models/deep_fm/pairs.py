"""What a ranking machine is trained on: users and items that they touched, against items drawn at random."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from palate.features.fields import Rows
from palate.models.deep_fm.definition import Batch


@dataclass(frozen=True)
class Pairs:
    """Epochs over pairs of users and items that they touched, each with items drawn from `known` against it.

    moments: of each pair of `seen`, in its order; an item that is drawn against one shares its user and its moment.
    """

    users: Rows
    moments: Rows
    items: Rows
    seen: sparse.csr_matrix
    known: npt.NDArray[np.intp]
    negatives: int
    batch_size: int
    forget: float
    rng: np.random.Generator

    def __len__(self) -> int:
        return int(self.seen.nnz) * (1 + self.negatives)

    def epoch(self) -> Iterator[Batch]:
        pairs = np.repeat(np.arange(self.seen.shape[0]), np.diff(self.seen.indptr))
        order = self.rng.permutation(self.seen.nnz)
        step = max(1, self.batch_size // (1 + self.negatives))
        for start in range(0, len(order), step):
            part = order[start : start + step]
            drawn = self.known[self.rng.integers(0, len(self.known), len(part) * self.negatives)]
            asked = np.concatenate([part, np.repeat(part, self.negatives)])
            items = np.concatenate([self.seen.indices[part], drawn])
            rows = self.users.take(pairs[asked]), self.moments.take(asked), self.items.take(items)
            codes = np.concatenate([each.codes for each in rows], axis=1)
            values = np.concatenate([each.values for each in rows], axis=1)
            if self.forget:
                values = values * (self.rng.random(values.shape, dtype=np.float32) >= self.forget)
            labels = np.zeros(len(asked), np.float32)
            labels[: len(part)] = 1
            yield Batch(codes, values.astype(np.float32), labels)
