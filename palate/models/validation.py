"""What a model may be chosen by: interactions cut from those it learns from, never from a test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from palate.dataset.schema import Interactions, Items
from palate.dataset.splits import leave_last_fraction, random_split
from palate.errors import SchemaError

FEWEST = 50
"""With fewer users to measure by, what is held out says more of chance than of models."""
_HIDDEN = 0.1
"""The share of the touched items that is hidden altogether, where the ranking of new items is to be judged."""


@dataclass(frozen=True)
class Validation:
    """train, held: interactions to learn from, and those to be found by what was learned; of one pair of id maps.

    hidden: `(n_items,) bool`, items all of whose interactions are held: new ones, as far as the model can tell. Those
    interactions are in `fresh`, and not in `held`.
    """

    train: Interactions
    held: Interactions
    fresh: Interactions
    hidden: npt.NDArray[np.bool_]


def cut_validation(interactions: Interactions, share: float, seed: int, *, hide: bool = False) -> Validation | None:
    """The last `share` of each user's history, or a random one where there are no times; None if that leaves nothing.

    hide: hide a tenth of the items as well.
    """
    hidden = np.zeros(interactions.n_items, dtype=bool)
    if hide:
        touched = np.unique(interactions.item_codes)
        count = int(len(touched) * _HIDDEN)
        hidden[np.random.default_rng(seed).permutation(touched)[:count]] = True
    inside = hidden[interactions.item_codes]
    try:
        rest = interactions.take(~inside)
        parts = leave_last_fraction(rest, share) if rest.timestamps is not None else random_split(rest, share, seed)
    except SchemaError:
        return None
    return Validation(parts.train, parts.test, interactions.take(inside), hidden)


def cuts_of(
    interactions: Interactions, share: float, seed: int, count: int = 1, *, hide: bool = False
) -> list[Validation]:
    """At most `count` cuts that choices are made on; none if there are too few users to measure by.

    Where there are times, each cut holds out what comes last in what the one before it learned from, so that all of
    them look ahead; where there are none, each draws its own share.
    """
    found: list[Validation] = []
    for at in range(count):
        ahead = interactions.timestamps is not None and found
        cut = cut_validation(found[-1].train if ahead else interactions, share, seed + at, hide=hide)
        if cut is None or len(np.unique(cut.held.user_codes)) < FEWEST:
            break
        found.append(cut)
    return found


def told(items: Items) -> bool:
    """Whether anything says what the items are."""
    return any(items.table[name].null_count < len(items) for name in ("title", "text", "categories", "tags"))
