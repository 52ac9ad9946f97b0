"""The generated data: reproducible, well-formed, and with tastes that models can find."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from implicit.als import AlternatingLeastSquares
from sklearn.feature_extraction.text import TfidfVectorizer
from threadpoolctl import threadpool_limits

from palate.dataset import Dataset, Split, cold_items, generate_dataset, leave_last_fraction
from palate.errors import ParameterError


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return generate_dataset()


def ndcg(scores: npt.NDArray[np.floating], parted: Split, k: int) -> float:
    """Mean NDCG over users with test items; training items are masked. Ideal list cut at min(k, test items)."""
    seen, wanted = parted.train.matrix(binary=True), parted.test.matrix(binary=True)
    scores = scores.astype(float)
    scores[seen.nonzero()] = -np.inf
    top = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    gains = 1 / np.log2(np.arange(k) + 2)
    users = np.flatnonzero(np.diff(wanted.indptr))
    hits = np.take_along_axis(wanted.toarray()[users], top[users], axis=1)
    ideal = np.cumsum(gains)[np.minimum(np.diff(wanted.indptr)[users], k) - 1]
    return float(np.mean(hits @ gains / ideal))


def test_its_shape(dataset: Dataset) -> None:
    interactions, items, users = dataset.interactions, dataset.items, dataset.users
    assert items is not None
    assert users is not None
    assert (interactions.n_users, interactions.n_items, len(interactions)) == (600, 1500, 60_000)
    assert np.bincount(interactions.user_codes, minlength=600).min() >= 1
    assert interactions.matrix(binary=True).nnz == 60_000  # nobody meets an item twice
    assert interactions.weights is not None
    assert interactions.timestamps is not None
    assert set(interactions.weights) <= set(np.arange(1, 5.5, 0.5))
    assert interactions.timestamps.max() - interactions.timestamps.min() > 2 * 365 * 86_400
    titles = items.strings("title")
    assert all(titles)
    assert len(set(titles)) == 1500
    assert all(items.strings("text"))
    assert all(items.lists("categories"))
    assert all(items.lists("tags"))
    assert all(users.lists("categories"))
    released = np.array(items.table["timestamp"].to_pylist())
    assert (interactions.timestamps >= released[interactions.item_codes]).all()
    popularity = np.sort(np.bincount(interactions.item_codes, minlength=1500))[::-1]
    assert popularity[:150].sum() > 0.25 * 60_000  # a tenth of the items draws far more than a tenth


def test_the_same_seed_gives_the_same_data_and_another_one_does_not() -> None:
    one, same, other = (generate_dataset(30, 40, 300, seed=seed) for seed in (5, 5, 6))
    assert one.interactions.fingerprint == same.interactions.fingerprint
    assert one.items is not None
    assert same.items is not None
    assert one.items.table.equals(same.items.table)
    assert one.interactions.fingerprint != other.interactions.fingerprint


def test_personal_recommendations_beat_popularity(dataset: Dataset) -> None:
    parted = leave_last_fraction(dataset.interactions, 0.2)
    train = parted.train.matrix(binary=True)
    with threadpool_limits(1, "blas"):  # implicit runs threads of its own
        model = AlternatingLeastSquares(factors=32, iterations=10, alpha=5.0, random_state=0, num_threads=2)
        model.fit(train, show_progress=False)
    popularity = np.repeat(np.asarray(train.sum(axis=0)), 600, axis=0)
    assert ndcg(model.user_factors @ model.item_factors.T, parted, 10) > 1.3 * ndcg(popularity, parted, 10)


def test_content_ranks_cold_items(dataset: Dataset) -> None:
    parted = cold_items(dataset.interactions, 0.2)
    items = dataset.items
    assert items is not None
    texts = [" ".join(parts) for parts in zip(items.strings("title"), items.strings("text"), strict=True)]
    vectors = TfidfVectorizer().fit_transform(texts)
    only_cold = np.full(1500, -np.inf)
    only_cold[np.unique(parted.test.item_codes)] = 0
    content = (parted.train.matrix(binary=True) @ vectors @ vectors.T).toarray() + only_cold
    random = np.random.default_rng(0).random(content.shape) + only_cold
    assert ndcg(content, parted, 20) > 2.5 * ndcg(random, parted, 20)


@settings(max_examples=25)
@given(st.integers(1, 12), st.integers(1, 12), st.data())
def test_any_possible_size_is_met_exactly(n_users: int, n_items: int, data: st.DataObject) -> None:
    n = data.draw(st.integers(n_users, n_users * n_items))
    found = generate_dataset(n_users, n_items, n, seed=n)
    assert (found.interactions.n_users, found.interactions.n_items, len(found.interactions)) == (n_users, n_items, n)
    assert found.interactions.matrix(binary=True).nnz == n
    assert len(np.unique(found.interactions.user_codes)) == n_users


@pytest.mark.parametrize(
    ("sizes", "where"),
    [
        ((0, 5, 5), "n_users"),
        ((5, 0, 5), "n_items"),
        ((5, 5, 4), "n_interactions"),
        ((5, 5, 26), "n_interactions"),
        ((5, 5, -1), "n_interactions"),
    ],
)
def test_impossible_sizes_are_refused_by_name(sizes: tuple[int, int, int], where: str) -> None:
    with pytest.raises(ParameterError) as caught:
        generate_dataset(*sizes)
    assert caught.value.where == where
