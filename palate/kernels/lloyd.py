"""k-means over rows that several processes hold: Lloyd's iterations, dense and sparse.

A pass finds each row's closest centre and adds the row to that centre's sum, block by block: one float32 product
tells all centres of a block apart (|c|^2 - 2 x.c), and a compiled loop finds the least and adds while the block is in
cache. Where float32 cannot tell the two best apart, their distances are computed from the difference in float64; so
are the distances given back, and all sums are float64. Rows are held about a common shift, so that the size of their
offsets does not eat the digits that tell them apart.

Source: Lloyd 1982, "Least squares quantization in PCM". With unit rows the means are scaled back to length one
(Dhillon & Modha 2001, spherical k-means), for which |x - c|^2 = 2 (1 - cos).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from scipy import sparse

from palate.kernels.peers import Alone, Peers

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int32]

_BLOCK_BYTES = 1 << 19
"""A block of rows and their products: what stays in a core's second-level cache."""
_ROWS_SQUARED = 1 << 11
"""Sparse rows whose squares are held at a time."""


@dataclass(frozen=True)
class Pass:
    """What one pass over the rows of a process found, centres being `(k, width)`.

    labels: `(n,) int32`, the closest centre. distances: `(n,) float32`, squared. sums: `(k, width) float64`, of
    weighted rows. masses: `(k,) float64`, of weights. counts: `(k,) float64`, of rows. cost: the weighted sum of
    squared distances.
    """

    labels: Labels
    distances: Floats
    sums: Doubles
    masses: Doubles
    counts: Doubles
    cost: float


class Rows(Protocol):
    """Rows `(n, width)` with weights, centred on `shift`; centres are given and found about the same shift."""

    weights: Doubles
    shift: Doubles
    unit: bool

    def __len__(self) -> int: ...

    def visit(self, centers: Doubles) -> Pass:
        """One pass; see `Pass`."""
        ...

    def potentials(self, points: Doubles, distances: Floats) -> Doubles:
        """`(m,)`: the cost if each of `points` `(m, width)` were one more centre beside those at `distances`."""
        ...

    def take(self, indices: npt.NDArray[Any]) -> Doubles:
        """Some rows, dense."""
        ...


@dataclass
class DenseRows:
    """values: `(n, width) float32`, C-contiguous. weights: `(n,) float64`. unit: rows plus shift have length one."""

    values: Floats
    weights: Doubles
    shift: Doubles
    unit: bool = False
    squares: Floats = field(init=False)

    def __post_init__(self) -> None:
        self.squares = np.einsum("ij,ij->i", self.values, self.values)

    def __len__(self) -> int:
        return len(self.values)

    def visit(self, centers: Doubles) -> Pass:
        n, (k, width) = len(self), centers.shape
        labels, distances = np.zeros(n, np.int32), np.zeros(n, np.float32)
        sums, masses, counts = np.zeros((k, width)), np.zeros(k), np.zeros(k)
        narrow = centers.astype(np.float32)
        norms = np.einsum("ij,ij->i", centers, centers).astype(np.float32)
        twice = np.ascontiguousarray(-2 * narrow.T)
        step = max(64, _BLOCK_BYTES // (4 * (k + width)))
        products = np.empty((min(step, n), k), np.float32)
        add, cost = _kernel(), 0.0
        for start in range(0, n, step):
            part = slice(start, start + step)
            rows = self.values[part]
            found = products[: len(rows)]
            np.matmul(rows, twice, out=found)
            cost += add(
                found, norms, rows, self.squares[part], self.weights[part], narrow, centers,
                labels[part], distances[part], sums, masses, counts,
            )  # fmt: skip
        return Pass(labels, distances, sums, masses, counts, cost)

    def potentials(self, points: Doubles, distances: Floats) -> Doubles:
        narrow = points.astype(np.float32)
        norms = np.einsum("ij,ij->i", narrow, narrow)
        twice = np.ascontiguousarray(-2 * narrow.T)
        total = np.zeros(len(points))
        step = max(64, _BLOCK_BYTES // (4 * (len(points) + narrow.shape[1])))
        for start in range(0, len(self), step):
            part = slice(start, start + step)
            found = self.values[part] @ twice
            found += norms
            found += self.squares[part, None]
            np.minimum(found, distances[part, None], out=found)
            total += self.weights[part] @ np.maximum(found, 0, out=found)
        return total

    def take(self, indices: npt.NDArray[Any]) -> Doubles:
        found: Doubles = self.values[indices].astype(np.float64)
        return found


@dataclass
class SparseRows:
    """values: `(n, width)` CSR, float64. They are not shifted, which would fill them: `shift` is zeros."""

    values: sparse.csr_matrix
    weights: Doubles
    shift: Doubles
    unit: bool = False
    squares: Doubles = field(init=False)

    def __post_init__(self) -> None:
        self.squares = np.empty(len(self))
        for start in range(0, len(self), _ROWS_SQUARED):
            part = self.values[start : start + _ROWS_SQUARED]
            self.squares[start : start + _ROWS_SQUARED] = np.asarray(part.multiply(part).sum(axis=1)).ravel()

    def __len__(self) -> int:
        return int(self.values.shape[0])

    def visit(self, centers: Doubles) -> Pass:
        n, k = len(self), len(centers)
        labels, distances = np.zeros(n, np.int32), np.zeros(n, np.float32)
        for part, found in self._distances(centers):
            labels[part] = found.argmin(axis=1)
            distances[part] = np.take_along_axis(found, labels[part, None].astype(np.int64), axis=1)[:, 0]
        member = sparse.csr_matrix((self.weights, (labels, np.arange(n))), shape=(k, n))
        sums = np.asarray((member @ self.values).toarray())
        masses = np.bincount(labels, self.weights, minlength=k).astype(np.float64)
        counts = np.bincount(labels, minlength=k).astype(np.float64)
        return Pass(labels, distances, sums, masses, counts, float(self.weights @ distances))

    def potentials(self, points: Doubles, distances: Floats) -> Doubles:
        total = np.zeros(len(points))
        for part, found in self._distances(points):
            total += self.weights[part] @ np.minimum(found, distances[part, None])
        return total

    def take(self, indices: npt.NDArray[Any]) -> Doubles:
        return np.asarray(self.values[indices].toarray())

    def _distances(self, centers: Doubles) -> Any:
        """(slice of rows, their squared distances to all centres), block by block; below rounding they are 0."""
        norms = np.einsum("ij,ij->i", centers, centers)
        twice = np.ascontiguousarray(-2 * centers.T)
        step = max(64, _BLOCK_BYTES // (8 * len(centers)))
        for start in range(0, len(self), step):
            part = slice(start, start + step)
            scale = norms + self.squares[part, None]
            found = self.values[part] @ twice + scale
            found[found <= 1e-14 * scale] = 0
            yield part, found


@dataclass(frozen=True)
class Fit:
    """Centres `(k, width) float64`, about the rows' shift; their cost, numbers of rows `(k,)` and iterations."""

    centers: Doubles
    cost: float
    sizes: npt.NDArray[np.int64]
    iterations: int


def lloyd(rows: Rows, centers: Doubles, *, iterations: int, tolerance: float, peers: Peers | None = None) -> Fit:
    """Lloyd's iterations over the rows of all peers, from `centers`, until none moves by more than `tolerance`.

    tolerance: a distance; with unit rows 1 - cos. A centre that no weight is closest to stays where it is. The cost is
    that of the centres given back: a last pass computes it.
    """
    peers = peers or Alone()
    k, width = centers.shape
    settled = False
    for iteration in range(iterations + 1):
        found = rows.visit(centers)
        packed: npt.NDArray[Any] = np.zeros((k + 1, width + 2))
        packed[:k, :width], packed[:k, width], packed[:k, width + 1] = found.sums, found.masses, found.counts
        # One peer's word for all: another machine's last bit might say otherwise, and each would wait for the other.
        packed[k, 0], packed[k, 1] = found.cost, settled and peers.rank == 0
        packed = peers.sum(packed)
        if packed[k, 1] or iteration == iterations:
            break
        moved = _means(packed[:k, :width], packed[:k, width], centers, rows)
        difference = moved - centers
        farthest = math.sqrt(float(np.einsum("ij,ij->i", difference, difference).max()))
        settled = (farthest**2 / 2 if rows.unit else farthest) <= tolerance
        centers = moved
    return Fit(centers, float(packed[k, 0]), packed[:k, width + 1].astype(np.int64), iteration)


def _means(sums: Doubles, masses: Doubles, centers: Doubles, rows: Rows) -> Doubles:
    """The weighted means, of length one where rows are; a centre without any stays."""
    means = np.divide(sums, masses[:, None], out=centers.copy(), where=masses[:, None] > 0)
    if not rows.unit:
        return means
    means += rows.shift
    lengths = np.sqrt(np.einsum("ij,ij->i", means, means))[:, None]
    scaled = np.divide(means, lengths, out=centers + rows.shift, where=lengths > 0)
    return np.asarray(scaled - rows.shift)


def weighted(points: Doubles, weights: Doubles, like: Rows) -> DenseRows:
    """A few points as rows about the same shift as others."""
    return DenseRows(np.ascontiguousarray(points, np.float32), weights, like.shift, like.unit)


def _add_block(
    products: Floats, norms: Floats, rows: Floats, squares: Floats, weights: Doubles, narrow: Floats, centers: Doubles,
    labels: Labels, distances: Floats, sums: Doubles, masses: Doubles, counts: Doubles,
) -> float:  # fmt: skip
    """Labels and squared distances of a block of rows, and the rows added to the sums of their centres; their cost.

    products: -2 x.c. What float32 leaves undecided, by the error of a product of that length, is decided in float64.
    """
    n, k = products.shape
    width = rows.shape[1]
    doubt = np.float32(4 * 1.2e-7 * math.sqrt(width))
    low, high = norms * (np.float32(1) - doubt), norms * (np.float32(1) + doubt)
    cost = 0.0
    for i in range(n):
        least = np.float32(np.inf)
        for j in range(k):
            least = min(least, products[i, j] + high[j])
        limit = least + doubt * squares[i]
        near = 0
        for j in range(k):
            near += products[i, j] + low[j] <= limit
        best = 0
        if near == 1:
            while products[i, best] + low[best] > limit:
                best += 1
        else:
            closest = np.inf
            for j in range(k):
                if products[i, j] + low[j] <= limit:
                    exact = 0.0
                    for t in range(width):
                        difference = rows[i, t] - centers[j, t]
                        exact += difference * difference
                    if exact < closest:
                        closest, best = exact, j
        square = np.float32(0)
        for t in range(width):
            apart = rows[i, t] - narrow[best, t]
            square += apart * apart
        weight = weights[i]
        for t in range(width):
            sums[best, t] += weight * rows[i, t]
        labels[i], distances[i] = best, square
        masses[best] += weight
        counts[best] += 1
        cost += weight * square
    return cost


@cache
def _kernel() -> Callable[..., float]:
    """`_add_block`, compiled; kept on disk where there is a place for that."""
    from numba import njit

    options: dict[str, Any] = {"fastmath": {"reassoc", "contract", "nsz", "nnan", "arcp"}, "nogil": True}
    try:
        compiled: Callable[..., float] = njit(cache=True, **options)(_add_block)
    except RuntimeError:  # neither beside the source nor in the user's cache folder
        compiled = njit(**options)(_add_block)
    return compiled
