"""Exact top-n of score rows, with items left out."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import sparse

Floats = npt.NDArray[np.float32]
Codes = npt.NDArray[np.int32]


def top_k(scores: Floats, n: int, exclude: sparse.csr_matrix | None = None) -> tuple[Codes, Floats]:
    """The `n` best columns of each row, best first; ties go to the lower code.

    Parameters
    ----------
    scores: `(n_queries, n_items) float32`; overwritten with -inf at what `exclude` holds. NaN counts as -inf.
    n: how many are asked for, at least 1; may exceed `n_items`.
    exclude: CSR `(n_queries, n_items)`; stored entries are left out, whatever their value.

    Returns
    -------
    codes `(n_queries, n) int32` and scores `(n_queries, n) float32`, padded with -1 and -inf where a row has fewer
    than `n` items with a score above -inf.
    """
    n_queries, n_items = scores.shape
    if exclude is not None and exclude.nnz:
        rows = np.repeat(np.arange(n_queries), np.diff(exclude.indptr))
        scores[rows, exclude.indices] = -np.inf
    if scores.size and np.isnan(scores.max()):  # max passes NaN on, so one quick pass tells whether there is any
        scores[np.isnan(scores)] = -np.inf
    width = min(n, n_items)
    codes = np.full((n_queries, n), -1, dtype=np.int32)
    best = np.full((n_queries, n), -np.inf, dtype=np.float32)
    if width == 0 or n_queries == 0:
        return codes, best
    kept = _best_columns(scores, width)
    values = np.take_along_axis(scores, kept, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    best[:, :width] = np.take_along_axis(values, order, axis=1)
    codes[:, :width] = np.take_along_axis(kept, order, axis=1)
    codes[best == -np.inf] = -1
    return codes, best


def _best_columns(scores: Floats, width: int) -> npt.NDArray[np.intp]:
    """The columns of the `width` largest values of each row, ascending; of equal values the lower columns."""
    n_queries, n_items = scores.shape
    if width == n_items:
        return np.broadcast_to(np.arange(n_items), (n_queries, n_items))
    kept = np.argpartition(scores, n_items - width, axis=1)[:, n_items - width :]
    kept.sort(axis=1)
    # A partition takes any of the values that tie at the border: where it had a choice, choose the lower columns.
    border = np.take_along_axis(scores, kept, axis=1).min(axis=1)
    tied = (scores == border[:, None]).sum(axis=1) > (np.take_along_axis(scores, kept, axis=1) == border[:, None]).sum(
        axis=1
    )
    tied &= border > -np.inf
    if tied.any():
        part, limit = scores[tied], border[tied][:, None]
        above, equal = part > limit, part == limit
        room = width - above.sum(axis=1, keepdims=True)
        equal &= np.cumsum(equal, axis=1, dtype=np.int32) <= room
        kept[tied] = np.nonzero(above | equal)[1].reshape(-1, width)
    return kept
