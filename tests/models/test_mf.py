"""Matrix factorization by mini-batches: both engines alike, what is kept when training goes wrong, users folded in."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from palate.bundle import write_bundle
from palate.dataset.ids import IdMap
from palate.dataset.schema import Interactions
from palate.engines import ENGINES, import_mxnet
from palate.errors import CapabilityError, MissingDependencyError, ParameterError
from palate.models.mf.batches import Batches, Rows
from palate.models.mf.definition import NETWORKS, OBJECTIVES, Definition
from palate.models.mf.recommender import MF
from palate.models.mf.training import make_engine, train
from palate.models.protocol import Capability
from tests.models.worlds import random_interactions

TOLERANCE = {"linear": 1e-4, "neural": 5e-3}
"""By how much the losses of two engines may differ, as a share; docs/models.md states it."""


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    needs(request.param)
    return str(request.param)


def needs(engine: str) -> None:
    """Skips where MXNet is not installed, as on machines for which it has no wheel; torch always is."""
    if engine == "mxnet":
        try:
            import_mxnet()
        except MissingDependencyError as error:
            pytest.skip(str(error))


def ratings(n: int = 3000, seed: int = 0) -> Interactions:
    """Ratings from 1 to 5 by biases and two tastes, with a little noise: no model's error is below 0.3."""
    rng = np.random.default_rng(seed)
    users, items = rng.integers(0, 80, n).astype(np.int32), rng.integers(0, 50, n).astype(np.int32)
    tastes, traits = rng.normal(size=(80, 2)) * 0.7, rng.normal(size=(50, 2)) * 0.7
    mean = 3 + 0.3 * rng.normal(size=80)[users] + 0.3 * rng.normal(size=50)[items]
    values = mean + (tastes[users] * traits[items]).sum(axis=1) + 0.3 * rng.normal(size=n)
    return Interactions(
        IdMap(np.arange(80)), IdMap(np.arange(50)), users, items, np.clip(values, 1, 5).astype(np.float32)
    )


# -- engines -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("network", NETWORKS)
def test_losses_and_rankings_agree_between_engines(network: str, objective: str) -> None:
    needs("mxnet")
    data = ratings() if objective == "ratings" else random_interactions(200, 60)
    values = {"network": network, "objective": objective, "factors": 8, "epochs": 6, "learning_rate": 0.02}
    first, second = (MF(engine=engine, **values).fit(data) for engine in ENGINES)
    assert [each.training["engine"] for each in (first, second)] == ["torch", "mxnet"]
    losses = first.training["losses"]
    assert len(losses) == 6
    assert losses[-1] < 0.97 * losses[0]
    assert second.training["losses"] == pytest.approx(losses, rel=TOLERANCE[network])
    everybody = first.users.ids
    scores = [each.recommend(everybody, 50, exclude=None).scores for each in (first, second)]
    held = np.isfinite(scores[0])
    assert np.abs(scores[0] - scores[1])[held].mean() < 0.02 * scores[0][held].std()
    other = MF(engine="torch", seed=1, **values).fit(data)
    assert other.training["losses"] != pytest.approx(losses, rel=TOLERANCE[network])


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("network", NETWORKS)
def test_numpy_scores_are_those_that_the_engine_takes_the_loss_of(engine: str, network: str, objective: str) -> None:
    rng = np.random.default_rng(0)
    negatives = 0 if objective == "ratings" else 3
    definition = Definition(network, objective, 5, 3, negatives, 0.1, 0.01, 16, 1, 0.4)
    start = definition.start(7, 9, rng)
    start = {name: values + rng.normal(0, 0.3, values.shape).astype(np.float32) for name, values in start.items()}
    users, items = rng.integers(0, 7, 50), rng.integers(0, 9, (50, 1 + negatives))
    targets = rng.integers(0, 2, items.shape).astype(np.float32)
    rows = Rows(users.astype(np.int32), items.astype(np.int32), targets)
    running = make_engine(engine, definition, start)
    told = running.total([running.step(rows, rate=0.0)])

    tables = {name: values[users] for name, values in start.items() if name.startswith("user_")}
    scores = np.take_along_axis(definition.scores(tables, start), items, axis=1).astype(float)
    losses = (scores - targets) ** 2 if negatives == 0 else np.logaddexp(0, scores) - targets * scores
    lengths = sum(float((values**2).sum()) for values in tables.values())
    theirs = (start[name][items] for name in start if name.startswith("item_"))
    lengths += sum(float((values**2).sum()) for values in theirs) / items.shape[1]
    assert told == pytest.approx(losses.sum() + 0.1 * lengths, rel=1e-5)


def test_rows_that_a_batch_does_not_touch_stay(engine: str) -> None:
    definition = Definition("linear", "ratings", 4, 1, 0, 0.1, 0.1, 8, 1, 0.0)
    start = definition.start(6, 6, np.random.default_rng(0))
    running = make_engine(engine, definition, start)
    codes = np.array([1, 1, 4], np.int32)
    for _ in range(3):
        running.step(Rows(codes, codes[:, None], np.ones((3, 1), np.float32)), 0.1)
    found = running.parameters()
    assert set(found) == set(start)
    for name, values in found.items():
        moved = (values != start[name]).any(axis=1)
        assert moved.tolist() == [False, True, False, False, True, False]


def test_an_epoch_is_every_interaction_once_and_negatives_from_what_is_known() -> None:
    users, items = np.arange(100, dtype=np.int32), np.arange(100, dtype=np.int32) % 10
    known = np.array([2, 3, 5], np.int32)
    batches = Batches(users, items, None, known, 4, 7, np.random.default_rng(0))
    first, second = (list(batches.epoch()) for _ in range(2))
    for rows in (first, second):
        order = np.concatenate([each.users for each in rows])
        drawn = np.concatenate([each.items for each in rows])
        assert sorted(order.tolist()) == users.tolist()
        assert (drawn[:, 0] == items[order]).all()
        assert set(drawn[:, 1:].ravel().tolist()) == set(known.tolist())
        assert all((each.targets == [1, 0, 0, 0, 0]).all() for each in rows)
    assert first[0].users.tolist() != second[0].users.tolist()


# -- going wrong -------------------------------------------------------------------------------------------------------


class Spoilt(Batches):
    """Its ratings are out of all bounds from the third epoch on."""

    def epoch(self) -> Iterator[Rows]:
        self.__dict__["passed"] = passed = self.__dict__.get("passed", 0) + 1
        for rows in super().epoch():
            yield replace(rows, targets=rows.targets * np.float32(1 if passed < 3 else 1e15))


def test_training_that_diverges_keeps_its_best_state(engine: str, caplog: pytest.LogCaptureFixture) -> None:
    data, definition = ratings(), Definition("linear", "ratings", 8, 1, 0, 0.01, 0.01, 256, 10, 3.0)
    start = definition.start(80, 50, np.random.default_rng(0))
    codes = np.arange(50, dtype=np.int32)
    given = data.user_codes, data.item_codes, data.weights, codes, 0, 256
    with caplog.at_level(logging.INFO, "palate.models"):
        found = train(definition, engine, start, Spoilt(*given, np.random.default_rng(1)))
    assert f"with {engine} on" in caplog.text
    assert "diverged in epoch 3" in caplog.text
    assert found.diverged == 2
    assert len(found.losses) == 3
    running, batches = make_engine(engine, definition, start), Batches(*given, np.random.default_rng(1))
    for rate in (0.01, 0.009):
        for rows in batches.epoch():
            running.step(rows, rate)
    for name, values in running.parameters().items():
        assert np.array_equal(found.parameters[name], values)


def test_training_that_diverges_at_once_is_refused(engine: str) -> None:
    with pytest.raises(ParameterError, match="diverged in its first epoch") as caught:
        MF(objective="ratings", engine=engine, learning_rate=1e30).fit(ratings())
    assert "mf.learning_rate" in str(caught.value)


def test_without_engines_a_bundle_still_answers_and_training_says_what_to_install(tmp_path: Path) -> None:
    data = random_interactions(weighted=True)
    expected = {}
    for network in NETWORKS:
        model = MF(network=network, factors=4, epochs=3).fit(data)
        write_bundle(model, tmp_path / network)
        expected[network] = model.recommend([1, 2, 3], 5).ids()
    script = f"""
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if loaded and name.split('.')[0] in ('torch', 'mxnet'):
            raise ModuleNotFoundError(f'no {{name}} here')
loaded = True
sys.meta_path.insert(0, Refuse())
from palate.bundle import load_bundle
from palate.dataset.schema import Interactions
from palate.errors import MissingDependencyError
from palate.models import make_recommender
for network, expected in {expected!r}.items():
    found = load_bundle({str(tmp_path)!r} + '/' + network).recommend([1, 2, 3], 5).ids()
    assert found == expected, (found, expected)
for engine in ('torch', 'mxnet', 'auto'):
    try:
        make_recommender('mf', {{'engine': engine}}).fit(Interactions.from_ids(['a', 'b'], ['x', 'y']))
    except MissingDependencyError as error:
        assert f"palate[{{'torch' if engine == 'auto' else engine}}]" in str(error), error
    else:
        raise SystemExit(engine + ' was found')
"""
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr


# -- users and accuracy ------------------------------------------------------------------------------------------------


def test_a_neural_network_ranks_for_its_own_users_only() -> None:
    model = MF(network="neural", factors=4, epochs=3).fit(random_interactions())
    assert model.can(Capability.PERSONAL)
    assert not model.can(Capability.FOLD_IN_USERS)
    with pytest.raises(CapabilityError, match="fold-in-users"):
        model.fold_in_users([[1, 2]])
    assert model.recommend([1, "nobody"], 3).personal.tolist() == [True, False]
    assert len(model.similar_items([1], 5).ids()[0]) == 5


def test_a_user_folded_in_with_ratings_solves_the_users_part_of_the_objective() -> None:
    data = ratings()
    model = MF(objective="ratings", factors=3, epochs=10, regularization=0.05).fit(data)
    held = model.parameters
    mine = np.unique(data.item_codes[data.user_codes == 5])
    rows = np.c_[held["item_factors"], np.ones(50)][mine]
    last = {int(i): float(r) for u, i, r in zip(data.user_codes, data.item_codes, data.weights, strict=True) if u == 5}  # type: ignore[arg-type]
    wanted = np.array([last[int(i)] for i in mine]) - model.scale.mean - held["item_bias"][mine, 0]
    best = np.linalg.solve(rows.T @ rows + 0.05 * len(mine) * np.eye(4), rows.T @ wanted)
    assert np.allclose(np.r_[held["user_factors"][5], held["user_bias"][5]], best, atol=1e-3)


@pytest.mark.parametrize("network", NETWORKS)
def test_ratings_are_learned(network: str) -> None:
    """Held-out ratings of a world of two tastes are told from their mean."""
    data = ratings(6000)
    held = np.random.default_rng(1).random(len(data)) < 0.2
    train, test = data.take(~held), data.take(held)
    model = MF(network=network, objective="ratings", factors=8, epochs=60, batch_size=256).fit(train)
    scores = np.full((80, 50), np.nan)
    found = model.recommend(np.arange(80), 50, exclude=None)
    np.put_along_axis(scores, found.codes.astype(np.int64), found.scores.astype(float), axis=1)
    errors = scores[test.user_codes, test.item_codes] - test.weights
    assert np.sqrt(np.mean(errors**2)) < 0.75 * float(np.std(test.weights))  # type: ignore[arg-type]
