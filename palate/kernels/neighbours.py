"""The most similar rows of sparse matrices, found by threads without all similarities ever being in memory."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import sparse

from palate.kernels.threads import in_threads

Codes = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]

MEASURES = ("dot", "cosine", "jaccard")


def nearest(
    queries: sparse.csr_matrix,
    rows: sparse.csr_matrix,
    k: int,
    measure: str = "cosine",
    shrinkage: float = 0.0,
    *,
    itself: bool = True,
    by_column: sparse.csr_matrix | None = None,
) -> tuple[Codes, Floats]:
    """For each query the `k` rows most similar to it, best first; ties go to the lower row.

    Parameters
    ----------
    queries: `(n_queries, n_columns)`. rows: `(n_rows, n_columns)`.
    measure: "dot" product, "cosine", or "jaccard": of the sets of columns where they have entries.
    shrinkage: a similarity that rests on c common columns is multiplied by c / (c + shrinkage) (Bell and Koren,
        "Scalable Collaborative Filtering with Jointly Derived Neighborhood Interpolation Weights", ICDM 2007).
    itself: False leaves row i out for query i.
    by_column: the transpose of `rows`, where it is at hand.

    Returns
    -------
    rows `(n_queries, k) int32` and similarities `(n_queries, k) float32`, padded with -1 and -inf where fewer have a
    column in common with the query.
    """
    from palate.kernels.neighbours_loops import find
    from palate.kernels.top_n_loops import sort_best

    by_column = sparse.csr_matrix(rows.T) if by_column is None else by_column
    codes = np.full((queries.shape[0], k), -1, np.int32)
    best = np.full((queries.shape[0], k), -np.inf, np.float32)
    arrays = (
        queries.indptr, queries.indices, queries.data.astype(np.float32, copy=False),
        by_column.indptr, by_column.indices, by_column.data.astype(np.float32, copy=False),
        _sizes(queries, measure), _sizes(rows, measure),
    )  # fmt: skip
    in_threads(
        lambda first, last: find(*arrays, MEASURES.index(measure), shrinkage, itself, codes, best, first, last),
        queries.shape[0],
    )
    sort_best(codes, best)
    return codes, best


def as_matrix(codes: Codes, values: Floats, n_rows: int) -> sparse.csr_matrix:
    """What `nearest` found as a sparse matrix `(n_queries, n_rows)`, its columns ascending."""
    held = codes >= 0
    starts = np.concatenate([[0], np.cumsum(held.sum(axis=1))])
    matrix = sparse.csr_matrix((values[held], codes[held], starts), shape=(len(codes), n_rows))
    matrix.sort_indices()
    return matrix


def _sizes(matrix: sparse.csr_matrix, measure: str) -> Floats:
    """What a row's dot products are divided by: its length, or for Jaccard how many entries it has."""
    if measure == "jaccard":
        return np.diff(matrix.indptr).astype(np.float32)
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    return np.sqrt(np.bincount(rows, matrix.data.astype(np.float64) ** 2, matrix.shape[0])).astype(np.float32)
