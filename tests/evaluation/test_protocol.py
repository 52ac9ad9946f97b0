"""Full-ranking evaluation through its public door, on real models."""

import dataclasses
import json

import numpy as np
import pytest

from palate.dataset.ids import IdMap
from palate.dataset.schema import Interactions
from palate.errors import ParameterError, SchemaError
from palate.evaluation.protocol import evaluate
from palate.models import make_recommender


def test_every_metric_has_an_interval_around_it(halves, catalogue):
    found = evaluate(make_recommender("als", {"factors": 8}), *halves, ks=(5, 10), items=catalogue)
    names = ("recall", "precision", "ndcg", "map", "mrr", "hit_rate", "coverage", "novelty", "diversity")
    assert set(found.metrics) == {f"{name}@{k}" for name in names for k in (5, 10)}
    assert set(found.intervals) == set(found.metrics)
    for name, (low, high) in found.intervals.items():
        assert low <= found.metrics[name] <= high, name


def test_it_agrees_with_ranking_one_user_after_another(naive_accuracy, halves):
    train, test = halves
    model = make_recommender("als", {"factors": 8}).fit(train)
    found = evaluate(model, train, test, ks=(3, 10))
    rows = []
    for user in train.users.ids.to_pylist():
        shown = [item for item, _ in model.recommend([user], 10).row(0)]
        code = test.users.code(user)
        relevant = set(test.items.decode(test.item_codes[test.user_codes == code]))
        rows.append({**naive_accuracy(shown, relevant, 3), **naive_accuracy(shown, relevant, 10)})
    for name in rows[0]:
        assert found.metrics[name] == pytest.approx(np.mean([row[name] for row in rows])), name


def test_a_personal_model_beats_popularity_where_there_are_tastes(halves):
    als = evaluate(make_recommender("als", {"factors": 8}), *halves)
    popular = evaluate(make_recommender("popularity"), *halves)
    assert als.metrics["ndcg@10"] > 1.3 * popular.metrics["ndcg@10"]
    assert (als.data.personal_users, popular.data.personal_users) == (60, 0)
    assert popular.metrics["coverage@10"] < als.metrics["coverage@10"]
    assert popular.metrics["novelty@10"] < als.metrics["novelty@10"]


def test_training_items_are_never_shown(halves):
    """Test pairs that are training pairs cannot be found; they are counted and said."""
    train, _ = halves
    found = evaluate(make_recommender("popularity"), train, train)
    assert found.metrics["hit_rate@20"] == 0
    assert found.data.test_pairs_seen_in_training == train.matrix(binary=True).nnz


def test_id_maps_need_not_be_shared(halves):
    train, test = halves
    alone = Interactions.from_ids(
        [test.users.ids[int(code)].as_py() for code in test.user_codes],
        [test.items.ids[int(code)].as_py() for code in test.item_codes],
    )
    shared = evaluate(make_recommender("popularity"), train, test)
    assert evaluate(make_recommender("popularity"), train, alone).metrics == shared.metrics


def test_items_the_model_lacks_count_as_missed(halves):
    train, test = halves
    extra = Interactions.from_ids([*test.users.ids.to_pylist()], [10_000] * test.n_users)
    both = Interactions(
        test.users,
        test.items.extended(extra.items.ids),
        np.concatenate([test.user_codes, test.users.encode(extra.users.ids)[extra.user_codes]]),
        np.concatenate([test.item_codes, np.full(len(extra), test.n_items, np.int32)]),
    )
    before, after = (evaluate(make_recommender("popularity"), train, t).metrics["recall@20"] for t in (test, both))
    assert after == pytest.approx(before * 2 / 3), "two test items each, and now a third that nobody can find"


def test_users_unknown_to_the_training_data_are_answered_and_counted(halves):
    train, test = halves
    train = train.take(train.user_codes >= 10)
    found = evaluate(make_recommender("als", {"factors": 4}), train, test)
    assert (found.data.test_users, found.data.personal_users) == (60, 50)


def test_the_same_seed_gives_the_same_evaluation(halves):
    first, again = (evaluate(make_recommender("als", {"factors": 4}), *halves, seed=3) for _ in range(2))
    assert first.metrics == again.metrics
    assert first.intervals == again.intervals
    assert evaluate(make_recommender("als", {"factors": 4}), *halves, seed=4).intervals != first.intervals


def test_rows_of_weight_zero_are_not_relevant(halves):
    train, test = halves
    weights = np.ones(len(test), np.float32)
    weights[test.user_codes == 0] = 0
    found = evaluate(make_recommender("popularity"), train, dataclasses.replace(test, weights=weights))
    assert found.data.test_users == 59


def test_progress_ends_where_it_promised(halves):
    calls = []
    evaluate(make_recommender("popularity"), *halves, progress=lambda *call: calls.append(call))
    assert calls[0] == ("training", 0, 1)
    assert calls[-1] == ("ranking", 60, 60)


def test_the_dictionary_is_json(halves):
    found = evaluate(make_recommender("popularity"), *halves, ks=(1,)).to_dict()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["metrics"]["diversity@1"] is None, "a list of one item has no pairs"
    assert found["seconds"]["reading"] == 0
    assert found["peak_memory_mb"] > 10


@pytest.mark.parametrize("ks", [(0,), (-1, 10), ()])
def test_cutoffs_below_one_are_refused(halves, ks):
    with pytest.raises(ParameterError, match="cut-off"):
        evaluate(make_recommender("popularity"), *halves, ks=ks)


def test_test_data_of_other_users_is_refused(halves):
    train, _ = halves
    other = Interactions.from_ids(["nobody"], [1])
    with pytest.raises(SchemaError, match="no user of the test data"):
        evaluate(make_recommender("popularity"), train, other)


def test_empty_test_data_is_refused(halves):
    train, test = halves
    nothing = Interactions(IdMap([]), IdMap([]), np.empty(0, np.int32), np.empty(0, np.int32))
    for empty in (nothing, test.take(np.empty(0, np.int64)), dataclasses.replace(test, weights=-np.ones(len(test)))):
        with pytest.raises(SchemaError, match="nothing to test on"):
            evaluate(make_recommender("popularity"), train, empty)


@pytest.mark.parametrize("kind", ["popularity", "als"])
def test_one_user_and_one_item(kind):
    train, test = Interactions.from_ids(["a"], ["x"]), Interactions.from_ids(["a"], ["y"])
    found = evaluate(make_recommender(kind, {"factors": 2} if kind == "als" else {}), train, test)
    assert found.metrics["recall@10"] == 0
