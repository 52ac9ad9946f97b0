"""The best columns of a product of factors, without the product ever being whole in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Codes = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]

_QUERIES, _TARGETS = 128, 2048
"""A tile of scores is 1 MB: it is looked through while it is in the processor's cache."""


def top_n(
    queries: Floats, targets: Floats, n: int, exclude: tuple[npt.NDArray[Any], npt.NDArray[Any]] | None = None
) -> tuple[Codes, Floats]:
    """For each query the `n` targets of the largest dot products, best first; ties go to the lower code.

    queries: `(n_queries, factors)`. targets: `(n_targets, factors)`. exclude: the row starts and the ascending columns
    of a CSR matrix `(n_queries, n_targets)`, whose entries are left out.

    Codes `(n_queries, n) int32` and scores `(n_queries, n) float32`, padded with -1 and -inf where fewer are left.
    """
    from palate.kernels.top_n_loops import keep_best, sort_best

    codes = np.full((len(queries), n), -1, np.int32)
    scores = np.full((len(queries), n), -np.inf, np.float32)
    starts, columns = exclude if exclude is not None else (np.zeros(len(queries) + 1, np.int64), np.zeros(0, np.int32))
    tile = np.empty((_QUERIES, _TARGETS), np.float32)
    for first in range(0, len(queries), _QUERIES):
        some = queries[first : first + _QUERIES]
        rows = slice(first, first + len(some))
        at = starts[first : first + len(some)].astype(np.int64)
        ends = starts[first + 1 : first + len(some) + 1]
        for offset in range(0, len(targets), _TARGETS):
            part = targets[offset : offset + _TARGETS]
            product = tile[: len(some), : len(part)]
            np.matmul(some, part.T, out=product)
            keep_best(product, offset, at, ends, columns, codes[rows], scores[rows])
    sort_best(codes, scores)
    return codes, scores
