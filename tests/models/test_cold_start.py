"""The cold-start model, on generated sets of opposite character."""

import json
import logging
from dataclasses import asdict, replace

import numpy as np
import pyarrow as pa
import pytest

from benchmarks.cold_sets import films, papers, people
from palate.dataset.ids import IdMap
from palate.dataset.schema import Interactions, Items, Users
from palate.errors import ParameterError, SchemaError
from palate.evaluation.cold import evaluate_cold
from palate.features.description import Describer
from palate.features.encoder import EncoderParams
from palate.models import make_recommender
from palate.models.cold import ColdStart
from palate.models.cold.shape import Shape
from palate.models.cold.views import RIDGES
from palate.models.protocol import Context

SETS = {"films": lambda: films(300, 400), "papers": lambda: papers(500, 700)}


@pytest.fixture(scope="module")
def measured():
    """By data set: the model, NDCG@20 of its cold items among themselves and that of `content`, times chance."""
    found = {}
    for name, make in SETS.items():
        data = make()
        model = make_recommender("cold-start")
        ours, simple = (
            evaluate_cold(each, data.interactions, "items", ks=(20,), items=data.items)
            for each in (model, make_recommender("content"))
        )
        found[name] = (
            model,
            ours.metrics["ndcg@20"],
            simple.metrics["ndcg@20"],
            ours.cold.ratio["ndcg@20"],
        )
    return found


def test_what_is_trusted_depends_on_the_data(measured):
    films_weights, papers_weights = (measured[name][0].weights for name in ("films", "papers"))
    told = [name for name in films_weights if name.startswith(RIDGES)]
    assert sum(films_weights.values()) == pytest.approx(1)
    assert sum(films_weights[name] for name in told) > 0.6, "broad genres say what is popular, and what goes together"
    likeness = [sum(each[name] for name in ("cosine", "nearest", "local")) for each in (papers_weights, films_weights)]
    assert likeness[0] > likeness[1] + 0.3, "narrow tags say it themselves"


@pytest.mark.parametrize("name", list(SETS))
def test_cold_items_are_ranked_better_than_by_the_content_model(measured, name):
    _, ours, simple, ratio = measured[name]
    assert ours > simple
    assert ratio > 2


def test_new_and_old_items_stand_beside_each_other(measured):
    """A new item that is described as an old one is scored as that one is, and moved up as far as `fresh` says."""
    model = measured["papers"][0]
    data = SETS["papers"]()
    twins = Items(IdMap([10_000 + code for code in range(30)]), data.items.take(list(range(30))).table)
    grown = model.fold_in_items(twins)
    users = data.interactions.users.ids[:40]
    scores = {}
    for codes in (range(30), range(10_000, 10_030)):
        found = grown.recommend(users, 30, exclude=None, candidates=list(codes))
        for user in range(len(found)):
            scores |= {(user, item): score for item, score in found.row(user)}
    pairs = [(scores[user, item], scores[user, item + 10_000]) for user in range(40) for item in range(30)]
    old, new = np.array(pairs).T
    assert np.corrcoef(old, new)[0, 1] > 0.5
    assert 0.2 * old.std() < new.mean() - old.mean() < 0.9 * old.std()


def test_arrivals_are_served_by_their_attributes():
    data = people(1200, 300)
    ours, popular = (
        evaluate_cold(
            make_recommender(kind), data.interactions, "arrivals", ks=(20,), items=data.items, users=data.users
        )
        for kind in ("cold-start", "popularity")
    )
    assert ours.metrics["ndcg@20"] > 1.2 * popular.metrics["ndcg@20"]
    assert ours.data.personal_users == ours.data.test_users
    assert popular.data.personal_users == 0
    assert ours.cold.kind == "arrivals"


def test_attributes_that_nobody_had_say_nothing():
    data = people(300, 100)
    model = make_recommender("cold-start").fit(data.interactions, data.items, data.users)
    odd = [
        Context(attributes=json.dumps({"planet": "Mars"})),
        Context(attributes=json.dumps({"gender": "gender-9", "age": None})),
        Context(attributes=json.dumps({"gender": "gender-1"})),
        Context(),
    ]
    assert model.recommend(["a", "b", "c", "d"], 3, context=odd).personal.tolist() == [False, False, True, False]
    with pytest.raises(SchemaError, match="JSON object"):
        model.recommend(["a"], 3, context=Context(attributes="[1"))


def test_arrivals_need_users():
    data = films(100, 120)
    with pytest.raises(ParameterError, match="nothing is known"):
        evaluate_cold(make_recommender("cold-start"), data.interactions, "arrivals", items=data.items)


def test_attributes_of_items_count():
    """All that tells the items apart is a number among their attributes."""
    rng = np.random.default_rng(0)
    years = rng.integers(1950, 2020, 200)
    likes_old = rng.random(150) < 0.5
    chance = np.where((years < 1985)[None] == likes_old[:, None], 0.25, 0.03)
    users, items = np.nonzero(rng.random(chance.shape) < chance)
    table = pa.table({"attributes": [json.dumps({"year": str(year)}) for year in years]})
    data = Interactions(IdMap(np.arange(150)), IdMap(np.arange(200)), users.astype(np.int32), items.astype(np.int32))
    found = evaluate_cold(make_recommender("cold-start"), data, "items", ks=(10,), items=Items(data.items, table))
    assert found.cold.ratio["ndcg@10"] > 1.5


def test_the_weights_are_told(caplog):
    data = films(100, 150)
    with caplog.at_level(logging.INFO, "palate.models.cold"):
        make_recommender("cold-start").fit(data.interactions, data.items)
    assert any(name in caplog.text for name in RIDGES)


def test_damaged_attributes_are_named():
    data = films(60, 60)
    broken = Users(data.interactions.users, pa.table({"attributes": ['{"age": 3}'] * 59 + ["{"]}))
    with pytest.raises(SchemaError, match=r"users:59:attributes"):
        make_recommender("cold-start").fit(data.interactions, data.items, broken)


def test_what_tells_items_apart_is_learned():
    """Tastes depend on the year alone; the tags, which are drawn at random, say nothing."""
    rng = np.random.default_rng(0)
    years = rng.integers(1950, 2020, 200)
    chance = np.exp(-(((years[None] - rng.integers(1950, 2020, 150)[:, None]) / 8) ** 2)) * 0.6 + 0.01
    users, items = np.nonzero(rng.random(chance.shape) < chance)
    table = pa.table(
        {
            "attributes": [json.dumps({"year": str(year)}) for year in years],
            "tags": [[f"tag-{tag}" for tag in rng.choice(20, 3, replace=False)] for _ in years],
        }
    )
    data = Interactions(IdMap(np.arange(150)), IdMap(np.arange(200)), users.astype(np.int32), items.astype(np.int32))
    catalogue = Items(data.items, table)
    described = Describer.fit(catalogue, EncoderParams(), 0.7).describe(catalogue)
    shape = Shape.learn(described, data.matrix(binary=True), seed=0)
    assert shape.numbers[-1] > 0.1 > 2 * shape.blocks[1], "a difference in years counts for more than one in tags"
    again = Shape.learn(described, data.matrix(binary=True), seed=0)
    assert shape == again == Shape.from_params(json.loads(json.dumps(asdict(shape))))


def test_a_bundle_from_before_the_learned_kernel_still_ranks(measured):
    """Without that view all is as it is in a model that gives it no weight."""
    model = measured["papers"][0]
    held = model.to_arrays()
    weights = {name: weight for name, weight in model.weights.items() if not name.startswith("shaped")}
    settings = {name: value for name, value in held.params["settings"].items() if name != "shape"}
    arrays = {name: array for name, array in held.arrays.items() if not name.startswith("shaped")}
    older = replace(held, params={**held.params, "weights": weights, "settings": settings}, arrays=arrays)
    now = replace(held, params={**held.params, "weights": weights | {"shaped": 0.0, "shaped popularity": 0.0}})
    users = model.users.ids[:20]
    found, expected = (ColdStart.from_arrays(each).recommend(users, 10) for each in (older, now))
    assert [found.row(user) for user in range(20)] == [expected.row(user) for user in range(20)]
    twins = Items(IdMap([10_000]), SETS["papers"]().items.take([0]).table)
    assert ColdStart.from_arrays(older).fold_in_items(twins).recommend(users, 5, candidates=[10_000]).row(0)
