"""Which row of the interactions tells of a pair that comes more than once: the last one."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from palate.dataset.schema import Interactions


def latest_rows(interactions: Interactions) -> npt.NDArray[np.intp]:
    """Rows of the latest interaction of each pair of user and item, `(n_pairs,)`, sorted by user and item: an entry of
    `Interactions.matrix(binary=True)` each. Without timestamps, and among equals, the last row counts."""
    pairs = interactions.user_codes.astype(np.int64) * interactions.n_items + interactions.item_codes
    times = interactions.timestamps
    order = np.lexsort((pairs,) if times is None else (times, pairs))
    return np.asarray(order[np.flatnonzero(np.diff(pairs[order], append=-1))])
