"""How much a blend trusts each of its parts, by how much is known of the user and of the item.

The score of an item is linear in terms made of the parts' standardised scores z, of the user's number of items h and
the item's number of users c. The weights of these terms are learned in trust_learning.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

PART_TERMS = ("score", "known user", "new user", "known item", "new item", "root", "silent")
"""Of each part: z; z by the logarithm of h, by 1 where h is 0 falling to 0; the same of c; the root of a positive z;
and 1 where the part is silent on the item."""
SHARED_TERMS = ("popular", "very popular", "new item", "popular, known user", "popular, new user", "untouched")
"""The logarithm of the item's popularity, its square, and it by the same functions of h; how new the item is; and
whether nobody touched it."""

USER_HALF, ITEM_HALF = 2.0, 1.0
"""With so many items, or users, a user or an item is half new."""


@dataclass(frozen=True)
class Scale:
    """Counts as standardised logarithms, no further out than the counts it was made from."""

    mean: float
    deviation: float
    low: float
    high: float

    @classmethod
    def of(cls, counts: npt.NDArray[np.number]) -> Self:
        logs = np.log1p(counts.astype(np.float64)) if len(counts) else np.zeros(1)
        return cls(float(logs.mean()), float(logs.std()) or 1.0, float(logs.min()), float(logs.max()))

    def __call__(self, counts: npt.NDArray[np.number]) -> Floats:
        logs = np.clip(np.log1p(counts.astype(np.float64)), self.low, self.high)
        return np.asarray((logs - self.mean) / self.deviation, dtype=np.float32)


@dataclass(frozen=True)
class Known:
    """What is known of users, or of items: `log` and `new` are `(n,) float32`; `log` of items is their popularity."""

    log: Floats
    new: Floats

    def __getitem__(self, rows: npt.NDArray[np.integer] | slice) -> Known:
        return Known(self.log[rows], self.new[rows])


@dataclass(frozen=True)
class Trust:
    """The weights. parts: `(n_parts, len(PART_TERMS)) float32`; shared: `(len(SHARED_TERMS),) float32`."""

    parts: Floats
    shared: Floats
    user_scale: Scale
    item_scale: Scale

    def users(self, histories: npt.NDArray[np.number]) -> Known:
        """From numbers of items."""
        return Known(self.user_scale(histories), _newness(histories, USER_HALF))

    def items(self, counts: npt.NDArray[np.number], popularity: npt.NDArray[np.number]) -> Known:
        """From numbers of users, and from what says how popular an item is now."""
        return Known(self.item_scale(popularity), _newness(counts, ITEM_HALF))

    def of_users(self, part: int, users: Known) -> Floats:
        """What z of a part counts for each user, `(n,)`; `of_items` is to be added."""
        score, known, new = self.parts[part, :3]
        return np.asarray(score + known * users.log + new * users.new, dtype=np.float32)

    def of_items(self, part: int, items: Known) -> Floats:
        known, new = self.parts[part, 3:5]
        return np.asarray(known * items.log + new * items.new, dtype=np.float32)

    def shared_score(self, users: Known, items: Known, counts: npt.NDArray[np.number]) -> Floats:
        """The score that all parts share, `(n_users, n_items)`."""
        popular, very, new, by_known, by_new, untouched = self.shared
        slope = popular + by_known * users.log + by_new * users.new
        own = very * items.log**2 + new * items.new + untouched * (counts == 0)
        return np.asarray(slope[:, None] * items.log + own, dtype=np.float32)

    def with_weights(self, weights: npt.NDArray[np.number]) -> Trust:
        """The same scales with weights as `flat` has them."""
        cut = len(weights) - len(SHARED_TERMS)
        parts = np.asarray(weights[:cut], dtype=np.float32).reshape(-1, len(PART_TERMS))
        return Trust(parts, np.asarray(weights[cut:], dtype=np.float32), self.user_scale, self.item_scale)

    def of_parts(self, which: Sequence[bool]) -> Trust:
        """The weights of some of the parts."""
        return Trust(self.parts[np.array(which, dtype=bool)], self.shared, self.user_scale, self.item_scale)

    @property
    def flat(self) -> Floats:
        return np.concatenate([self.parts.ravel(), self.shared])


def _newness(counts: npt.NDArray[np.number], half: float) -> Floats:
    return np.asarray(half / (half + counts.astype(np.float64)), dtype=np.float32)


COVERS = (1.0, 0.4, 0.2, 0.1, 1e-5)
"""How strongly what covers the new may speak, the most first. The least moves nothing that is known, and still puts the
new in order."""


def rule_of_thumb(
    ranks_new: Sequence[bool],
    user_scale: Scale,
    item_scale: Scale,
    shares: Sequence[float] | None = None,
    cover: float = COVERS[0],
) -> Trust:
    """Parts that need interactions count by how much is known; those that rank what is new, by how little.

    ranks_new: of each part, whether it ranks items that nobody has touched. shares: what each counts where much is
    known, in sum 1; unless told, those that need interactions count alike, and the others nothing, if there are such.
    The shorter the history, the more popularity counts. cover: times that much all that is said of new users and items.
    """
    needy = sum(not new for new in ranks_new)
    others = len(ranks_new) - needy
    if shares is None:
        shares = [float(not (new and needy)) / (needy or others) for new in ranks_new]
    parts = np.zeros((len(ranks_new), len(PART_TERMS)), np.float32)
    when_new = [PART_TERMS.index("new user"), PART_TERMS.index("new item")]
    for row, new, share in zip(parts, ranks_new, shares, strict=True):
        row[0] = share
        if needy and others:
            row[when_new] = cover * (0.5 / others if new else -0.5 * share)
    shared = np.zeros(len(SHARED_TERMS), np.float32)
    shared[SHARED_TERMS.index("popular, new user")] = cover if needy else 0.0
    return Trust(parts, shared, user_scale, item_scale)


def terms(
    scores: Floats, heard: Mask, speaking: Mask, users: Known, items: Known, counts: npt.NDArray[np.number]
) -> Floats:
    """The terms of pairs of a user and an item, `(n, n_parts * len(PART_TERMS) + len(SHARED_TERMS)) float32`.

    scores: z of each part, `(n_parts, n)`; heard: where it is not silent on the item; speaking: where it knows the
    user. users, items, counts: of the pairs, `(n,)`.
    """
    columns: list[Floats] = []
    for score, hears, speaks in zip(scores, heard, speaking, strict=True):
        z = np.where(hears & speaks, score, 0).astype(np.float32)
        columns += [z, z * users.log, z * users.new, z * items.log, z * items.new, np.sqrt(np.maximum(z, 0))]
        columns.append((speaks & ~hears).astype(np.float32))
    columns += [items.log, items.log**2, items.new, items.log * users.log, items.log * users.new]
    columns.append((counts == 0).astype(np.float32))
    return np.stack(columns, axis=1)
