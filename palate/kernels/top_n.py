"""The best columns of a product of factors, without the product ever being whole in memory, or whole at all.

Targets are looked through from the longest to the shortest. Once no target that is left could reach what a query has
found, by |q| |t| alone, that query is done: exact, and with factors of a long-tailed catalogue most products are never
computed. Teflioudi, Gemulla and Mykytiuk, "LEMP: Fast Retrieval of Large Entries in a Matrix Product", SIGMOD 2015.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from palate.kernels.steps import in_steps

Codes = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]

_QUERIES, _TARGETS = 128, 2048
"""A tile of scores is 1 MB: it is looked through while it is in the processor's cache."""
_ROUNDING = 1e-5
"""The share by which a float32 product may exceed the product of the lengths."""


@dataclass(frozen=True)
class Grid:
    """Targets in bytes: a search reads a quarter, and computes in whole numbers, to know which it need not look at.

    numbers: `(n_targets, factors) int8`. steps: `(n_targets,) float32`, what the numbers of each are multiples of.
    errors: likewise, how far each is from what it stands for, and float32's arithmetic from both.
    """

    numbers: npt.NDArray[np.int8]
    steps: Floats
    errors: Floats

    @classmethod
    def of(cls, factors: Floats, lengths: npt.NDArray[np.float64]) -> Self:
        numbers, steps, off = in_steps(factors, np.int8)
        off += _ROUNDING * lengths
        return cls(numbers, steps, np.where(np.isfinite(off), off * (1 + _ROUNDING), np.inf).astype(np.float32))


@dataclass(frozen=True)
class Targets:
    """Factors `(n_targets, factors) float32` from the longest to the shortest, to be made once for many calls.

    order: the code of each. places: where each code is. lengths: Euclidean; no target is longer than one before it.
    grid: the same targets in few bytes, which a single query looks through first; None for none.
    """

    factors: Floats
    order: Codes
    places: Codes
    lengths: npt.NDArray[np.float64]
    grid: Grid | None = None

    @classmethod
    def of(cls, factors: Floats) -> Self:
        lengths = _lengths(factors)
        order = np.argsort(-lengths, kind="stable").astype(np.int32)  # what is not a number comes last
        places = np.empty_like(order)
        places[order] = np.arange(len(order), dtype=np.int32)
        return cls(np.ascontiguousarray(factors[order], dtype=np.float32), order, places, lengths[order])

    @classmethod
    def rounded(cls, factors: Floats) -> Self:
        """As `of`, with a grid: for many single queries, of which some look at most targets before they end."""
        targets = cls.of(factors)
        return replace(targets, grid=Grid.of(targets.factors, targets.lengths))

    @classmethod
    def in_place(cls, factors: Floats) -> Self:
        """The factors as they lie, in memory or in a file, without a copy of them: `lengths` says of each target how
        long it or one after it is at most, so that a search ends early only where the long ones come first."""
        order = np.arange(len(factors), dtype=np.int32)
        longest = np.maximum.accumulate(_lengths(factors)[::-1])[::-1]
        return cls(factors, order, order, longest)

    def __len__(self) -> int:
        return len(self.order)


def top_n(
    queries: Floats,
    targets: Targets,
    n: int,
    exclude: tuple[npt.NDArray[Any], npt.NDArray[Any]] | None = None,
) -> tuple[Codes, Floats]:
    """For each query the `n` targets of the largest dot products, best first; ties go to the lower code.

    queries: `(n_queries, factors) float32`. exclude: the row starts and the columns of a CSR matrix
    `(n_queries, n_targets)`, whose entries are left out.

    Codes `(n_queries, n) int32` and scores `(n_queries, n) float32`, padded with -1 and -inf where fewer are left.
    """
    from palate.kernels.top_n_loops import keep_best, left_out, sort_best

    codes = np.full((len(queries), n), -1, np.int32)
    scores = np.full((len(queries), n), -np.inf, np.float32)
    starts, columns = exclude if exclude is not None else (np.zeros(len(queries) + 1, np.int64), np.zeros(0, np.int32))
    at, ends = starts[:-1].astype(np.int64), starts[1:].astype(np.int64)
    places = left_out(at, ends, columns, targets.places)
    reach = _lengths(queries) * (1 + _ROUNDING)
    tile = np.empty((_QUERIES, _TARGETS), np.float32)
    for first in range(0, len(queries), _QUERIES):
        rows = np.arange(first, min(first + _QUERIES, len(queries)))
        for offset in range(0, len(targets), _TARGETS):
            done = reach[rows] * targets.lengths[offset] < scores[rows, 0]
            if done.any():
                rows = rows[~done]
                if not len(rows):
                    break
            part = targets.factors[offset : offset + _TARGETS]
            product = tile[: len(rows), : len(part)]
            np.matmul(queries[rows], part.T, out=product)
            keep_best(product, offset, rows, targets.order, at, ends, places, codes, scores)
    sort_best(codes, scores)
    return codes, scores


def best_of(
    query: Floats, targets: Targets, n: int, barred: npt.NDArray[np.bool_] | None = None
) -> tuple[Codes, Floats]:
    """As `top_n` of a single query `(factors,)`, without the arrays that many take: for a request that waits.

    barred: `(n_targets,) bool` by code, left out. Codes `(n,)` and scores `(n,)`, padded likewise; a query of zeros
    finds nothing.
    """
    from palate.kernels.top_n_loops import look_through, look_through_rounded

    left_out, grid = _NOTHING if barred is None else barred, targets.grid
    given = query, n, _ROUNDING, targets.factors, targets.lengths, targets.order, left_out
    found: tuple[Codes, Floats]
    found = (
        look_through(*given) if grid is None else look_through_rounded(*given, grid.numbers, grid.steps, grid.errors)
    )
    return found


def warm() -> None:
    """Loads what compiled loops need, 35 MB: in a process from which others are forked, once for all of them."""
    for made in (Targets.rounded, Targets.in_place):
        best_of(np.ones(1, np.float32), made(np.ones((1, 1), np.float32)), 1)


_NOTHING = np.zeros(0, bool)


def _lengths(factors: Floats) -> npt.NDArray[np.float64]:
    """In float64: the squares of small or large float32 numbers leave what float32 can hold."""
    lengths: npt.NDArray[np.float64] = np.sqrt(np.einsum("ij,ij->i", factors, factors, dtype=np.float64))
    return lengths
