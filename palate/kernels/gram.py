"""Sums of products of rows, which is all that PCA needs to know of its data; they add up over partitions.

Products are float32 and sums float64. Before the product each row is shifted by a provisional mean, so that the size
of the offsets does not eat the digits that hold the variance; the shift is undone exactly when moments are put together
(Chan, Golub & LeVeque 1983, "Algorithms for computing the sample variance").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

Doubles = npt.NDArray[np.float64]

_ROWS_AT_ONCE = 2048
"""Rows per product: 2048 x 784 float32 are 6 MB, which stay in cache; float32 sums over no more than these."""


@dataclass
class Moments:
    """The first two moments of rows, about `shift`.

    count: number of rows. shift: `(width,) float64`. total: `(width,)`, the sum of x - shift. gram: `(width, width)`,
    the sum of (x - shift)(x - shift)'.
    """

    count: int
    shift: Doubles
    total: Doubles
    gram: Doubles

    @classmethod
    def about(cls, shift: npt.ArrayLike) -> Moments:
        """Of no rows yet."""
        centre = np.asarray(shift, dtype=np.float64)
        return cls(0, centre, np.zeros(len(centre)), np.zeros((len(centre), len(centre))))

    @classmethod
    def together(cls, counts: npt.ArrayLike, shifts: npt.ArrayLike, totals: npt.ArrayLike, gram: Doubles) -> Moments:
        """Of the rows of several, given `(m,)` counts, `(m, width)` shifts and totals, and the sum of their grams, in
        which the result is made."""
        numbers, centres, sums = (np.asarray(given, dtype=np.float64) for given in (counts, shifts, totals))
        count, centre = int(numbers.sum()), centres[0]
        apart = centres - centre  # x - a = (x - b) + (b - a)
        crossed = sums.T @ apart
        gram += crossed
        gram += crossed.T
        gram += apart.T @ (numbers[:, None] * apart)
        return cls(count, centre, sums.sum(axis=0) + numbers @ apart, gram)

    @property
    def mean(self) -> Doubles:
        """`(width,) float64`."""
        mean: Doubles = self.shift + self.total / max(1, self.count)
        return mean

    def covariance(self) -> Doubles:
        """`(width, width) float64`, over count - 1. One row has none: zeros."""
        centred: Doubles = self.gram - np.outer(self.total, self.total) / max(1, self.count)
        centred /= max(1, self.count - 1)
        return centred

    def add_rows(self, rows: npt.NDArray[Any] | sparse.csr_matrix) -> None:
        """Rows `(n, width)`, dense of any float type, or sparse."""
        if sparse.issparse(rows):
            self._add_sparse(rows)
            return
        shift = self.shift.astype(rows.dtype)
        held = np.empty((min(_ROWS_AT_ONCE, len(rows)), len(shift)), rows.dtype)
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            given = rows[start : start + _ROWS_AT_ONCE]
            part = np.subtract(given, shift, out=held[: len(given)])
            product, total = _products(part)
            self.gram += product
            self.total += total
        self.count += len(rows)

    def _add_sparse(self, rows: sparse.csr_matrix) -> None:
        """Sparse rows are not shifted one by one, which would fill them; the sum of their products is."""
        wide = rows.astype(np.float64)
        total = np.asarray(wide.sum(axis=0)).ravel()
        product = (wide.T @ wide).toarray()
        n, shift = rows.shape[0], self.shift
        self.gram += product - np.outer(total, shift) - np.outer(shift, total) + n * np.outer(shift, shift)
        self.total += total - n * shift
        self.count += n


def _products(part: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """part' part, and part' 1, in float32, or in float64 where the squares leave what float32 can hold."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        narrow = part.astype(np.float32, copy=False)
        product: npt.NDArray[Any] = narrow.T @ narrow
        largest = product.diagonal().max(initial=0.0)
    if 1e-25 < largest < 1e30 or not part.any():
        return product, np.ones(len(narrow), np.float32) @ narrow
    wide = part.astype(np.float64)
    return wide.T @ wide, wide.sum(axis=0)
