"""FM and DeepFM as a recommender: engines agree, attributes and content count, and ranking is by the machine."""

import json

import numpy as np
import pytest

from benchmarks.cold_sets import people
from palate.errors import CapabilityError
from palate.evaluation.cold import evaluate_cold
from palate.models import make_recommender
from palate.models.protocol import Capability, Context

SMALL = {"factors": 6, "epochs": 6, "batch_size": 256, "learning_rate": 0.02, "hidden": 8}


@pytest.fixture(scope="module")
def trained():
    """By network and engine."""
    data = people(200, 80)
    return {
        (network, engine): make_recommender("fm-ranker", {**SMALL, "network": network, "engine": engine}).fit(
            data.interactions, data.items, data.users
        )
        for network, engine in (("fm", "torch"), ("deepfm", "torch"), ("deepfm", "mxnet"))
    }


def test_engines_agree(trained):
    ours, theirs = (np.array(trained["deepfm", engine].losses) for engine in ("torch", "mxnet"))
    assert ours == pytest.approx(theirs, rel=5e-3)
    assert ours[-1] < ours[0]


@pytest.mark.parametrize("network", ["fm", "deepfm"])
def test_ranking_is_by_the_score_of_each_pair(trained, network):
    """Both sides apart, as ranking computes it, is the machine over the pair's row."""
    from palate.features.fields import Rows

    model = trained[network, "torch"]
    users, items = np.array([0, 3, 3, 7]), np.array([5, 5, 60, 1])
    rows = Rows(
        *(
            np.concatenate([getattr(model.user_rows, part)[users], getattr(model.item_rows, part)[items]], axis=1)
            for part in ("codes", "values")
        )
    )
    expected = model.definition.scores(model.parameters, rows)
    found = model.recommend([0, 3, 7], 80, exclude=None)
    scores = [dict(found.row(row)) for row in range(3)]
    ranked = np.array([scores[0][5], scores[1][5], scores[1][60], scores[2][1]])
    assert np.diff(ranked)[1] == pytest.approx(np.diff(expected)[1], abs=1e-4), "but for what depends on the user alone"


def test_attributes_rank_for_who_arrives(trained):
    model = trained["fm", "torch"]
    told = [Context(attributes=json.dumps({"gender": f"gender-{number}"})) for number in (0, 1)]
    found = model.recommend(["x", "y", "z"], 80, context=[*told, Context()])
    assert found.personal.tolist() == [True, True, False]
    assert found.ids()[0] != found.ids()[1]


def test_who_arrives_with_a_history_is_ranked_by_it_and_by_attributes(trained):
    model = trained["fm", "torch"]
    data = people(200, 80)
    users = np.flatnonzero(np.diff(model.seen.indptr) > 2)[:20]
    histories = [data.items.ids.decode(model.seen.indices[slice(*model.seen.indptr[[u, u + 1]])]) for u in users]
    told = [Context(attributes=each) for each in data.users.table["attributes"].take(users).to_pylist()]
    folded = model.fold_in_users(histories)
    known = model.recommend(data.users.ids.decode(users), 10)
    with_attributes, without = (model.recommend(folded, 10, context=each) for each in (told, Context()))
    assert with_attributes.personal.all()
    assert without.personal.all()
    assert with_attributes.scores == pytest.approx(known.scores, abs=1e-3), "as somebody of the training data"
    assert with_attributes.ids() != without.ids()
    nobody = model.recommend(["x"], 10, context=told[0])
    assert nobody.ids()[0] != with_attributes.ids()[0], "the history counts beside attributes"


def test_the_deep_part_folds_nobody_in(trained):
    assert not trained["deepfm", "torch"].can(Capability.FOLD_IN_USERS)
    with pytest.raises(CapabilityError, match="fold-in-users"):
        trained["deepfm", "torch"].fold_in_users([[1, 2]])


def test_new_items_are_ranked_by_what_they_are():
    data = people(400, 150)
    found = evaluate_cold(
        make_recommender("fm-ranker", {**SMALL, "epochs": 10}),
        data.interactions, "items", ks=(10,), items=data.items,
    )  # fmt: skip
    assert found.cold.ratio["ndcg@10"] > 1.1
