"""The cold start, through its public door."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palate.dataset.readers import read_dataset
from palate.dataset.schema import Interactions
from palate.errors import ParameterError, SchemaError
from palate.evaluation.cold import evaluate_cold, first_part
from palate.models import make_recommender


def test_content_ranks_cold_items_far_above_chance(tastes, catalogue):
    found = evaluate_cold(make_recommender("content"), tastes, "items", 0.25, ks=(3, 5), items=catalogue)
    assert found.cold.cold == 15
    assert found.cold.ratio["ndcg@5"] > 1.8
    assert found.cold.full_ranking.metrics["ndcg@5"] < found.metrics["ndcg@5"], "all items are harder than a few"
    assert found.metrics["novelty@5"] == pytest.approx(np.log2(60)), "nobody knows a cold item"
    assert found.data.diversity_of == "content"


def test_a_model_without_content_finds_no_cold_item(tastes):
    found = evaluate_cold(make_recommender("als", {"factors": 4}), tastes, "items", 0.25)
    assert found.metrics["hit_rate@20"] == 0
    assert found.cold.ratio["ndcg@20"] == 0
    assert found.to_dict()["metrics"]["novelty@20"] is None


def test_what_random_gets_is_what_its_expectation_says(tastes):
    """Popularity is blind among cold items: as their codes are in no order of taste, it scores as chance does."""
    ratios = [
        evaluate_cold(make_recommender("popularity"), tastes, "items", 0.25, seed=seed).cold.ratio["ndcg@10"]
        for seed in range(8)
    ]
    assert np.mean(ratios) == pytest.approx(1, abs=0.15)


def test_cold_users_are_folded_in_from_their_first_part(tastes):
    found = evaluate_cold(make_recommender("als", {"factors": 8}), tastes, "users", 0.25)
    popular = evaluate_cold(make_recommender("popularity"), tastes, "users", 0.25)
    assert found.cold.cold == popular.cold.cold == 15
    assert found.data.personal_users == found.data.test_users
    assert popular.data.personal_users == 0
    assert found.metrics["ndcg@10"] > 1.3 * popular.metrics["ndcg@10"]
    assert found.cold.full_ranking is None, "all items are ranked already"


def test_cold_users_without_timestamps(tastes):
    bare = dataclasses.replace(tastes, timestamps=None)
    first, again = (evaluate_cold(make_recommender("als", {"factors": 4}), bare, "users", seed=2) for _ in range(2))
    assert first.metrics == again.metrics
    assert 0 < first.metrics["recall@20"] <= 1


def test_a_cold_user_with_one_interaction_is_left_out(tastes):
    codes = [*tastes.users.decode(tastes.user_codes), *(f"once{number}" for number in range(60))]
    items = [*tastes.items.decode(tastes.item_codes), *([0] * 60)]
    found = evaluate_cold(make_recommender("popularity"), Interactions.from_ids(codes, items), "users", 0.5)
    assert found.cold.cold == 60
    assert found.data.left_out_users > 10
    assert found.data.test_users + found.data.left_out_users == 60


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), min_size=1, max_size=40),
    st.floats(0.05, 0.95),
    st.booleans(),
)
def test_the_first_part_comes_before_the_rest(rows, share, timed):
    users, times = zip(*rows, strict=True)
    data = Interactions.from_ids(list(users), list(range(len(rows))), None, list(times) if timed else None)
    inside = first_part(data, share, 0)
    for code in range(data.n_users):
        mine = data.user_codes == code
        given_, kept = inside & mine, ~inside & mine
        assert given_.sum() >= 1
        assert kept.any() == (mine.sum() > 1)
        assert given_.sum() <= max(1, mine.sum() * share)
        if timed and kept.any():
            assert data.timestamps[given_].max() <= data.timestamps[kept].min()


@pytest.mark.parametrize(("kind", "holdout"), [("planets", 0.2), ("items", 0.0), ("users", 1.0), ("items", -1.0)])
def test_what_makes_no_sense_is_refused(tastes, kind, holdout):
    with pytest.raises(ParameterError):
        evaluate_cold(make_recommender("popularity"), tastes, kind, holdout)


def test_a_fitted_model_is_refused(tastes):
    with pytest.raises(ParameterError, match="fresh"):
        evaluate_cold(make_recommender("popularity").fit(tastes), tastes, "items")


@pytest.mark.parametrize("kind", ["items", "users"])
def test_too_little_to_hold_out_is_refused(kind):
    with pytest.raises(SchemaError):
        evaluate_cold(make_recommender("popularity"), Interactions.from_ids(["a"], ["x"]), kind)


def test_cold_movies_are_ranked_five_times_better_than_chance(test_data):
    """The promise of issue 2, on real data."""
    movies = read_dataset(test_data / "ml-latest-small")
    found = evaluate_cold(make_recommender("content"), movies.interactions, "items", items=movies.items)
    assert found.cold.ratio["ndcg@20"] >= 5
