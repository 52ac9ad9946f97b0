"""The rows a factorization machine is trained on: in which units, and as tensors of which a batch is cut."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from palate.engines import import_torch
from palate.kernels.peers import Peers

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Units:
    """In what features and labels are measured while training: features are divided by `scale` `(width,)`, which is
    None where all their entries are one, labels become (label - shift) / spread."""

    scale: Floats | None = None
    shift: float = 0.0
    spread: float = 1.0

    @classmethod
    def of_features(cls, rows: sparse.csr_matrix, peers: Peers) -> Units:
        """The root mean square of each feature's entries that are not zero, over the rows of all peers."""
        if all(peers.gather(bool((rows.data == 1).all()))):
            return cls()
        width = int(rows.shape[1])
        squares = np.bincount(rows.indices, weights=rows.data.astype(np.float64) ** 2, minlength=width)
        present = np.bincount(rows.indices, weights=rows.data != 0, minlength=width)
        sums = peers.sum(np.stack([squares, present]))
        scale = np.sqrt(sums[0] / np.maximum(sums[1], 1))
        return cls(np.where(scale > 0, scale, 1).astype(np.float32))

    def with_labels(self, labels: Doubles, shift: float, total: float, peers: Peers) -> Units:
        """And the labels, `total` of all peers together, as distances from `shift` in their root mean square."""
        squares = float(peers.sum(np.array([((labels - shift) ** 2).sum()]))[0])
        spread = math.sqrt(squares / max(1.0, total))
        return Units(self.scale, shift, spread if spread > 0 else 1.0)

    def folded(self, intercept: float, table: Doubles) -> tuple[float, Floats, Floats]:
        """Intercept, linear weights and factors in the units of the data; table: `(width, 1 + factors)`, w first."""
        if self.scale is not None:
            table = table / self.scale[:, None]
        return (
            self.shift + self.spread * intercept,
            (self.spread * table[:, 0]).astype(np.float32),
            (math.sqrt(self.spread) * table[:, 1:]).astype(np.float32),
        )


@dataclass
class Batch:
    """Some rows: the features of all their entries, the row of each entry, where each row starts; None is all ones."""

    indices: Any
    owner: Any
    starts: Any
    values: Any
    labels: Any


class Rows:
    """Rows as tensors; `take` gives some of them."""

    def __init__(self, rows: sparse.csr_matrix, labels: Doubles, units: Units) -> None:
        torch = import_torch()
        self.torch = torch
        lengths = np.diff(rows.indptr)
        # Rows of one length, as categorical columns give, are cut out of a matrix; others are gathered entry by entry.
        self.fixed = int(lengths[0]) if len(lengths) and lengths[0] > 0 and (lengths == lengths[0]).all() else 0
        indices = torch.from_numpy(np.ascontiguousarray(rows.indices, dtype=np.int32))
        values, scale = None, units.scale
        if scale is not None:
            values = torch.from_numpy((rows.data / scale[rows.indices]).astype(np.float32))
        if self.fixed:
            indices = indices.view(-1, self.fixed)
            values = None if values is None else values.view(-1, self.fixed)
        self.indices, self.values = indices, values
        self.indptr = torch.from_numpy(rows.indptr.astype(np.int64))
        self.labels = torch.from_numpy(((labels - units.shift) / units.spread).astype(np.float32))
        self.layouts: dict[int, tuple[Any, Any]] = {}

    def take(self, chosen: Any) -> Batch:
        torch = self.torch
        n = len(chosen)
        if self.fixed:
            indices = self.indices.index_select(0, chosen).view(-1)
            values = None if self.values is None else self.values.index_select(0, chosen).view(-1)
            owner, starts = self._layout(n)
        else:
            first = self.indptr[chosen]
            lengths = self.indptr[chosen + 1] - first
            starts = lengths.cumsum(0) - lengths
            owner = torch.arange(n).repeat_interleave(lengths)
            at = torch.arange(len(owner)) + (first - starts)[owner]
            indices, values = self.indices[at], None if self.values is None else self.values[at]
        return Batch(indices, owner, starts, values, self.labels.index_select(0, chosen))

    def _layout(self, n: int) -> tuple[Any, Any]:
        """Of `n` rows of one length: the row of each entry, and where each row starts."""
        if n not in self.layouts:
            starts = self.torch.arange(0, n * self.fixed, self.fixed)
            self.layouts[n] = self.torch.arange(n).repeat_interleave(self.fixed), starts
        return self.layouts[n]
