"""A generated data set: a catalogue with titles, categories, tags and texts, and users that have tastes.

For when no real data is at hand. Each item belongs to a theme within a category, and its words come from there;
each user likes some categories and within them some themes, beside what is popular with everybody. So both what
users did and what items say carry the tastes, and personal recommendations beat popularity.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from palate.dataset.ids import IdMap
from palate.dataset.schema import ITEM_SCHEMA, USER_SCHEMA, Dataset, Interactions, Items, Users
from palate.dataset.vocabulary import ADJECTIVES, ENDINGS, MIDDLES, OPENINGS, THEMES
from palate.dataset.writers import write_dataset
from palate.errors import ParameterError

__all__ = ["generate_dataset", "write_dataset"]

_START = 1_577_836_800
"""2020-01-01: the first event. The last one is three years later."""
_SPAN = 3 * 365 * 86_400
_TOPICS: tuple[tuple[str, str, tuple[str, ...]], ...] = tuple(
    (category, theme, tuple(words.split())) for category, themes in THEMES.items() for theme, words in themes.items()
)
_CATEGORIES = tuple(THEMES)
_CATEGORY_OF = np.array([_CATEGORIES.index(category) for category, _, _ in _TOPICS])

# How much each side of a taste counts, in logits. Chosen so that on the default size an untuned ALS is about twice
# as good as popularity (NDCG@10), as on MovieLens, and not so much that the task becomes trivial.
_CATEGORY_TASTE, _THEME_TASTE, _POPULARITY, _HIDDEN_TASTE = 2.0, 1.2, 1.0, 0.6

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Catalogue:
    topics: npt.NDArray[np.int64]
    """`(n, 2)`: the main topic of each item, and a second one."""
    hidden: Matrix
    """`(n, 4)`: what users feel but no text says."""
    popularity: Matrix
    """`(n,)`, skewed as popularity is."""
    released: npt.NDArray[np.int64]


def generate_dataset(n_users: int = 600, n_items: int = 1500, n_interactions: int = 60_000, seed: int = 0) -> Dataset:
    """Users with tastes, a catalogue, and about three years of ratings (1 to 5 in halves) with timestamps.

    Every user has at least one interaction and meets an item once at most; exactly `n_interactions` rows.
    The same parameters give the same data. Raises ParameterError if the sizes do not go together.
    """
    for name, value in (("n_users", n_users), ("n_items", n_items)):
        if value < 1:
            raise ParameterError(f"must be at least 1, not {value}.", where=name)
    if not n_users <= n_interactions <= n_users * n_items:
        raise ParameterError(
            f"must lie between one per user ({n_users}) and all pairs ({n_users * n_items}), not {n_interactions}.",
            where="n_interactions",
        )
    rng = np.random.default_rng(seed)
    catalogue = _catalogue(rng, n_items)
    tastes, hidden = _tastes(rng, n_users)
    counts = _history_lengths(rng, n_users, n_items, n_interactions)
    interactions = _interactions(rng, catalogue, tastes, hidden, counts)
    items = Items(interactions.items, _item_table(rng, catalogue))
    users = Users(interactions.users, _user_table(rng, tastes))
    return Dataset(interactions, items, users, source=f"generated, seed {seed}")


def _catalogue(rng: np.random.Generator, n_items: int) -> _Catalogue:
    main = rng.integers(len(_TOPICS), size=n_items)
    second = rng.integers(len(_TOPICS), size=n_items)
    same = rng.random(n_items) < 0.6  # a second topic is most often of the same category
    per_category = len(_TOPICS) // len(_CATEGORIES)
    second[same] = (main // per_category * per_category + rng.integers(per_category, size=n_items))[same]
    popularity = rng.permutation(1.0 / (np.arange(n_items) + 10) ** 0.9)
    before = _START - rng.integers(0, 2 * 365 * 86_400, size=n_items)
    during = _START + rng.integers(0, _SPAN * 9 // 10, size=n_items)
    released = np.where(rng.random(n_items) < 0.15, during, before)
    return _Catalogue(np.column_stack([main, second]), rng.normal(size=(n_items, 4)), popularity, released)


def _tastes(rng: np.random.Generator, n_users: int) -> tuple[Matrix, Matrix]:
    """How much each user likes each topic, `(n_users, n_topics)`, and hidden tastes, `(n_users, 4)`."""
    categories = rng.gamma(0.35, size=(n_users, len(_CATEGORIES)))
    categories /= categories.max(axis=1, keepdims=True) + 1e-12
    themes = rng.normal(size=(n_users, len(_TOPICS)))
    return _CATEGORY_TASTE * categories[:, _CATEGORY_OF] + _THEME_TASTE * 0.5 * themes, rng.normal(size=(n_users, 4))


def _history_lengths(
    rng: np.random.Generator, n_users: int, n_items: int, n_interactions: int
) -> npt.NDArray[np.int64]:
    """How many items each user meets, `(n_users,)`: skewed, at least 1, at most all, `n_interactions` in sum."""
    share = rng.lognormal(sigma=0.7, size=n_users)
    counts: npt.NDArray[np.int64] = np.clip(np.floor(share / share.sum() * n_interactions).astype(np.int64), 1, n_items)
    while (gap := n_interactions - int(counts.sum())) != 0:
        open_to = np.flatnonzero(counts < n_items) if gap > 0 else np.flatnonzero(counts > 1)
        chosen = rng.permutation(open_to)[: abs(gap)]
        counts[chosen] += np.sign(gap)
    return counts


def _interactions(
    rng: np.random.Generator, catalogue: _Catalogue, tastes: Matrix, hidden: Matrix, counts: npt.NDArray[np.int64]
) -> Interactions:
    n_users, n_items = len(tastes), len(catalogue.topics)
    base = _POPULARITY * np.log(catalogue.popularity)
    joined = _START + (rng.beta(1, 2, size=n_users) * _SPAN * 0.8).astype(np.int64)
    users, items, weights, times = [], [], [], []
    for user in range(n_users):
        liking = 0.7 * tastes[user][catalogue.topics[:, 0]] + 0.3 * tastes[user][catalogue.topics[:, 1]]
        liking = liking + _HIDDEN_TASTE * (catalogue.hidden @ hidden[user]) / 2
        # the largest of scores plus Gumbel noise: drawn without replacement, in proportion to exp(score)
        drawn = np.argsort(-(base + 1.6 * liking + rng.gumbel(size=n_items)))[: counts[user]]
        stars = 3.2 + 0.9 * (liking[drawn] - liking.mean()) / (liking.std() + 1e-9) * 0.7
        stars = stars + rng.normal(scale=0.6, size=len(drawn))
        first = np.maximum(joined[user], catalogue.released[drawn])
        times.append(first + (rng.random(len(drawn)) * (_START + _SPAN - first)).astype(np.int64))
        weights.append(np.clip(np.round(stars * 2) / 2, 1, 5))
        users.append(np.full(len(drawn), user))
        items.append(drawn)
    timestamps = np.concatenate(times)
    order = np.argsort(timestamps, kind="stable")
    return Interactions(
        IdMap([f"user-{number:0{len(str(n_users))}d}" for number in range(1, n_users + 1)]),
        IdMap([f"item-{number:0{len(str(n_items))}d}" for number in range(1, n_items + 1)]),
        np.concatenate(users)[order].astype(np.int32),
        np.concatenate(items)[order].astype(np.int32),
        np.concatenate(weights)[order].astype(np.float32),
        timestamps[order].astype(np.int64),
    )


def _item_table(rng: np.random.Generator, catalogue: _Catalogue) -> pa.Table:
    rows: dict[str, list[object]] = {name: [] for name in ("title", "text", "categories", "tags", "attributes")}
    taken: dict[str, int] = {}
    for (main, second), hidden in zip(catalogue.topics, catalogue.hidden, strict=True):
        category, theme, words = _TOPICS[main]
        other_category, other_theme, other_words = _TOPICS[second]
        rows["categories"].append(list(dict.fromkeys([category, other_category])))
        rows["tags"].append(list(dict.fromkeys([theme, other_theme])))
        rows["title"].append(_title(rng, words, taken))
        rows["text"].append(_text(rng, theme, words, other_theme, other_words))
        rows["attributes"].append(json.dumps({"pages": int(180 + 40 * abs(hidden[0]) + rng.integers(60))}))
    columns = {name: pa.array(values, ITEM_SCHEMA.field(name).type) for name, values in rows.items()}
    columns["timestamp"] = pa.array(catalogue.released)
    columns["available"] = pa.array([True] * len(catalogue.released))
    return pa.table(columns)


def _title(rng: np.random.Generator, words: tuple[str, ...], taken: dict[str, int]) -> str:
    first, second = rng.permutation(words)[:2]
    adjective = ADJECTIVES[rng.integers(len(ADJECTIVES))].title()
    forms = (
        f"The {adjective} {first.title()}",
        f"{first.title()} and {second.title()}",
        f"{adjective} {second.title()}",
    )
    title = str(forms[rng.integers(len(forms))])
    taken[title] = taken.get(title, 0) + 1
    return title if taken[title] == 1 else f"{title}, part {taken[title]}"


def _text(
    rng: np.random.Generator, theme: str, words: tuple[str, ...], other_theme: str, other_words: tuple[str, ...]
) -> str:
    a, b, c = rng.permutation(words)[:3]
    adjective = ADJECTIVES[rng.integers(len(ADJECTIVES))]
    opening = OPENINGS[rng.integers(len(OPENINGS))].format(a=a, b=b, c=c, theme=theme, adjective=adjective)
    a, b, c = rng.permutation(words + other_words)[:3]
    middle = MIDDLES[rng.integers(len(MIDDLES))].format(a=a, b=b, c=c, theme=other_theme)
    return f"{opening} {middle} {ENDINGS[rng.integers(len(ENDINGS))]}"


def _user_table(rng: np.random.Generator, tastes: Matrix) -> pa.Table:
    """Users state the two categories and the theme they like best."""
    per_category = np.stack([tastes[:, code == _CATEGORY_OF].mean(axis=1) for code in range(len(_CATEGORIES))], axis=1)
    best = np.argsort(-per_category, axis=1)[:, :2]
    themes = tastes.argmax(axis=1)
    ages = rng.integers(16, 80, size=len(tastes))
    columns = {
        "categories": [[_CATEGORIES[code] for code in row] for row in best],
        "tags": [[_TOPICS[code][1]] for code in themes],
        "attributes": [json.dumps({"age": int(age)}) for age in ages],
    }
    return pa.table({name: pa.array(values, USER_SCHEMA.field(name).type) for name, values in columns.items()})
