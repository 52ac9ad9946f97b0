"""EASE: the linear item-to-item model of the least squared error whose diagonal is zero, in closed form.

Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019; with the rows and columns of the interactions
normalised, and what is popular held back, as has become usual since.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.linalg import solve_triangular

from palate.errors import ParameterError
from palate.kernels.definite import factor, invert
from palate.kernels.sparse_products import dense_product
from palate.memory import free_memory
from palate.models.histories import WEIGHTINGS, HistoryRecommender
from palate.models.params import ModelParams, one_of, within
from palate.models.protocol import Floats

_LEAST = 1e-5
"""The least share of an item's square that the penalty must hold for it to be told from rounding."""
_WRONG = 0.05
"""The share by which an inverse multiplied back may miss, on average."""
_FEW_USERS = 0.7
"""With fewer users for each item than this, the inverse of users by users costs less: a third of the time at 0.5."""
_WHOLE, _DUAL = 1.6, 1.2
"""Memory, in what is computed: a matrix of items by items, beside half of it; those of users, beside blocks."""


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
    recency: when a user is scored, each item of the history counts (1 + k)^-recency, k being how much came after it:
        0 counts all alike; near 0.5 where people's next items resemble their last ones.

    The defaults were tuned on validation data cut from the training part of ml-latest-small:
    `python -m benchmarks.tune_models ease`.
    """

    regularization: float = field(default=400.0, metadata=within(above=0))
    user_power: float = field(default=0.0, metadata=within(0, 1))
    item_power: float = field(default=0.0, metadata=within(0, 1))
    debias: float = field(default=0.2, metadata=within(0, 1))
    weighting: str = field(default="weights", metadata=one_of(*WEIGHTINGS))
    recency: float = field(default=0.0, metadata=within(0, 3))


class EASE(HistoryRecommender):
    """The score of an item is the sum of its weights from the items of the history.

    With X the normalised interactions and P = (X'X + penalty I)^-1, the weight from item i to j is -P_ij / P_jj, and 0
    from an item to itself (equation 8 of the paper), taken back to items as they are. All of it is one dense matrix of
    items by items.

    Where users are fewer, penalty P is I - Z'Z, with Z = L^-1 X and LL' = XX' + penalty I (Woodbury's identity): the
    same weights from a matrix of users by items, and none of items by items at all.
    """

    kind: ClassVar[str] = "ease"
    Params: ClassVar[type[EASEParams]] = EASEParams
    params: EASEParams

    weights: Floats | None
    """`(n_touched, n_touched) float32`: from the item of the row to the item of the column; None where `basis` is."""
    basis: Floats | None = None
    """Z above, `(n_users, n_touched) float32`, where users are fewer than items."""
    kept: Floats
    out: Floats
    scale: Floats
    """With `basis`: a history's share in its own items, factors of the scores and of the history, `(n_touched,)`."""
    penalty: float
    """The regularization in force."""

    def _learn(self) -> None:
        n_users = int(np.count_nonzero(np.diff(self.histories.indptr)))
        dual = n_users < _FEW_USERS * len(self.touched)
        require_memory(n_users if dual else len(self.touched), len(self.touched))
        normalised, scale, spread = normalise(self.histories, self.params)
        self.penalty = self.params.regularization * float(np.mean(np.square(normalised.data), dtype=np.float64))
        if dual:
            self._learn_from_users(sparse.csr_matrix(normalised[np.diff(normalised.indptr) > 0]), scale, spread)
            return
        gram = gram_of(normalised)
        np.einsum("ii->i", gram)[:] += np.float32(self.penalty)
        self.weights = _invert(gram)
        diagonal = np.einsum("ii->i", self.weights)
        self.weights *= (-spread / diagonal)[None, :]
        self.weights *= scale[:, None]
        diagonal[:] = 0

    def _learn_from_users(self, normalised: sparse.csr_matrix, scale: Floats, spread: Floats) -> None:
        """`basis`, and what turns products with it into scores."""
        gram = gram_of(sparse.csr_matrix(normalised.T))
        np.einsum("ii->i", gram)[:] += np.float32(self.penalty)
        if not factor(gram):
            raise _too_small()
        basis = np.asfortranarray(normalised.toarray())
        self.basis = np.ascontiguousarray(
            solve_triangular(gram, basis, lower=True, overwrite_b=True, check_finite=False)
        )
        self.kept = np.einsum("ij,ij->j", self.basis, self.basis, dtype=np.float64)  # 1 - penalty P_jj
        if not (self.kept < 1 - _LEAST).all():
            raise _too_small()
        self.out = (spread / (1 - self.kept)).astype(np.float32)
        self.kept = self.kept.astype(np.float32)
        self.scale, self.weights = scale, None

    def _scores(self, histories: sparse.csr_matrix) -> tuple[Floats, npt.NDArray[np.bool_]]:
        everybody = np.ones(histories.shape[0], dtype=bool)
        if self.weights is not None:
            return histories @ self.weights, everybody
        data = histories.data * self.scale[histories.indices]
        scaled = sparse.csr_matrix((data, histories.indices, histories.indptr), shape=histories.shape)
        scores = (scaled @ self._items_first) @ self.basis
        own = data * self.kept[histories.indices]  # an item's weight to itself is 0
        scores[np.repeat(np.arange(histories.shape[0]), np.diff(histories.indptr)), histories.indices] -= own
        scores *= self.out
        return scores, everybody

    @cached_property
    def _items_first(self) -> Floats:
        """Z', `(n_touched, n_users)`, in C order."""
        assert self.basis is not None  # noqa: S101  (for the type checker)
        return np.ascontiguousarray(self.basis.T)

    def _learned(self) -> dict[str, Any]:
        if self.weights is not None:
            return {"weights": self.weights}
        return {"basis": self.basis, "kept": self.kept, "out": self.out, "scale": self.scale}

    def _relearn(self, arrays: Any) -> None:
        self.weights = arrays.get("weights")
        if self.weights is None:
            self.basis, self.kept = arrays["basis"], arrays["kept"]
            self.out, self.scale = arrays["out"], arrays["scale"]


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


def require_memory(rows: int, n_items: int) -> None:
    """Raises ParameterError if a matrix of so many rows (items, or users) by items, and what it takes to compute it,
    does not fit."""
    square = rows == n_items
    entries = n_items**2 if square else 2 * rows * n_items + rows**2
    needed, free = (_WHOLE if square else _DUAL) * 4 * entries / 1024**3, free_memory() / 1024**3
    if needed > free:
        raise ParameterError(
            f"{n_items:,} items need {needed:,.1f} GB for a matrix of {'items' if square else 'users'} by items, and "
            f"{free:.1f} GB are free.",
            where="ease",
            hint="Take sparse-ease, which keeps some neighbours of each item.",
        )


def _invert(matrix: Floats) -> Floats:
    """The inverse of a symmetric positive definite matrix, in its place.

    Raises ParameterError where single precision does not suffice, which multiplying back by one vector shows.
    """
    probe = np.random.default_rng(0).choice(np.array([-1, 1], np.float32), len(matrix))
    image = matrix @ probe
    if invert(matrix) and np.abs(matrix @ image - probe).mean() < _WRONG:
        return matrix
    raise _too_small()


def _too_small() -> ParameterError:
    return ParameterError(
        "it is too small for the matrix of items by items to be inverted in single precision.",
        where="ease.regularization",
        hint="Take a larger one.",
    )
