"""FM and DeepFM over tables: what they learn, that both engines agree, and input that is missing or wrong."""

import logging

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from palate.bundle import load_bundle, write_bundle
from palate.errors import NotFittedError, ParameterError, SchemaError
from palate.models.deep_fm import DeepFM

KINDS = {"user": "category", "genres": "list", "year": "number"}
SMALL = {"members": 2, "factors": 4, "hidden": 8, "epochs": 8, "batch_size": 64, "learning_rate": 0.02}


def table(n=1200, seed=0):
    """Each user likes one of two genres, and every user what is new: taste is in the pair, not in either side."""
    rng = np.random.default_rng(seed)
    users, genre, year = rng.integers(12, size=n), rng.integers(2, size=n), rng.integers(1980, 2020, size=n)
    odds = 3.0 * np.where(genre == users % 2, 1, -1) + 0.05 * (year - 2000)
    labels = (rng.random(n) < 1 / (1 + np.exp(-odds))).astype(int)
    columns = {
        "user": [f"user-{user}" for user in users],
        "genres": [["comedy", "film"] if each else ["drama", "film"] for each in genre],
        "year": year.astype(float).tolist(),
    }
    return columns, labels


@pytest.fixture(scope="module")
def trained():
    """By network and engine."""
    columns, labels = table()
    return {
        (network, engine): DeepFM(network=network, engine=engine, **SMALL).fit(columns, labels, KINDS)
        for network in ("fm", "deepfm")
        for engine in ("torch", "mxnet")
    }


@pytest.mark.parametrize("network", ["fm", "deepfm"])
def test_pairs_are_learned_that_a_linear_model_cannot(trained, network):
    columns, labels = table(600, seed=1)
    score = roc_auc_score(labels, trained[network, "torch"].score(columns))
    plain = np.column_stack([[int(user[5:]) == each for user in columns["user"]] for each in range(12)])
    plain = np.column_stack([plain, ["comedy" in row for row in columns["genres"]], columns["year"]])
    linear = LogisticRegression(max_iter=2000).fit(plain[:300], labels[:300])
    assert score > 0.85
    assert score > roc_auc_score(labels[300:], linear.predict_proba(plain[300:])[:, 1]) + 0.1


@pytest.mark.parametrize("network", ["fm", "deepfm"])
def test_engines_agree(trained, network):
    ours, theirs = (np.array(trained[network, engine].losses) for engine in ("torch", "mxnet"))
    assert ours == pytest.approx(theirs, rel=2e-3)
    columns, _ = table(50, seed=2)
    ours, theirs = (trained[network, engine].score(columns) for engine in ("torch", "mxnet"))
    assert ours == pytest.approx(theirs, abs=0.02)


def test_a_penalty_of_its_own_holds_the_deep_part_back():
    columns, labels = table()
    lengths = []
    for penalty in (0.0, 10.0):
        model = DeepFM(**{**SMALL, "deep_regularization": penalty, "members": 1}).fit(columns, labels, KINDS)
        lengths.append(np.linalg.norm(model.members[0]["output"]))
    assert lengths[1] < 0.3 * lengths[0]


def test_regression():
    columns, labels = table()
    values = 3.0 + 0.5 * labels
    model = DeepFM(task="regression", network="fm", **SMALL).fit(columns, values, KINDS)
    found = model.score(columns)
    assert np.mean(np.square(found - values)) < 0.6 * values.var()
    assert model.signature().outputs == {"score": "float"}


def test_bundle(trained, tmp_path):
    columns, _ = table(40, seed=3)
    model = trained["deepfm", "torch"]
    write_bundle(model, tmp_path / "bundle")
    again = load_bundle(tmp_path / "bundle")
    answer = again.predict(columns)
    assert answer["score"] == pytest.approx(model.predict(columns)["score"], abs=1e-6)
    assert set(answer) == set(again.signature().outputs)
    assert again.signature().inputs == {"user": "string", "genres": "list<string>", "year": "float"}


def test_what_is_unknown_counts_for_nothing(trained):
    model = trained["deepfm", "torch"]
    nothing = model.score({"user": [None], "genres": [[]], "year": [None]})
    assert model.score({"user": ["nobody"], "genres": [["opera"]], "year": [None]}) == pytest.approx(nothing)
    assert model.score({"user": ["nobody"]}) == pytest.approx(nothing), "columns may be missing"
    assert 0.2 < nothing[0] < 0.8
    assert np.isfinite(model.score({"year": [1e30]})).all()
    with pytest.raises(SchemaError, match="none of the columns"):
        model.score({"colour": ["red"]})


@pytest.mark.parametrize(
    ("columns", "labels", "message"),
    [
        ({}, [1, 1, 1], "all rows have the label 1"),
        ({}, [0, 1, 2], "must be 0 or 1"),
        ({}, [0, 1, np.nan], "not finite"),
        ({}, [0, 1], "2 labels for 3 rows"),
        ({}, ["a", "b", "c"], "must be numbers"),
        ({"user": ["a", 1, "b"]}, [0, 1, 1], "ids must be"),
        ({"genres": ["x", ["y"], ["z"]]}, [0, 1, 1], "must be a list"),
        ({"year": [1.0, "new", 2.0]}, [0, 1, 1], "'new' is not a number"),
        ({"year": [1.0, float("inf"), 2.0]}, [0, 1, 1], "inf is not finite"),
        ({"year": [None, None, None]}, [0, 1, 1], "holds no number"),
        ({"year": [1.0]}, [0, 1, 1], "different lengths"),
    ],
)
def test_wrong_input_is_named(columns, labels, message):
    held = {"user": ["a", "b", "c"], "genres": [["x"], ["y"], []], "year": [1.0, 2.0, 3.0]}
    with pytest.raises(SchemaError, match=message):
        DeepFM(**SMALL).fit({**held, **columns}, labels, KINDS)


def test_other_mistakes():
    columns, labels = table(30)
    with pytest.raises(SchemaError, match="'year' is missing"):
        DeepFM().fit({"user": columns["user"], "genres": columns["genres"]}, labels, KINDS)
    with pytest.raises(ParameterError, match="no parameter 'depth'"):
        DeepFM(depth=3)
    with pytest.raises(ParameterError, match=r"deepfm\.factors"):
        DeepFM(factors=0)
    with pytest.raises(NotFittedError):
        DeepFM().score(columns)


def test_diverging_training_keeps_the_best_state(caplog):
    columns, labels = table(300)
    with caplog.at_level(logging.WARNING):
        model = DeepFM(**{**SMALL, "learning_rate": 30.0, "batch_size": 300}).fit(columns, labels, KINDS)
    assert "diverged" in caplog.text
    assert np.isfinite(model.score(columns)).all()
