"""Rows of numbers in a small type, as multiples of a step of each row, and how far that is from what they stand for."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


def in_steps(rows: Floats, form: npt.DTypeLike) -> tuple[npt.NDArray[Any], Floats, npt.NDArray[np.float64]]:
    """Numbers `(n, width)` of the type `form` (int8, or a small float), steps `(n,)`, and distances `(n,)`, Euclidean.

    A row whose largest number is too small for a step, or not finite, is all zeros: the distance is all there is.
    """
    whole = np.issubdtype(form, np.integer)
    steps = (np.abs(rows).max(axis=1, initial=0) / (np.iinfo(form).max if whole else 1)).astype(np.float32)
    usable = np.isfinite(steps) & (steps >= np.finfo(np.float32).tiny)
    steps[~usable] = 0
    scaled = np.where(usable[:, None], rows, 0) / np.where(usable, steps, 1)[:, None]
    numbers = (np.rint(scaled) if whole else scaled).astype(form)
    return numbers, steps, np.linalg.norm(rows - steps[:, None] * numbers.astype(np.float64), axis=1)
