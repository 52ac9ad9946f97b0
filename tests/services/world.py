"""A small world with two tastes: users a.. touch the comedies, users b.. the westerns. Nobody touches the last two."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from palate.dataset.ids import IdMap
from palate.dataset.schema import Interactions, Items
from services.recommender.catalogue import ItemRow

COMEDIES = [f"comedy-{number}" for number in range(12)]
WESTERNS = [f"western-{number}" for number in range(12)]
ITEMS = [*COMEDIES, *WESTERNS]


def interactions(seed: int = 0, integer: bool = False) -> Interactions:
    """Ten users of each taste, each with seven of the first eleven items of their kind."""
    rng = np.random.default_rng(seed)
    pairs = [
        (f"{taste}{user}", items[place])
        for taste, items in (("a", COMEDIES), ("b", WESTERNS))
        for user in range(10)
        for place in rng.choice(11, 7, replace=False)
    ]
    users, items = [user for user, _ in pairs], [item for _, item in pairs]
    when = np.arange(len(pairs)) + 1_000_000
    if integer:
        return Interactions.from_ids(
            [100 + ord(user[0]) * 10 + int(user[1:]) for user in users],
            [ITEMS.index(item) for item in items],
            None,
            when,
        )
    return Interactions.from_ids(users, items, None, when)


def rows(integer: bool = False) -> list[ItemRow]:
    """The catalogue as the store keeps it."""
    return [
        ItemRow(
            str(number) if integer else item,
            f"{item.split('-')[0].title()} {number}",
            "people laugh a lot" if item in COMEDIES else "riders shoot at dawn",
            ("Comedy",) if item in COMEDIES else ("Western", "Drama"),
            timestamp=2_000_000 + number,
        )
        for number, item in enumerate(ITEMS)
    ]


def items(integer: bool = False) -> Items:
    """The same for training."""
    held = rows(integer)
    return Items(
        IdMap([int(row.id) for row in held] if integer else [row.id for row in held]),
        pa.table(
            {
                "title": pa.array([row.title for row in held], pa.large_string()),
                "text": pa.array([row.text for row in held], pa.large_string()),
                "categories": pa.array([list(row.categories) for row in held], pa.list_(pa.large_string())),
            }
        ),
    )
