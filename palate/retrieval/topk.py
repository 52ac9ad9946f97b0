"""Exact top-n of score rows, with items left out."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import sparse

from palate.kernels.threads import in_threads

Floats = npt.NDArray[np.float32]
Codes = npt.NDArray[np.int32]


def top_k(scores: Floats, n: int, exclude: sparse.csr_matrix | None = None) -> tuple[Codes, Floats]:
    """The `n` best columns of each row, best first; ties go to the lower code.

    Parameters
    ----------
    scores: `(n_queries, n_items) float32`; may be overwritten with -inf at what `exclude` holds. NaN counts as -inf.
    n: how many are asked for, at least 1; may exceed `n_items`.
    exclude: CSR `(n_queries, n_items)`; stored entries are left out, whatever their value.

    Returns
    -------
    codes `(n_queries, n) int32` and scores `(n_queries, n) float32`, padded with -1 and -inf where a row has fewer
    than `n` items with a score above -inf.
    """
    from palate.kernels.top_n_loops import keep_best_of_rows

    n_queries, n_items = scores.shape
    width = min(n, n_items)
    codes = np.full((n_queries, width), -1, np.int32)
    best = np.full((n_queries, width), -np.inf, np.float32)
    if width:
        starts, columns = np.zeros(n_queries + 1, np.int64), np.zeros(0, np.int32)
        if exclude is not None:
            starts, columns = exclude.indptr.astype(np.int64), exclude.indices.astype(np.int32, copy=False)
        arrays = np.require(scores, np.float32, ("C", "W")), starts, columns, np.arange(n_items, dtype=np.int32)
        in_threads(lambda first, last: keep_best_of_rows(*arrays, codes, best, first, last), n_queries)
    if width < n:
        missing = (0, 0), (0, n - width)
        return np.pad(codes, missing, constant_values=-1), np.pad(best, missing, constant_values=-np.inf)
    return codes, best


def warm() -> None:
    """Loads the compiled loop, or compiles it: in a process from which others are forked, once for all of them."""
    top_k(np.ones((1, 1), np.float32), 1)
