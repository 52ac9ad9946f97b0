"""Users against a pool: the vectors are where the objective, written out, is lowest."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, sparse

from palate.kernels.logistic import draw_pool, users_of

RNG = np.random.default_rng(0)
ITEMS = RNG.normal(size=(30, 4)).astype(np.float32)
OFFSETS = RNG.normal(size=30).astype(np.float32)
HISTORIES = sparse.csr_matrix((RNG.random((20, 30)) < 0.2) * RNG.uniform(0.5, 3, (20, 30)), dtype=np.float32)
POOL = np.arange(0, 30, 2, dtype=np.int32)
RIDGES = RNG.uniform(0.5, 2, 20).astype(np.float32)


def softplus(values):
    return np.logaddexp(0, values)


def penalty(x, user, means):
    away = x - means[user]
    return RIDGES[user] * away @ away / 2


def pointwise(x, user, means):
    mine = HISTORIES[user]
    others = np.setdiff1d(POOL, mine.indices)
    scores = OFFSETS + ITEMS @ x
    found = mine.data @ softplus(-scores[mine.indices])
    return found + 3 * mine.data.sum() * softplus(scores[others]).mean() + penalty(x, user, means)


def pairwise(x, user, means):
    mine = HISTORIES[user]
    others = [item for item in POOL if item not in mine.indices]
    scores = OFFSETS + ITEMS @ x
    found = penalty(x, user, means)
    for place, (item, weight) in enumerate(zip(mine.indices, mine.data, strict=True)):
        drawn = [others[(3 * place + turn) % len(others)] for turn in range(3)]
        found += weight * softplus(scores[drawn] - scores[item]).mean()
    return found


@pytest.mark.parametrize("means", [None, RNG.normal(size=(20, 4)).astype(np.float32)], ids=["zero", "own"])
@pytest.mark.parametrize("loss", [pointwise, pairwise])
def test_each_user_is_at_the_minimum_of_the_objective(loss, means):
    given = {"negatives": 3, "ridges": RIDGES, "pairwise": loss is pairwise, "means": means}
    found = users_of(HISTORIES, ITEMS, OFFSETS, POOL, **given)
    priors = np.zeros((20, 4)) if means is None else means
    for user in range(20):
        best = optimize.minimize(loss, np.zeros(4), args=(user, priors), tol=1e-10).x
        assert np.allclose(found[user], best, atol=2e-3), user


def test_an_empty_history_is_nobody():
    empty = sparse.csr_matrix((2, 30), dtype=np.float32)
    assert not users_of(empty, ITEMS, OFFSETS, POOL, negatives=3, ridges=RIDGES[:2]).any()
    expected = users_of(empty, ITEMS, OFFSETS, POOL, negatives=3, ridges=RIDGES[:2], means=ITEMS[:2])
    assert (expected == ITEMS[:2]).all(), "but for what was expected of them"


def test_a_user_is_solved_for_alike_alone_and_among_others():
    together = users_of(HISTORIES, ITEMS, OFFSETS, POOL, negatives=3, ridges=RIDGES, pairwise=True)
    for user in (0, 7, 19):
        alone = users_of(
            HISTORIES[user], ITEMS, OFFSETS, POOL, negatives=3, ridges=RIDGES[user : user + 1], pairwise=True
        )
        assert np.allclose(alone[0], together[user], atol=1e-4)


def test_whoever_touched_the_whole_pool_has_nothing_to_be_told_from():
    everything = sparse.csr_matrix(np.ones((1, 30), np.float32))
    found = users_of(everything, ITEMS, OFFSETS, POOL, negatives=3, ridges=RIDGES[:1], pairwise=True)
    assert not found.any()


def test_a_pool_holds_what_has_a_chance():
    assert draw_pool([0, 1, 2, 0], 0).tolist() == [1, 2]
    drawn = draw_pool(np.r_[np.zeros(10), np.ones(1000), 9000], 0)
    assert drawn.min() >= 10
    assert 0.8 < (drawn == 1010).mean() < 0.98
    assert (drawn == draw_pool(np.r_[np.zeros(10), np.ones(1000), 9000], 0)).all()
