"""What came last in a history counts more, where a model is told so: alike for known users and for those folded in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from palate.bundle import load_recommender, write_bundle
from palate.dataset.ids import IdMap
from palate.dataset.schema import Interactions
from palate.dataset.splits import leave_last_fraction
from palate.evaluation.protocol import evaluate
from palate.models import make_recommender
from palate.models.recency import faded
from palate.models.sequences import Ordered

KINDS = ("ease", "sparse-ease", "item-knn", "user-knn", "graph-filter", "ials")
GROUPS, PER_GROUP, LENGTH = 8, 12, 24


def drifting(n_users: int = 200, seed: int = 0) -> Interactions:
    """Users who stay with the items of one group for a while, then go on to another."""
    rng = np.random.default_rng(seed)
    users = np.repeat(np.arange(n_users, dtype=np.int32), LENGTH)
    group = np.repeat(rng.integers(0, GROUPS, (n_users, 4)), LENGTH // 4, axis=1)
    lost = rng.random(group.shape) < 0.3
    group = np.where(lost, rng.integers(0, GROUPS, group.shape), group)
    items = (group * PER_GROUP + rng.integers(0, PER_GROUP, group.shape)).astype(np.int32).ravel()
    times = np.tile(np.arange(LENGTH), n_users)
    ids = IdMap(np.arange(n_users)), IdMap(np.arange(GROUPS * PER_GROUP))
    shuffled = rng.permutation(len(users))
    return Interactions(*ids, users[shuffled], items[shuffled], timestamps=times[shuffled])


def test_each_entry_counts_by_how_much_came_after_it() -> None:
    histories = sparse.csr_matrix(np.array([[1, 2, 1, 0], [0, 0, 0, 0], [1, 0, 0, 1]], np.float32))
    order = Ordered(np.array([2, 1, 0, 1, 3, 3], np.int32), np.array([0, 4, 4, 6]))  # of the last row item 0 is missing
    found = faded(histories, order, 1.0).toarray()
    first = np.array([1 / 2, 2 / 1, 1 / 4, 0])
    last = np.array([1 / 3, 0, 0, 1])
    np.testing.assert_allclose(found, [first * 4 / first.sum(), np.zeros(4), last * 2 / last.sum()], rtol=1e-6)
    assert faded(histories, order, 0.0) is histories


@pytest.mark.parametrize("kind", KINDS)
def test_known_users_and_those_folded_in_are_told_alike(kind: str, tmp_path: Path) -> None:
    data = drifting()
    values = {"weighting": "binary", "recency": 1.0} | ({"factors": 8} if kind in ("graph-filter", "ials") else {})
    model = make_recommender(kind, values).fit(data)
    order = Ordered.of_interactions(data, data.item_codes)
    mine = order.codes[order.starts[7] : order.starts[8]]
    known = model.recommend([7], 20, exclude=None)
    items = model.items.decode(mine)
    np.testing.assert_allclose(
        model.recommend(model.fold_in_users([items]), 20, exclude=None).scores, known.scores, rtol=1e-4, atol=1e-5
    )
    back = model.recommend(model.fold_in_users([items[::-1]]), 20, exclude=None)
    assert back.ids() != known.ids()
    write_bundle(model, tmp_path / "bundle")
    assert load_recommender(tmp_path / "bundle").recommend([7], 20, exclude=None).ids() == known.ids()
    alike = make_recommender(kind, {**values, "recency": 0.0}).fit(data)
    there, again = (alike.recommend(alike.fold_in_users([each]), 20, exclude=None) for each in (items, items[::-1]))
    assert there.ids() == again.ids()


def test_where_people_drift_it_finds_what_comes_next() -> None:
    split = leave_last_fraction(drifting(), 0.1)
    found = [
        evaluate(make_recommender("ease", {"recency": recency}), split.train, split.test, (10,)).metrics["ndcg@10"]
        for recency in (0.0, 0.8)
    ]
    assert found[1] > 1.1 * found[0]
