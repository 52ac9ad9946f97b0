"""Items in an order in which each is unlike those before it, so that the first few show what there is.

Each next item is drawn with a chance in proportion to its squared distance from the nearest item before it, as
k-means++ draws its centers (Arthur & Vassilvitskii 2007): the farthest itself would be an outlier most of the time.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

MOST = 1000
"""So many are drawn; the others follow by their distance from these, the farthest first."""
_DIRECTIONS = 64


def spread_out(
    views: Mapping[str, NDArray[np.floating]], known: NDArray[np.integer] | None = None, seed: int = 0, most: int = MOST
) -> NDArray[np.intp]:
    """The items that are not `known`, (n - len(known),), in order; they are to be unlike the known ones, too.

    views: (n, d) matrices of the same items; each counts alike, whatever its scale.
    """
    rows = _together(views)
    known = np.unique(np.empty(0, np.intp) if known is None else known).astype(np.intp)
    rng = np.random.default_rng(seed)
    squares = np.einsum("ij,ij->i", rows, rows)
    near = np.full(len(rows), np.inf)

    def mark(item: int) -> None:
        distance = squares + squares[item] - 2.0 * (rows @ rows[item])
        np.minimum(near, np.maximum(distance, 0.0), out=near)
        near[item] = 0.0

    for item in known if len(known) <= most else rng.choice(known, most, replace=False):
        mark(int(item))
    open_ = np.ones(len(rows), dtype=bool)
    open_[known] = False
    order: list[int] = []
    while len(order) < min(most, len(rows) - len(known)):
        reach = np.cumsum(np.where(open_, near, 0.0)) if np.isfinite(near).all() else np.cumsum(open_.astype(float))
        if reach[-1] <= 0.0:  # all that is left is there already
            break
        item = int(np.searchsorted(reach, rng.random() * reach[-1], side="right"))
        order.append(item)
        open_[item] = False
        mark(item)
    left = np.flatnonzero(open_)
    return np.concatenate([np.array(order, dtype=np.intp), left[np.argsort(-near[left], kind="stable")]])


def _together(views: Mapping[str, NDArray[np.floating]]) -> NDArray[np.float64]:
    """(n, d): all views side by side, each with a variance of 1 in all, in their leading directions."""
    from sklearn.decomposition import PCA

    sides = []
    for view in views.values():
        spread = float(np.sqrt(view.var(axis=0, dtype=np.float64).sum()))
        kept = min(_DIRECTIONS, *view.shape)
        centered = view if view.shape[1] <= kept else PCA(kept, random_state=0).fit_transform(view)
        sides.append(np.asarray(centered, dtype=np.float64) / (spread if spread > 0 else 1.0))
    return np.hstack(sides)
