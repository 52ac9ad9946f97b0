"""The two towers: both engines do the same, new items are found, and what goes wrong is said."""

import logging
import sys

import numpy as np
import pytest

from benchmarks.cold_sets import people
from palate.dataset.ids import IdMap
from palate.errors import MissingDependencyError, ParameterError
from palate.evaluation.cold import evaluate_cold
from palate.models import make_recommender
from palate.models.two_tower.definition import Batches, Definition, tower
from palate.models.two_tower.engines import TorchTowers
from tests.models.checkerboard import NAMES, catalogue, interactions

SMALL = {"epochs": 4, "batch_size": 64, "factors": 8, "hidden": 16, "dims": 8}


@pytest.fixture(scope="module")
def trained():
    """By engine: a model trained on the same data, by the same parameters."""
    data = people(150, 60)
    return {
        engine: make_recommender("two-tower", {**SMALL, "engine": engine}).fit(
            data.interactions, data.items, data.users
        )
        for engine in ("torch", "mxnet")
    }


def test_losses_agree_between_engines(trained):
    ours, theirs = (np.array(trained[engine].losses) for engine in ("torch", "mxnet"))
    assert ours == pytest.approx(theirs, rel=1e-3)
    assert ours[-1] < ours[0]


def test_scores_agree_between_engines(trained):
    ours, theirs = (trained[engine].recommend(list(range(20)), 60, exclude=None) for engine in ("torch", "mxnet"))
    for row in range(20):
        mine, other = dict(ours.row(row)), dict(theirs.row(row))
        assert [mine[item] for item in mine] == pytest.approx([other[item] for item in mine], abs=0.02)


def test_loaded_models_need_no_engine(trained):
    """Scores come from NumPy: they are the engine's own to float32's precision."""
    model = trained["torch"]
    engine = TorchTowers(Definition(model.inputs.shape[1], 0, 16, 8, 1e-5), model.parameters)
    inputs = engine.tensor(model.inputs)
    held, linear = engine.held, engine.torch.nn.functional.linear
    hidden = engine.torch.relu(linear(inputs, held["item_hidden"], held["item_bias"]))
    expected = linear(inputs, held["item_linear"]) + linear(hidden, held["item_output"])
    assert tower(model.parameters, "item", model.inputs) == pytest.approx(expected.detach().numpy(), abs=1e-4)


def test_batches_leave_the_item_out_of_its_history_and_mark_other_hits():
    from scipy import sparse

    seen = sparse.csr_matrix(np.array([[1, 1, 0], [0, 1, 1]], np.float32))
    inputs = np.array([[1.0, 0], [0, 1], [2, 2]], np.float32)
    about = sparse.csr_matrix((2, 0), dtype=np.float32)
    batches = Batches(seen, inputs, about, 4, 0.0, np.random.default_rng(0))
    (batch,) = batches.epoch()
    rows = {tuple(item): tuple(user[:2]) for item, user in zip(batch.items.tolist(), batch.users.tolist(), strict=True)}
    assert rows[1.0, 0.0] == (0, 1), "item 0 beside what is left of user 0: item 1"
    assert rows[2.0, 2.0] == (0, 1)
    assert np.diag(batch.clash).tolist() == [0] * 4
    # Both users touched item 1: each row has the other's copy of it, and the user's own second item, marked.
    assert batch.clash.sum(axis=1).tolist() == [2.0] * 4
    assert np.exp(batch.log_share).max() == pytest.approx(0.5)


def test_cold_items_are_found():
    """What an item is about decides; there is nothing to learn of an item itself."""
    data = people(400, 150)
    found = evaluate_cold(
        make_recommender("two-tower", {**SMALL, "epochs": 8, "learning_rate": 0.01}),
        data.interactions, "items", ks=(10,), items=data.items,
    )  # fmt: skip
    assert found.cold.ratio["ndcg@10"] > 1.2


def test_diverging_training_keeps_the_best_state(caplog):
    data, items = interactions(NAMES["string"]), catalogue(NAMES["string"])
    with pytest.raises(ParameterError, match="diverged in its first epoch"):
        make_recommender("two-tower", {"learning_rate": 1e30, "batch_size": 8}).fit(data, items)
    with caplog.at_level(logging.WARNING):
        model = make_recommender("two-tower", {"learning_rate": 8.0, "batch_size": 64, "epochs": 8}).fit(data, items)
    assert "diverged" in caplog.text
    assert np.isfinite(model.recommend([NAMES["string"](1)], 3).scores).all()


def test_an_engine_that_is_missing_is_named(monkeypatch):
    data, items = interactions(NAMES["string"]), catalogue(NAMES["string"])
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingDependencyError, match=r"palate\[torch\]"):
        make_recommender("two-tower", {"engine": "torch"}).fit(data, items)


def test_content_that_says_nothing():
    data = interactions(NAMES["string"])
    model = make_recommender("two-tower", SMALL).fit(data)
    assert not model.recommend([NAMES["string"](1)], 3).personal[0]
    assert isinstance(model.items, IdMap)


def test_the_items_outputs_are_computed_once_not_for_each_answer(trained, monkeypatch):
    from palate.models.two_tower import recommender

    model = type(trained["torch"]).from_arrays(trained["torch"].to_arrays())
    sides = []
    monkeypatch.setattr(
        recommender, "tower", lambda held, side, inputs: (sides.append(side), tower(held, side, inputs))[1]
    )
    for _ in range(2):
        model.recommend([0], 5)
        model.similar_items([model.items.decode([0])[0]], 5)
    assert sorted(sides) == ["item", "user", "user"]
