"""A small catalogue with tastes: users like items of their own group, and the items of a group share a category."""

import math

import numpy as np
import pyarrow as pa
import pytest

from palate.dataset.ids import IdMap
from palate.dataset.schema import Interactions, Items

GROUPS, PER_GROUP, USERS = 4, 15, 60


@pytest.fixture(scope="session")
def tastes() -> Interactions:
    rng = np.random.default_rng(5)
    users, items, times = [], [], []
    for user in range(USERS):
        own = rng.permutation(PER_GROUP)[:8] + PER_GROUP * (user % GROUPS)
        other = rng.integers(0, GROUPS * PER_GROUP, 2)
        for item in dict.fromkeys([*own.tolist(), *other.tolist()]):
            users.append(f"u{user}")
            items.append(int(item))
            times.append(int(rng.integers(1_500_000_000, 1_600_000_000)))
    return Interactions.from_ids(users, items, None, times)


@pytest.fixture(scope="session")
def catalogue(tastes) -> Items:
    numbers = tastes.items.ids.to_pylist()
    table = pa.table(
        {
            "title": [f"Item {number}" for number in numbers],
            "categories": [[f"group {number // PER_GROUP}"] for number in numbers],
        }
    )
    return Items(IdMap(tastes.items.ids), table)


@pytest.fixture(scope="session")
def halves(tastes):
    """(train, test): the last two of each user's history, by time, are the test."""
    order = np.lexsort((tastes.timestamps, tastes.user_codes))
    codes = tastes.user_codes[order]
    last = np.append(codes[2:] != codes[:-2], [True, True])
    inside = np.zeros(len(tastes), dtype=bool)
    inside[order] = last
    return tastes.take(~inside), tastes.take(inside)


@pytest.fixture(scope="session")
def naive_accuracy():
    """The definitions of the metrics, written down plainly for one user."""

    def naive(ranking: list[int], relevant: set[int], k: int) -> dict[str, float]:
        hits = [item in relevant for item in ranking[:k] if item >= 0]
        ideal = sum(1 / math.log2(rank + 1) for rank in range(1, min(k, len(relevant)) + 1))
        firsts = [rank for rank, hit in enumerate(hits, 1) if hit]
        return {
            f"recall@{k}": sum(hits) / len(relevant),
            f"precision@{k}": sum(hits) / k,
            f"ndcg@{k}": sum(1 / math.log2(rank + 1) for rank in firsts) / ideal,
            f"map@{k}": sum(sum(hits[:rank]) / rank for rank in firsts) / min(k, len(relevant)),
            f"mrr@{k}": 1 / firsts[0] if firsts else 0.0,
            f"hit_rate@{k}": float(bool(firsts)),
        }

    return naive
