"""What is done to rows of scores as they lie, by threads: numpy takes several times as long."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from palate.kernels.threads import in_threads

Floats = npt.NDArray[np.float32]


def widened(scores: Floats, columns: npt.NDArray[np.int32], width: int) -> Floats:
    """`(n, width)`: scores `(n, len(columns))` in the columns named, each once; -inf in the others."""
    from palate.kernels.rows_loops import widen

    wide = np.empty((len(scores), width), np.float32)
    in_threads(lambda first, last: widen(scores, columns, wide, first, last), len(scores))
    return wide


def filled(scores: Floats, standing: Floats) -> npt.NDArray[Any]:
    """Zeros of scores `(n, width)` give way, in place, to what stands for them, `(width,)`. Tells which rows had
    anything else, `(n,) bool`."""
    from palate.kernels.rows_loops import fill

    known = np.empty(len(scores), np.bool_)
    in_threads(lambda first, last: fill(scores, standing, known, first, last), len(scores))
    return known
