"""Generated interactions that look like real ones: a long tail of items, and users with tastes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from palate.dataset.ids import IdMap
from palate.dataset.schema import Interactions


@dataclass(frozen=True)
class Size:
    """Users, items, and interactions asked for (a few less come out, as no pair comes twice)."""

    users: int
    items: int
    interactions: int

    def __str__(self) -> str:
        return f"{self.users:,} x {self.items:,}, {self.interactions:,} interactions"


MOVIES = Size(6_040, 3_700, 800_000)
"""The size of MovieLens 1M."""
TINY = Size(120, 80, 1_500)


def generate(size: Size, seed: int = 0) -> Interactions:
    """Users draw items by popularity (a power law) times how near an item's of 20 genres is to their tastes."""
    rng = np.random.default_rng(seed)
    genre = rng.integers(0, 20, size.items)
    popularity = 1 / (10 + rng.permutation(size.items)) ** 0.8
    tastes = rng.dirichlet(np.full(20, 0.3), size.users)
    activity = np.clip(rng.lognormal(0, 1, size.users), 0.1, 12)
    counts = np.clip(activity / activity.sum() * size.interactions, 4, size.items // 2).astype(int)
    rows, columns = [], []
    for user in range(size.users):
        chance = popularity * (tastes[user, genre] + 0.02)
        # Gumbel top-n: a draw without replacement by these chances, in one sort
        keys = np.log(chance) + rng.gumbel(size=size.items)
        columns.append(np.argpartition(-keys, counts[user])[: counts[user]])
        rows.append(np.full(counts[user], user))
    users, items = np.concatenate(rows).astype(np.int32), np.concatenate(columns).astype(np.int32)
    order = rng.permutation(len(users))
    return Interactions(IdMap(np.arange(size.users)), IdMap(np.arange(size.items)), users[order], items[order])


def generate_places(size: Size, seed: int = 0) -> Interactions:
    """Users touch what is near one of three homes, by popularity (a power law), and a quarter of the time anything."""
    rng = np.random.default_rng(seed)
    n_areas = max(10, size.items // 100)
    crowd = rng.dirichlet(np.full(n_areas, 0.5))
    area, popularity = rng.choice(n_areas, size.items, p=crowd), rng.pareto(1.3, size.items) + 0.3
    by_area = np.argsort(area, kind="stable")
    starts = np.searchsorted(area[by_area], np.arange(n_areas + 1))
    reach = np.concatenate([[0.0], np.cumsum(popularity[by_area])])
    activity = np.clip(rng.lognormal(0, 0.9, size.users), 0.3, 15)
    # a third more than asked for: what is drawn twice counts once
    counts = np.clip((activity / activity.sum() * size.interactions * 1.35).astype(int), 8, None)
    users = np.repeat(np.arange(size.users), counts)
    homes = rng.choice(n_areas, (size.users, 3), p=crowd)
    share = rng.dirichlet(np.full(3, 0.6), size.users).cumsum(axis=1)
    home = homes[users, np.minimum((rng.random(len(users))[:, None] > share[users]).sum(axis=1), 2)]
    away = rng.random(len(users)) < 0.25
    low = np.where(away, 0.0, reach[starts[home]])
    high = np.where(away, reach[-1], reach[starts[home + 1]])
    drawn = low + rng.random(len(users)) * (high - low)
    items = by_area[np.clip(np.searchsorted(reach, drawn, side="right") - 1, 0, size.items - 1)]
    pairs = rng.permutation(np.unique(users * size.items + items))
    ids = IdMap(np.arange(size.users)), IdMap(np.arange(size.items))
    return Interactions(*ids, (pairs // size.items).astype(np.int32), (pairs % size.items).astype(np.int32))


def halves(interactions: Interactions, share: float = 0.1, seed: int = 0) -> tuple[Interactions, Interactions]:
    """(train, test): a random share of the rows is the test."""
    inside = np.random.default_rng(seed).random(len(interactions)) < share
    return interactions.take(~inside), interactions.take(inside)


def write_adjacency(interactions: Interactions, path: Path) -> None:
    """As LightGCN's data sets are: a line per user, the user and then the items."""
    order = np.argsort(interactions.user_codes, kind="stable")
    users, starts = np.unique(interactions.user_codes[order], return_index=True)
    lists: list[npt.NDArray[np.int32]] = np.split(interactions.item_codes[order], starts[1:])
    with open(path, "w", encoding="utf-8") as file:
        for user, items in zip(users.tolist(), lists, strict=True):
            file.write(f"{user} {' '.join(map(str, items.tolist()))}\n")
