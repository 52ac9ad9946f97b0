"""Generated data sets for the cold start, of opposite character, and one whose users say who they are."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from palate.dataset.ids import IdMap
from palate.dataset.schema import Dataset, Interactions, Items, Users

Matrix = npt.NDArray[np.float64]


def films(n_users: int = 1200, n_items: int = 2000, seed: int = 0) -> Dataset:
    """Few broad genres and a year; much that no content says; and what is popular is better described.

    A combination of genres has tastes and a popularity of its own, beside those of its genres, and so have eras. Tags
    come from the people who know an item, so that a popular one has more.
    """
    rng = np.random.default_rng(seed)
    n_genres, depth = 18, 8
    common = rng.dirichlet(np.full(n_genres, 0.7))
    genres = [np.sort(rng.choice(n_genres, rng.integers(1, 4), replace=False, p=common)) for _ in range(n_items)]
    years = np.clip(2020 - rng.gamma(2.0, 9.0, n_items), 1930, 2020).astype(int)
    combinations = {tuple(each): number for number, each in enumerate(dict.fromkeys(map(tuple, genres)))}
    combination = np.array([combinations[tuple(each)] for each in genres])
    era = (years - 1930) // 10
    many = np.zeros((n_items, n_genres))
    for item, held in enumerate(genres):
        many[item, held] = 1 / np.sqrt(len(held))

    def effects(width: int) -> Matrix:
        """Of genres, their combination, and the era, on some quantities, and what nothing explains."""
        of_genres = many @ rng.normal(size=(n_genres, width))
        of_both = rng.normal(size=(len(combinations), width))[combination]
        of_era = rng.normal(size=(10, width))[era]
        return np.asarray((of_genres + 1.2 * of_both + of_era + 0.7 * rng.normal(size=(n_items, width))) / 2)

    popularity = 1.3 * effects(1)[:, 0]
    nature, tastes = effects(depth), rng.normal(size=(n_users, depth))
    vocabulary = [f"tag-{number}" for number in range(600)]
    n_tags = rng.poisson(np.exp(0.2 + 0.8 * popularity).clip(0, 15))
    anchors = rng.normal(size=(len(vocabulary), depth))
    tags = []
    for item, count in enumerate(n_tags):
        near = anchors @ nature[item] / np.sqrt(depth) + rng.gumbel(size=len(vocabulary))
        tags.append([vocabulary[tag] for tag in np.argsort(-near)[:count]])
    lengths = np.clip(rng.lognormal(3.6, 0.8, n_users), 10, n_items // 4).astype(int)
    users, items = _drawn(rng, lambda user: popularity + 0.5 * (nature @ tastes[user]), lengths, n_items)
    table = pa.table(
        {
            "categories": [[f"genre-{genre}" for genre in held] for held in genres],
            "tags": pa.array(tags, pa.list_(pa.string())),
            "attributes": [json.dumps({"year": int(year)}) for year in years],
        }
    )
    return _dataset(users, items, n_users, n_items, table, None, "films")


def papers(n_users: int = 1500, n_items: int = 4000, seed: int = 0) -> Dataset:
    """Hundreds of narrow topics that tags tell well, short histories, and nothing that everybody reads."""
    rng = np.random.default_rng(seed)
    n_topics, n_tags = 300, 3000
    topic, second = rng.integers(n_topics, size=(2, n_items))
    general = 1 / (np.arange(n_tags) + 5) ** 0.9
    general /= general.sum()
    own = np.stack([np.bincount(rng.choice(n_tags, 15, p=general), minlength=n_tags) / 15 for _ in range(n_topics)])
    tags = []
    for item in range(n_items):
        chance = 0.6 * own[topic[item]] + 0.15 * own[second[item]] + 0.25 * general
        drawn = np.unique(rng.choice(n_tags, rng.integers(4, 14), p=chance / chance.sum()))
        tags.append([f"tag-{tag}" for tag in drawn])
    popularity = 0.5 * rng.normal(size=n_items)
    interests = [rng.choice(n_topics, rng.integers(2, 6), replace=False) for _ in range(n_users)]

    def liking(user: int) -> Matrix:
        first, other = np.isin(topic, interests[user]), np.isin(second, interests[user])
        return np.asarray(popularity + 5.0 * first + 2.5 * other)

    lengths = np.clip(rng.lognormal(2.8, 0.7, n_users), 8, n_items // 5).astype(int)
    users, items = _drawn(rng, liking, lengths, n_items)
    return _dataset(users, items, n_users, n_items, pa.table({"tags": tags}), None, "papers")


def people(n_users: int = 3000, n_items: int = 800, seed: int = 0) -> Dataset:
    """Users with an age, a gender, an occupation and a region, each of which moves their tastes a little."""
    rng = np.random.default_rng(seed)
    depth = 6
    ages = np.clip(rng.gamma(6.0, 6.0, n_users), 14, 90).astype(int)
    facts = {"gender": (2, 1.0), "occupation": (20, 0.8), "region": (12, 0.5)}
    drawn = {name: rng.integers(count, size=n_users) for name, (count, _) in facts.items()}
    tastes = 0.7 * rng.normal(size=(n_users, depth)) + np.outer((ages - 36) / 15, rng.normal(size=depth))
    for name, (count, strength) in facts.items():
        tastes += strength * rng.normal(size=(count, depth))[drawn[name]]
    nature = rng.normal(size=(n_items, depth)) / np.sqrt(depth)
    popularity = 0.8 * rng.normal(size=n_items)
    lengths = np.clip(rng.lognormal(2.8, 0.6, n_users), 5, n_items // 5).astype(int)
    users, items = _drawn(rng, lambda user: popularity + 1.5 * (nature @ tastes[user]), lengths, n_items)
    genre = (nature @ rng.normal(size=(depth, 8)) + 0.5 * rng.normal(size=(n_items, 8))).argmax(axis=1)
    table = pa.table({"categories": [[f"genre-{number}"] for number in genre]})
    attributes = [
        json.dumps({"age": int(age), **{name: f"{name}-{drawn[name][user]}" for name in facts}})
        for user, age in enumerate(ages)
    ]
    return _dataset(users, items, n_users, n_items, table, pa.table({"attributes": attributes}), "people")


def _drawn(
    rng: np.random.Generator, liking: Callable[[int], Matrix], lengths: npt.NDArray[np.int64], n_items: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Users and items: without replacement, in proportion to exp(liking)."""
    rows, columns = [], []
    for user, length in enumerate(lengths):
        keys = liking(user) + rng.gumbel(size=n_items)
        columns.append(np.argpartition(-keys, length)[:length])
        rows.append(np.full(length, user))
    return np.concatenate(rows).astype(np.int32), np.concatenate(columns).astype(np.int32)


def _dataset(
    users: npt.NDArray[np.int32],
    items: npt.NDArray[np.int32],
    n_users: int,
    n_items: int,
    content: pa.Table,
    about: pa.Table | None,
    name: str,
) -> Dataset:
    user_ids, item_ids = IdMap(np.arange(n_users)), IdMap(np.arange(n_items))
    known = None if about is None else Users(user_ids, about)
    return Dataset(
        Interactions(user_ids, item_ids, users, items), Items(item_ids, content), known, f"generated: {name}"
    )
