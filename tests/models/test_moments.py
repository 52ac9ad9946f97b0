"""Taste that depends on the hour: learned by fm-ranker from timestamps, asked about by `Context.now` or a column."""

import math
from datetime import UTC, datetime

import numpy as np
import pytest

from palate.bundle import load_bundle, write_bundle
from palate.dataset.schema import Interactions
from palate.errors import SchemaError
from palate.models import make_recommender
from palate.models.deep_fm import DeepFM
from palate.models.protocol import NO_CONTEXT, Capability, Context

SMALL = {"factors": 6, "epochs": 10, "batch_size": 256, "learning_rate": 0.02, "hidden": 8}
N_USERS, N_ITEMS, EACH = 80, 40, 24
MORNING, EVENING = (datetime(2024, 5, 14, hour, 30, tzinfo=UTC).timestamp() for hour in (8, 20))


def news_and_films():
    """Users, items and times: before noon an item of the first half, later of the second, each in a user's half."""
    rng = np.random.default_rng(0)
    users = np.repeat(np.arange(N_USERS), EACH)
    times = rng.integers(0, 365 * 24, len(users)) * 3600 + 1_700_006_400  # which is a midnight
    early = times // 3600 % 24 < 12
    items = rng.integers(0, N_ITEMS // 4, len(users)) * 2 + users % 2
    return users, items + np.where(early, 0, N_ITEMS // 2), times


@pytest.fixture(scope="module")
def trained():
    """By network; "blind" is an fm without moments."""
    users, items, times = news_and_films()
    learned = np.arange(len(users)) % EACH < EACH - 4
    data = Interactions.from_ids(users[learned], items[learned], timestamps=times[learned])
    kinds = {"fm": {"moments": True}, "deepfm": {"moments": True, "network": "deepfm"}, "blind": {}}
    return {name: make_recommender("fm-ranker", {**SMALL, **values}).fit(data) for name, values in kinds.items()}


def found(model, contexts):
    """Which share of held-out interactions is among the best 8 of 40."""
    users, items, times = news_and_films()
    held = np.arange(len(users)) % EACH >= EACH - 4
    given = [Context(now=float(time)) if contexts else NO_CONTEXT for time in times[held]]
    best = model.recommend(users[held], 8, exclude=None, context=given)
    return np.mean([item in row for item, row in zip(items[held].tolist(), best.ids(), strict=True)])


@pytest.mark.parametrize("network", ["fm", "deepfm"])
def test_the_hour_tells_what_is_liked(trained, network):
    model = trained[network]
    assert found(model, contexts=True) > 1.5 * max(found(model, contexts=False), found(trained["blind"], contexts=True))
    early, late = (model.recommend([3, 4, 5], 8, exclude=None, context=Context(now=now)) for now in (MORNING, EVENING))
    assert (early.codes < N_ITEMS // 2).mean() > 0.8
    assert (late.codes >= N_ITEMS // 2).mean() > 0.8


def test_who_is_folded_in_has_their_hours_too(trained):
    folded = trained["fm"].fold_in_users([range(0, N_ITEMS, 2), range(1, N_ITEMS, 2)])
    ways = [Context(now=now) for now in (MORNING, EVENING)]
    early, late = (trained["fm"].recommend(folded, 8, exclude=None, context=each).codes for each in ways)
    assert (early < N_ITEMS // 2).mean() > 0.8
    assert (late >= N_ITEMS // 2).mean() > 0.8
    for side, row in enumerate(early):
        assert np.mean(row % 2 == side) > 0.7, "the history counts beside the hour"


def test_a_moment_that_is_not_told_is_the_usual_one(trained):
    model = trained["fm"]
    hours = [Context(now=MORNING + 3600 * hour) for hour in range(24 * 7)]
    scores = np.array([dict(model.recommend([3], N_ITEMS, exclude=None, context=each).row(0))[5] for each in hours])
    untold = dict(model.recommend([3], N_ITEMS, exclude=None).row(0))[5]
    assert scores.min() + 0.5 < untold < scores.max() - 0.5
    assert model.recommend([3], 5, context=Context(now=math.nan)).ids() == model.recommend([3], 5).ids()


def test_the_column_now_reaches_a_bundle(trained, tmp_path):
    write_bundle(trained["fm"], tmp_path / "fm")
    model = load_bundle(tmp_path / "fm")
    signature = model.signature()
    assert (signature.inputs["now"], "now" in signature.optional) == ("double", True)
    answer = model.predict({"user": [3, 3, 3], "now": [MORNING, EVENING, None]})["items"]
    asked = trained["fm"].recommend([3, 3, 3], context=[Context(now=MORNING), Context(now=EVENING), NO_CONTEXT]).ids()
    assert answer == asked
    assert answer[2] == model.predict({"user": [3]})["items"][0]
    with pytest.raises(SchemaError, match="'noon' is not a number"):
        model.predict({"user": [3], "now": ["noon"]})


def test_without_times_there_are_no_moments(trained):
    assert trained["fm"].can(Capability.MOMENT)
    assert not trained["blind"].can(Capability.MOMENT)
    users, items, _ = news_and_films()
    model = make_recommender("fm-ranker", {**SMALL, "epochs": 1, "moments": True}).fit(
        Interactions.from_ids(users, items)
    )
    assert not model.can(Capability.MOMENT)
    assert "now" not in model.signature().inputs
    ways = [model.recommend([3], 5, context=Context(now=now)).ids() for now in (None, MORNING)]
    assert ways[0] == ways[1]


def test_a_table_has_moments_beside_categories():
    rng = np.random.default_rng(0)
    times = rng.integers(0, 20_000, 800) * 3600.0
    weekend = (times // 86_400 + 3) % 7 >= 5
    early = times // 3600 % 24 < 12
    columns = {"when": times, "place": np.where(rng.random(800) < 0.5, "home", "work").tolist()}
    labels = (early == (np.array(columns["place"]) == "home")) | weekend
    model = DeepFM(network="fm", members=1, factors=4, epochs=20, batch_size=64, learning_rate=0.03).fit(
        columns, labels.astype(int), {"when": "moment", "place": "category"}
    )
    assert model.signature().inputs["when"] == "double"
    tuesday, saturday = (datetime(2024, 5, day, 8, tzinfo=UTC).timestamp() for day in (14, 18))
    scores = model.score({"when": [tuesday, tuesday, saturday, None], "place": ["home", "work", "work", "work"]})
    assert scores[0] > 0.8 > 0.3 > scores[1]
    assert scores[2] > scores[1] + 0.3, "the weekday counts"
    assert scores[1] < scores[3] < scores[0]
