"""EASE: the linear item-to-item model of the least squared error whose diagonal is zero, in closed form.

Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019; with the rows and columns of the interactions
normalised, and what is popular held back, as has become usual since.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.linalg import lapack

from palate.errors import ParameterError
from palate.kernels.sparse_products import dense_product
from palate.memory import free_memory
from palate.models.histories import WEIGHTINGS, HistoryRecommender
from palate.models.params import ModelParams, one_of, within
from palate.models.protocol import Floats

_ROWS_AT_ONCE = 1024
_WRONG = 0.05
"""The share by which an inverse multiplied back may miss, on average."""
_NEEDED = 1.2
"""Memory, in matrices of items by items: one is computed in place, and blocks of it copied."""


@dataclass(frozen=True)
class EASEParams(ModelParams):
    """Parameters of EASE.

    regularization: the ridge penalty on squared weights, in interactions as they are counted without normalisation:
        it is multiplied by the mean square of the normalised ones, so that one value suits any powers. The penalty in
        force is the attribute `penalty`, in the units of the paper.
    user_power: each user's row of X is divided by the length of the history to this power: 0 lets every interaction
        count alike, 0.5 every user.
    item_power: each item's column of X is divided by its number of users to this power, which means that the penalty
        on an item in the history grows with its popularity to twice this power.
    debias: scores are divided by the item's number of users to this power.
    weighting: "binary" counts each item of a history alike; "weights" takes the interactions' weights (ratings,
        counts), divided by their mean.

    The defaults were tuned on validation data cut from the training part of ml-latest-small:
    `python -m benchmarks.tune_models ease`.
    """

    regularization: float = field(default=400.0, metadata=within(above=0))
    user_power: float = field(default=0.0, metadata=within(0, 1))
    item_power: float = field(default=0.0, metadata=within(0, 1))
    debias: float = field(default=0.2, metadata=within(0, 1))
    weighting: str = field(default="weights", metadata=one_of(*WEIGHTINGS))


class EASE(HistoryRecommender):
    """The score of an item is the sum of its weights from the items of the history.

    With X the normalised interactions and P = (X'X + penalty I)^-1, the weight from item i to j is -P_ij / P_jj, and 0
    from an item to itself (equation 8 of the paper), taken back to items as they are. All of it is one dense matrix of
    items by items.
    """

    kind: ClassVar[str] = "ease"
    Params: ClassVar[type[EASEParams]] = EASEParams
    params: EASEParams

    weights: Floats
    """`(n_touched, n_touched) float32`: from the item of the row to the item of the column."""
    penalty: float
    """The regularization in force."""

    def _learn(self) -> None:
        require_memory(len(self.touched))
        normalised, scale, spread = normalise(self.histories, self.params)
        gram = gram_of(normalised)
        self.penalty = self.params.regularization * float(np.mean(np.square(normalised.data), dtype=np.float64))
        np.einsum("ii->i", gram)[:] += np.float32(self.penalty)
        self.weights = _invert(gram)
        diagonal = np.einsum("ii->i", self.weights)
        self.weights *= (-spread / diagonal)[None, :]
        self.weights *= scale[:, None]
        diagonal[:] = 0

    def _scores(self, histories: sparse.csr_matrix) -> tuple[Floats, npt.NDArray[np.bool_]]:
        return histories @ self.weights, np.ones(histories.shape[0], dtype=bool)

    def _learned(self) -> dict[str, Any]:
        return {"weights": self.weights}

    def _relearn(self, arrays: Any) -> None:
        self.weights = arrays["weights"]


def normalise(histories: sparse.csr_matrix, params: Any) -> tuple[sparse.csr_matrix, Floats, Floats]:
    """Rows and columns divided by powers of their counts, and what turns weights between normalised items back.

    `params` has `user_power`, `item_power` and `debias`. Weights from i to j are to be multiplied by `scale[i]` and
    `spread[j]`, both `(n_items,) float32`.
    """
    lengths = np.maximum(np.diff(histories.indptr), 1).astype(np.float64)
    counts = np.bincount(histories.indices, minlength=histories.shape[1]).astype(np.float64)
    scale = (counts**-params.item_power).astype(np.float32)
    rows = np.repeat((lengths**-params.user_power).astype(np.float32), np.diff(histories.indptr))
    data = histories.data * rows * scale[histories.indices]
    normalised = sparse.csr_matrix((data, histories.indices, histories.indptr), shape=histories.shape)
    return normalised, scale, (counts ** (params.item_power - params.debias)).astype(np.float32)


def gram_of(matrix: sparse.csr_matrix) -> Floats:
    """X'X, `(columns, columns) float32`."""
    by_item = sparse.csr_matrix(matrix.T)
    return dense_product(by_item, matrix)


def require_memory(n_items: int) -> None:
    """Raises ParameterError if a matrix of items by items, and what it takes to compute it, does not fit."""
    needed, free = _NEEDED * 4 * n_items**2 / 1024**3, free_memory() / 1024**3
    if needed > free:
        raise ParameterError(
            f"{n_items:,} items need {needed:,.1f} GB for a matrix of items by items, and {free:.1f} GB are free.",
            where="ease",
            hint="Take sparse-ease, which keeps some neighbours of each item.",
        )


def _invert(matrix: Floats) -> Floats:
    """The inverse of a symmetric positive definite matrix, in its place.

    Raises ParameterError where single precision does not suffice, which multiplying back by one vector shows.
    """
    probe = np.random.default_rng(0).choice(np.array([-1, 1], np.float32), len(matrix))
    image = matrix @ probe
    # A symmetric matrix in C order is the same one in Fortran's, which LAPACK takes without a copy.
    factor, failed = lapack.spotrf(matrix.T, lower=1, clean=0, overwrite_a=1)
    if not failed:
        inverse, failed = lapack.spotri(factor, lower=1, overwrite_c=1)
    if not failed:
        whole: Floats = inverse.T  # in C order: the upper triangle is filled
        for start in range(0, len(whole), _ROWS_AT_ONCE):
            rows = slice(start, start + _ROWS_AT_ONCE)
            block = whole[rows, rows]
            block[:] = np.triu(block) + np.triu(block, 1).T
            whole[rows.stop :, rows] = whole[rows, rows.stop :].T
        if np.abs(whole @ image - probe).mean() < _WRONG:
            return whole
    raise ParameterError(
        "it is too small for the matrix of items by items to be inverted in single precision.",
        where="ease.regularization",
        hint="Take a larger one.",
    )
