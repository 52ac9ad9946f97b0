"""The best columns of a product of factors, read as int8 or float16: a quarter or half of the bytes, the same answer.

Looking through many targets for one query is bound by how fast they come from memory. Here each target t is held as t',
rounded to a grid of its own (a scale for each row), and how far it is from t is known: |t - t'|. By Cauchy and Schwarz
q.t lies within |q| |t - t'| of q.t'. So one pass over what is rounded leaves those targets that may be among the best,
a few more than were asked for; the caller ranks these by their exact factors, and misses none. As in `top_n`, the long
ones come first, and the pass ends where no target that is left can be long enough.

Blocks of BLOCK targets lie with their first components side by side, then their second ones, and so on: sums of a block
then run in the lanes of vector registers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from palate.errors import ParameterError
from palate.kernels.steps import in_steps
from palate.kernels.top_n import Codes, Floats

Form = Literal["int8", "float16"]
FORMS: tuple[Form, ...] = ("int8", "float16")

BLOCK = 64
_STEP = 4
"""Components that are added at once; widths are filled up with zeros to a multiple."""
_ROUNDING = 1e-5
"""The share of |q| |t| by which float32 arithmetic may be off."""
_AT_ONCE = 1024
"""Blocks that are rounded at once."""


@dataclass(frozen=True)
class Compact:
    """Targets from the longest to the shortest, rounded, `m` of them; those whose factors are all zero are left out.

    blocks: `(⌈m / BLOCK⌉, width, BLOCK)`, int8 or float16. scales: `(⌈m / BLOCK⌉ * BLOCK,) float32`, what a target's
    numbers are to be multiplied by; errors: likewise, how far the rounded target lies from the true one, and float32's
    arithmetic from both; lengths: likewise, Euclidean. order: likewise int32, the code of each, -1 behind the last.
    """

    blocks: npt.NDArray[Any]
    scales: Floats
    errors: Floats
    lengths: Floats
    order: Codes

    @classmethod
    def of(cls, factors: Floats, form: Form = "int8") -> Self:
        """factors: `(n, width) float32`. Raises ParameterError for another form, or factors that are not finite."""
        if form not in FORMS:
            raise ParameterError(f"must be {' or '.join(FORMS)}, not {form!r}.", where="form")
        lengths = np.sqrt(np.einsum("ij,ij->i", factors, factors, dtype=np.float64))
        if not np.isfinite(lengths).all():
            raise ParameterError("the factors are not finite numbers.", where="factors")
        sorted_codes = np.argsort(-lengths, kind="stable").astype(np.int32)
        sorted_codes = sorted_codes[: np.count_nonzero(lengths)]
        n_blocks = -(-len(sorted_codes) // BLOCK)
        width = -(-factors.shape[1] // _STEP) * _STEP
        order = np.full(n_blocks * BLOCK, -1, np.int32)
        order[: len(sorted_codes)] = sorted_codes
        blocks = np.zeros((n_blocks, width, BLOCK), np.int8 if form == "int8" else np.float16)
        scales, errors = np.zeros(len(order), np.float32), np.zeros(len(order), np.float64)
        for first in range(0, n_blocks, _AT_ONCE):
            part = slice(first, min(first + _AT_ONCE, n_blocks))
            rows = slice(part.start * BLOCK, part.stop * BLOCK)
            true = np.zeros((rows.stop - rows.start, width), np.float32)
            true[:, : factors.shape[1]] = np.where(order[rows, None] >= 0, factors[order[rows]], 0)
            rounded, scales[rows], errors[rows] = in_steps(true, blocks.dtype)
            blocks[part] = rounded.reshape(-1, BLOCK, width).transpose(0, 2, 1)
        long = np.zeros(len(order))
        long[: len(sorted_codes)] = lengths[sorted_codes]
        return cls(blocks, scales, _above(errors + _ROUNDING * long), _above(long), order)

    @property
    def form(self) -> Form:
        return "int8" if self.blocks.dtype == np.int8 else "float16"


def may_be_best(query: Floats, compact: Compact, n: int, barred: npt.NDArray[np.bool_] | None = None) -> Codes:
    """The codes, ascending, of all targets that may be among the `n` of the largest dot products with a query
    `(width,) float32`: at least `n` of them, where there are as many.

    barred: `(n_targets,) bool` by code, left out.
    """
    from palate.kernels.compact_loops import candidates

    wide = np.zeros(compact.blocks.shape[1], np.float32)
    wide[: len(query)] = query
    exact = query.astype(np.float64)
    reach = np.float32(math.sqrt(exact @ exact) * (1 + _ROUNDING))
    codes = np.empty(len(compact.order), np.int32)  # what is not written to takes no memory
    uppers = np.empty(len(compact.order), np.float32)
    worst_kept = np.full(n, -np.inf, np.float32)
    held = np.full(n, -1, np.int32)
    blocks = compact.blocks if compact.form == "int8" else compact.blocks.view(np.int16)
    count = candidates(
        wide, reach, blocks, compact.scales, compact.errors, compact.lengths, compact.order,
        _NOTHING if barred is None else barred, worst_kept, held, codes, uppers,
    )  # fmt: skip
    found: Codes = np.sort(codes[:count][uppers[:count] >= worst_kept[0]])
    return found


_NOTHING = np.zeros(0, bool)


def _above(values: npt.NDArray[np.float64]) -> Floats:
    """As float32, not below."""
    return np.asarray(values * (1 + 1e-6), np.float32)
