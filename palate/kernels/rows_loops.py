"""The inner loops of `palate.kernels.rows`."""

from __future__ import annotations

from typing import Any

import numpy as np

from palate.kernels.compiled import compiled


@compiled
def widen(scores: Any, columns: Any, wide: Any, first: int, last: int) -> None:
    for row in range(first, last):
        given, found = scores[row], wide[row]
        found[:] = -np.inf
        for place in range(len(columns)):
            found[columns[place]] = given[place]


@compiled
def fill(scores: Any, standing: Any, known: Any, first: int, last: int) -> None:
    for row in range(first, last):
        found, heard = scores[row], 0
        for column in range(len(standing)):
            silent = found[column] == 0
            heard += not silent
            found[column] = standing[column] if silent else found[column]
        known[row] = heard > 0
