"""Kernel ridge regression from described items to anything, with leave-one-out answers for the items learned from.

f(x) = k(x)' (K + lambda I)^-1 (Y - mean) + mean, by one Cholesky factorization (Saunders, Gammerman and Vovk, "Ridge
Regression Learning Algorithm in Dual Variables", ICML 1998). What the regression would say of an item had it not
learned from it comes in closed form (Wahba, "Spline Models for Observational Data", 1990, section 4.2). Beyond
`EXACT` items a random part of them are landmarks, and f is the least squares solution in their span (subset of
regressors; Smola and Bartlett, "Sparse Greedy Gaussian Process Regression", NIPS 2000).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.linalg import cho_factor, cho_solve, cholesky, lapack, solve_triangular

from palate.kernels.sparse_products import dense_product

Floats = npt.NDArray[np.float32]

EXACT = 8192
"""So many items are solved exactly: 268 MB for the matrix, and as much for its inverse."""
LANDMARKS = 4096
_ROWS_AT_ONCE = 2048


@dataclass(frozen=True)
class Kernel:
    """How alike two items are, from cosines of content and distances of numbers:

        exp(-|difference of content|^2 / (2 width) - numbers * |difference of numbers|^2)

    where the first part is (cos - 1) / width, as the rows of content have length one as a rule; or the
    product of the contents itself, the cosine, where `width` is 0. An item without content is like none by the cosine.
    """

    width: float
    numbers: float = 0.0

    def __call__(
        self, content: sparse.csr_matrix, numbers: Floats, others: sparse.csr_matrix, other_numbers: Floats
    ) -> Floats:
        """`(n, n_others) float32`."""
        found = dense_product(sparse.csr_matrix(content), sparse.csr_matrix(others.T))
        if not self.width:
            return found
        found -= _half_squares(content)[:, None]
        found -= _half_squares(others)[None]
        found /= np.float32(self.width)
        if self.numbers and numbers.shape[1]:
            scale = np.float32(self.numbers)
            mine, theirs = (np.einsum("ij,ij->i", each, each) for each in (numbers, other_numbers))
            cross = numbers @ other_numbers.T
            cross *= 2 * scale
            found += cross
            found -= (scale * mine)[:, None]
            found -= (scale * theirs)[None]
        return np.exp(found, out=found)


@dataclass(frozen=True)
class Ridge:
    """A fitted regression.

    marks: which of the items learned from it compares with, `(m,)`; content, numbers: theirs, `(m, ...)`.
    weights: `(m, r) float32`. mean: `(r,) float32`.
    """

    kernel: Kernel
    marks: npt.NDArray[np.intp]
    content: sparse.csr_matrix
    numbers: Floats
    weights: Floats
    mean: Floats

    def predict(self, content: sparse.csr_matrix, numbers: Floats) -> Floats:
        """`(n, r) float32`."""
        found = np.empty((content.shape[0], self.weights.shape[1]), np.float32)
        for start in range(0, len(found), _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            found[part] = self.kernel(content[part], numbers[part], self.content, self.numbers) @ self.weights
        return found + self.mean


def fit(
    kernel: Kernel,
    content: sparse.csr_matrix,
    numbers: Floats,
    targets: Floats,
    regularization: float,
    seed: int = 0,
    *,
    leave_one_out: bool = True,
) -> tuple[Ridge, Floats | None]:
    """The regression of `targets` `(n, r)` on n items, and its leave-one-out answers for them, `(n, r) float32`.

    regularization: lambda, above 0. seed: of the landmarks.
    """
    mean = targets.mean(axis=0, dtype=np.float64).astype(np.float32)
    centred = np.ascontiguousarray(targets - mean, dtype=np.float32)
    if content.shape[0] > EXACT:
        return _by_landmarks(kernel, content, numbers, centred, mean, regularization, seed, leave_one_out)
    matrix = kernel(content, numbers, content, numbers)
    factor, weights = _solved(matrix, centred, regularization)
    ridge = Ridge(kernel, np.arange(content.shape[0]), content, numbers, weights, mean)
    if not leave_one_out:
        return ridge, None
    inverse, _ = lapack.spotri(factor, lower=1, overwrite_c=1)
    return ridge, centred - weights / np.diag(inverse)[:, None] + mean


def left_out_residuals(matrix: Floats, centred: Floats, regularization: float) -> Floats:
    """By how much the regression errs on each item had it not learned from it, `(n, r) float32`.

    matrix: the kernel among the items, `(n, n)`, written over. centred: what it learns, `(n, r)`.
    """
    factor, weights = _solved(matrix, centred, regularization)
    inverse, _ = lapack.spotri(factor, lower=1, overwrite_c=1)
    return np.asarray(weights / np.diag(inverse)[:, None], dtype=np.float32)


def _solved(matrix: Floats, centred: Floats, regularization: float) -> tuple[Floats, Floats]:
    """The Cholesky factor of the penalised matrix, which is written over, and the weights."""
    matrix[np.diag_indices_from(matrix)] += np.float32(regularization)
    factor = cho_factor(matrix, lower=True, overwrite_a=True, check_finite=False)
    return factor[0], np.ascontiguousarray(cho_solve(factor, centred, check_finite=False), dtype=np.float32)


def _half_squares(content: sparse.csr_matrix) -> Floats:
    """Half the squared length of each row, `(n,)`."""
    return np.asarray(content.multiply(content).sum(axis=1) / 2, dtype=np.float32).ravel()


def _by_landmarks(
    kernel: Kernel,
    content: sparse.csr_matrix,
    numbers: Floats,
    centred: Floats,
    mean: Floats,
    regularization: float,
    seed: int,
    leave_one_out: bool,
) -> tuple[Ridge, Floats | None]:
    n = content.shape[0]
    chosen = np.sort(np.random.default_rng(seed).permutation(n)[:LANDMARKS])
    marks, mark_numbers = sparse.csr_matrix(content[chosen]), numbers[chosen]
    among = kernel(marks, mark_numbers, marks, mark_numbers).astype(np.float64)
    among[np.diag_indices_from(among)] += 1e-6 * np.trace(among) / len(among)  # alike landmarks have no inverse
    root = cholesky(among, lower=True, overwrite_a=True, check_finite=False)

    def features(part: slice) -> npt.NDArray[Any]:
        """`(rows, m)`: their products are what the kernel says, as far as the landmarks span it."""
        block = kernel(content[part], numbers[part], marks, mark_numbers).T.astype(np.float64)
        return np.asarray(solve_triangular(root, block, lower=True, overwrite_b=True, check_finite=False)).T

    parts = [slice(start, min(start + _ROWS_AT_ONCE, n)) for start in range(0, n, _ROWS_AT_ONCE)]
    gram, moments = np.zeros_like(root), np.zeros((len(chosen), centred.shape[1]))
    for part in parts:
        block = features(part)
        gram += block.T @ block
        moments += block.T @ centred[part]
    gram[np.diag_indices_from(gram)] += regularization
    factor = cho_factor(gram, lower=True, overwrite_a=True, check_finite=False)
    solved = cho_solve(factor, moments, check_finite=False)
    weights = solve_triangular(root, solved, lower=True, trans=1, check_finite=False)
    ridge = Ridge(kernel, chosen, marks, mark_numbers, np.ascontiguousarray(weights, dtype=np.float32), mean)
    if not leave_one_out:
        return ridge, None
    left_out = np.empty_like(centred)
    for part in parts:
        block = features(part)
        leverage = np.einsum("ij,ij->i", block, cho_solve(factor, block.T, check_finite=False).T)
        fitted = block @ solved
        left_out[part] = (fitted - leverage[:, None] * centred[part]) / np.maximum(1 - leverage, 1e-6)[:, None]
    return ridge, left_out + mean
