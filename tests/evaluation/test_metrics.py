"""Metrics against a case worked out by hand, and against a plain implementation of their definitions."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from palate.errors import ParameterError
from palate.evaluation import metrics
from palate.evaluation.baseline import random_accuracy


def as_csr(rows: list[set[int]], n_items: int) -> sparse.csr_matrix:
    dense = np.zeros((len(rows), n_items), dtype=np.float32)
    for user, items in enumerate(rows):
        dense[user, list(items)] = 1
    return sparse.csr_matrix(dense)


def test_a_case_worked_out_by_hand():
    """Hits at ranks 1 and 3 of 5, three relevant items.

    DCG = 1/log2(2) + 1/log2(4) = 1.5; ideal = 1/log2(2) + 1/log2(3) + 1/log2(4) = 2.1309298.
    """
    found = metrics.accuracy(np.array([[4, 0, 2, 1, 3]], np.int32), as_csr([{4, 2, 5}], 6), (2, 5))
    expected = {
        "recall@5": 2 / 3, "precision@5": 0.4, "ndcg@5": 0.7039180, "map@5": (1 + 2 / 3) / 3, "mrr@5": 1.0,
        "hit_rate@5": 1.0,
        # at 2 the ideal list is cut at min(2, 3) = 2 items: 1 / 1.6309298
        "recall@2": 1 / 3, "precision@2": 0.5, "ndcg@2": 0.6131472, "map@2": 0.5, "mrr@2": 1.0, "hit_rate@2": 1.0,
    }  # fmt: skip
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert found[name] == pytest.approx([value], abs=1e-7), name


@st.composite
def ranked_users(draw):
    n_items = draw(st.integers(1, 12))
    width = draw(st.integers(1, n_items + 3))
    users = []
    for _ in range(draw(st.integers(1, 6))):
        shown = draw(st.permutations(range(n_items)))[: draw(st.integers(0, min(width, n_items)))]
        relevant = draw(st.sets(st.integers(0, n_items - 1), min_size=1))
        users.append((shown + [-1] * (width - len(shown)), relevant))
    return n_items, users


@given(ranked_users(), st.lists(st.integers(1, 16), min_size=1, max_size=3, unique=True))
def test_accuracy_agrees_with_the_definitions(naive_accuracy, case, ks):
    n_items, users = case
    ranked = np.array([ranking for ranking, _ in users], dtype=np.int32)
    found = metrics.accuracy(ranked, as_csr([relevant for _, relevant in users], n_items), ks)
    for k in ks:
        for user, (ranking, relevant) in enumerate(users):
            for name, value in naive_accuracy(ranking, relevant, k).items():
                assert found[name][user] == pytest.approx(value), (name, user)


@given(ranked_users())
def test_the_ideal_ranking_scores_one(case):
    n_items, users = case
    relevant = [items for _, items in users]
    ranked = np.array([sorted(range(n_items), key=lambda item: item not in items) for items in relevant], np.int32)
    for k in (1, n_items, n_items + 5):
        found = metrics.accuracy(ranked, as_csr(relevant, n_items), [k])
        for name in ("ndcg", "map", "mrr", "hit_rate"):
            assert found[f"{name}@{k}"] == pytest.approx(1)


def test_unsorted_and_repeated_test_entries_count_once():
    test = sparse.csr_matrix((np.ones(3), np.array([2, 0, 2]), np.array([0, 3])), shape=(1, 3))
    found = metrics.find_hits(np.array([[2, 1, 0]], np.int32), test)
    assert found.tolist() == [[True, False, True]]
    assert test.nnz == 3, "the caller's matrix is left as it is"


def test_users_without_test_items_measure_nothing():
    found = metrics.accuracy(np.array([[0, 1], [0, 1]], np.int32), as_csr([{0}, set()], 2), [2])
    for values in found.values():
        assert np.isnan(values).tolist() == [False, True]


def test_empty_rankings_and_empty_tests():
    nothing = metrics.accuracy(np.full((2, 3), -1, np.int32), as_csr([{0}, {1}], 2), [3])
    assert all((values == 0).all() for values in nothing.values())
    assert metrics.find_hits(np.zeros((1, 2), np.int32), sparse.csr_matrix((1, 4))).sum() == 0
    assert metrics.accuracy(np.zeros((1, 0), np.int32), as_csr([{0}], 1), [5])["ndcg@5"].tolist() == [0]


@pytest.mark.parametrize("ks", [[0], [-3], [10, 0], []])
def test_a_cutoff_below_one_is_refused(ks):
    with pytest.raises(ParameterError, match="cut-off"):
        metrics.accuracy(np.zeros((1, 1), np.int32), as_csr([{0}], 1), ks)


def test_as_many_rankings_as_users():
    with pytest.raises(ParameterError, match="2 rankings for 1 users"):
        metrics.find_hits(np.zeros((2, 1), np.int32), as_csr([{0}], 1))


def test_coverage_counts_distinct_items():
    ranked = np.array([[0, 1], [0, 2], [0, -1]], np.int32)
    assert metrics.coverage(ranked, 10, (1, 2)) == {"coverage@1": 0.1, "coverage@2": 0.3}
    errors = metrics.coverage_errors(ranked, 10, (1, 2))
    assert errors["coverage@1"] == 0, "no user is the only one to be shown item 0"
    # users 0 and 1 alone were shown one item each: shares .1, .1, 0 around their mean of 1/15
    assert errors["coverage@2"] == pytest.approx(math.sqrt(2 / 3 * (2 * (0.1 - 1 / 15) ** 2 + (1 / 15) ** 2)))


def test_novelty_is_the_mean_self_information():
    ranked = np.array([[0, 1], [2, -1], [-1, -1]], np.int32)
    found = metrics.novelty(ranked, [8, 2, 0], 8, [1, 2])
    assert found["novelty@2"][:2].tolist() == [1.0, 3.0]
    assert found["novelty@1"][:2].tolist() == [0.0, 3.0]
    assert np.isnan(found["novelty@2"][2])


@given(st.integers(0, 2**16), st.integers(2, 6))
def test_diversity_agrees_with_all_pairs(seed, k):
    rng = np.random.default_rng(seed)
    vectors = rng.random((8, 5)) * (rng.random((8, 5)) < 0.5)
    ranked = np.stack([rng.permutation(8)[:k] for _ in range(4)]).astype(np.int32)
    ranked[0, 1:] = -1
    found = metrics.diversity(ranked, sparse.csr_matrix(vectors), [k])[f"diversity@{k}"]
    assert np.isnan(found[0])
    for row, value in zip(ranked[1:], found[1:], strict=True):
        cosines = []
        for a, b in itertools.combinations(row, 2):
            length = np.linalg.norm(vectors[a]) * np.linalg.norm(vectors[b])
            cosines.append(vectors[a] @ vectors[b] / length if length else 0.0)
        assert value == pytest.approx(1 - np.mean(cosines))


@given(st.integers(1, 6), st.data())
def test_random_expectation_is_the_mean_over_all_orders(n_items, data):
    t = data.draw(st.integers(1, n_items))
    ks = sorted(data.draw(st.sets(st.integers(1, 8), min_size=1, max_size=3)))
    orders = np.array(list(itertools.permutations(range(n_items))), dtype=np.int32)
    relevant = as_csr([set(range(t))] * len(orders), n_items)
    found = random_accuracy([t], [n_items], ks)
    assert set(found) == {f"{name}@{k}" for name in metrics.ACCURACY for k in ks}
    for name, values in metrics.accuracy(orders, relevant, ks).items():
        assert found[name][0] == pytest.approx(values.mean()), name
