"""The leading eigenvectors of a symmetric operator that is only known by what it does to a few vectors at a time.

Block Lanczos with full orthogonalisation (Golub & Underwood 1977; Musco & Musco 2015, "Randomized Block Krylov
Methods"): each application multiplies by the operator once, which for PCA of many columns is one pass over the data.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import qr

Doubles = npt.NDArray[np.float64]

TOLERANCE = 1e-5
"""Residuals below this are as good as none: an eigenvector is off by its residual over the gap to the next value."""
_LEAST = 1e-6
"""A value of this share of the largest is none."""


@dataclass(frozen=True)
class Eigen:
    """values: `(k,) float64`, largest first. vectors: `(width, k) float64`, orthonormal. residual: the largest
    |A v - value v| / value, where values below a millionth of the largest count as that. applications: how often the
    operator was applied."""

    values: Doubles
    vectors: Doubles
    residual: float
    applications: int


def leading_eigen(
    apply: Callable[[Doubles], Doubles],
    width: int,
    k: int,
    *,
    seed: int,
    oversampling: int = 10,
    tolerance: float = TOLERANCE,
    most: int = 15,
) -> Eigen:
    """The `k` largest eigenvalues of a positive semi-definite operator and their vectors.

    apply: `(width, m) float64` -> the operator times it. Stops when `residual` falls below `tolerance`, when nothing
    new is left to look at, or after `most` applications. Holds all vectors that the operator was applied to, hence up
    to `most * (k + oversampling) * width` float64.
    """
    rng = np.random.default_rng(seed)
    block = np.linalg.qr(rng.standard_normal((width, min(width, k + oversampling))))[0]
    # In column order, so that memory is taken only for as many columns as there come to be.
    basis = np.empty((width, min(width + block.shape[1], most * block.shape[1])), order="F")
    projected = np.zeros((basis.shape[1], basis.shape[1]))
    stop = 0
    for application in range(1, most + 1):
        start, stop = stop, stop + block.shape[1]
        basis[:, start:stop] = block
        held = basis[:, :stop]
        rest = apply(block)
        for _ in range(2):  # the first time leaves rounding errors that add up
            along = held.T @ rest
            rest = rest - held @ along
            projected[:stop, start:stop] += along
        projected[start:stop, :stop] = projected[:stop, start:stop].T
        values, rotation = np.linalg.eigh(projected[:stop, :stop])
        top = np.argsort(values)[::-1][:k]
        values, rotation = values[top], rotation[:, top]
        # The operator takes all blocks but the last into the basis; what it takes out of it is the rest of the last.
        largest = max(values[0], np.finfo(float).tiny)
        residual = float((np.linalg.norm(rest @ rotation[start:], axis=0) / np.maximum(values, _LEAST * largest)).max())
        block, triangle, _ = qr(rest, mode="economic", pivoting=True, check_finite=False)
        block = block[:, np.abs(np.diag(triangle)) > 1e-12 * largest]
        if residual < tolerance or application == most or block.shape[1] == 0 or stop >= width:
            break
    return Eigen(np.maximum(values, 0.0), held @ rotation, residual, application)
