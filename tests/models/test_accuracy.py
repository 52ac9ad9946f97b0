"""What the models promise on real data: MovieLens ml-latest-small."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from palate.dataset import leave_last_fraction
from palate.dataset.generate import generate_dataset
from palate.dataset.ids import IdMap
from palate.dataset.schema import Interactions, Items
from palate.models import make_recommender
from palate.models.protocol import Recommender


@pytest.fixture(scope="module")
def movies(test_data: Path) -> Items:
    table = pd.read_csv(test_data / "ml-latest-small" / "movies.csv").sort_values("movieId")
    genres = [[] if names.startswith("(no") else names.split("|") for names in table["genres"]]
    columns = {"title": pa.array(table["title"].tolist(), pa.large_string()), "categories": pa.array(genres)}
    return Items(IdMap(table["movieId"].to_numpy()), pa.table(columns))


@pytest.fixture(scope="module")
def ratings(test_data: Path, movies: Items) -> Interactions:
    """Sorted by user and time."""
    table = pd.read_csv(test_data / "ml-latest-small" / "ratings.csv").sort_values(
        ["userId", "timestamp"], kind="stable"
    )
    users = IdMap.from_values(table["userId"].to_numpy())
    return Interactions(
        users,
        movies.ids,
        users.encode(table["userId"].to_numpy()),
        movies.ids.encode(table["movieId"].to_numpy()),
        table["rating"].to_numpy(np.float32),
        table["timestamp"].to_numpy(np.int64),
    )


def ndcg(model: Recommender, test: Interactions, k: int, candidates: pa.Array | None = None) -> float:
    wanted = test.matrix(binary=True)
    rows = np.flatnonzero(np.diff(wanted.indptr))
    found = model.recommend(test.users.ids.take(pa.array(rows)), k, candidates=candidates)
    gains = 1 / np.log2(np.arange(2, k + 2))
    hits = np.asarray(wanted[rows[:, None], np.maximum(found.codes, 0)].todense()) * (found.codes >= 0)
    ideal = np.cumsum(gains)[np.minimum(np.diff(wanted.indptr)[rows], k) - 1]
    return float(((hits * gains).sum(axis=1) / ideal).mean())


def test_personal_models_beat_popularity(ratings: Interactions, movies: Items) -> None:
    """The last fifth of each user's history held out; the defaults were not tuned on it."""
    counts = np.bincount(ratings.user_codes)
    place = np.arange(len(ratings)) - np.repeat(np.cumsum(counts) - counts, counts)
    held = place >= np.repeat(counts - counts // 5, counts)
    train, test = ratings.take(~held), ratings.take(held)
    kinds = ("als", "ials", "blend", "item-knn", "user-knn", "graph-filter")
    popular = ndcg(make_recommender("popularity").fit(train, movies), test, 10)
    scores = {kind: ndcg(make_recommender(kind).fit(train, movies), test, 10) for kind in kinds}
    assert {kind for kind, score in scores.items() if score < 1.5 * popular} == set()


def test_weights_from_the_nearest_items_are_nearly_as_good_as_from_all() -> None:
    halves = leave_last_fraction(generate_dataset(n_users=500, n_items=600, n_interactions=25_000).interactions)
    popular, dense, near = (
        ndcg(make_recommender(kind, values).fit(halves.train), halves.test, 20)
        for kind, values in (("popularity", {}), ("ease", {}), ("sparse-ease", {"neighbours": 50, "known": 150}))
    )
    assert dense >= 1.3 * popular
    assert near >= 0.97 * dense


@pytest.mark.parametrize("kind", ["content", "blend"])
def test_cold_items_are_ranked_far_better_than_at_random(ratings: Interactions, movies: Items, kind: str) -> None:
    """A fifth of the touched items held out with all their ratings; titles and genres are all that is known of them."""
    touched = np.unique(ratings.item_codes)
    cold = np.random.default_rng(7).choice(touched, len(touched) // 5, replace=False)
    held = np.isin(ratings.item_codes, cold)
    model = make_recommender(kind).fit(ratings.take(~held), movies)
    found = ndcg(model, ratings.take(held), 20, movies.ids.ids.take(pa.array(cold)))
    wanted = np.bincount(ratings.user_codes[held], minlength=ratings.n_users)
    wanted = wanted[wanted > 0]
    gains = np.cumsum(1 / np.log2(np.arange(2, 22)))
    at_random = float((wanted / len(cold) * gains[-1] / gains[np.minimum(wanted, 20) - 1]).mean())
    assert found >= 5 * at_random
