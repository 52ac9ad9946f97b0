"""The leading eigenvectors of a symmetric operator that is only known by what it does to a few vectors at a time.

Block Lanczos with full orthogonalisation (Golub & Underwood 1977; Musco & Musco 2015, "Randomized Block Krylov
Methods"): each application multiplies by the operator once, which for PCA of many columns is one pass over the data.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Eigen:
    """values: `(k,) float64`, largest first. vectors: `(width, k) float64`, orthonormal. residual: the largest
    |A v - value v| over the largest value. applications: how often the operator was applied."""

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
    tolerance: float = 1e-5,
    most: int = 15,
) -> Eigen:
    """The `k` largest eigenvalues of a positive semi-definite operator and their vectors.

    apply: `(width, m) float64` -> the operator times it. Stops when `residual` falls below `tolerance`, when nothing
    new is left to look at, or after `most` applications.
    """
    rng = np.random.default_rng(seed)
    block = np.linalg.qr(rng.standard_normal((width, min(width, k + oversampling))))[0]
    basis: Doubles = np.empty((width, 0))
    images: Doubles = np.empty((width, 0))
    for application in range(1, most + 1):
        image = apply(block)
        basis, images = np.hstack([basis, block]), np.hstack([images, image])
        projected = basis.T @ images
        values, rotation = np.linalg.eigh((projected + projected.T) / 2)
        top = np.argsort(values)[::-1][:k]
        values, rotation = values[top], rotation[:, top]
        gaps = np.linalg.norm(images @ rotation - (basis @ rotation) * values, axis=0)
        residual = float(gaps.max() / max(values[0], np.finfo(float).tiny))
        rest = image - basis @ (basis.T @ image)
        rest -= basis @ (basis.T @ rest)  # once more: the first time leaves rounding errors that add up
        block, triangle = np.linalg.qr(rest)
        scale = np.abs(np.diag(triangle))
        block = block[:, scale > 1e-12 * max(values[0], np.finfo(float).tiny)]
        if residual < tolerance or application == most or block.shape[1] == 0 or basis.shape[1] >= width:
            break
    return Eigen(np.maximum(values, 0.0), basis @ rotation, residual, application)
