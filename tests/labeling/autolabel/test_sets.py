"""Items with several labels: sets have codes, models learn labels one by one, the promise is about whole sets."""

from __future__ import annotations

import io
import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit, log_expit

from labeling.autolabel import (
    CrossFitted,
    Goal,
    KernelLearner,
    Sets,
    Stack,
    State,
    advance,
    judge,
    label_accuracy,
    play,
    suspects,
    text_views,
)
from labeling.autolabel.annotators import Crowd, SetNames, Truthful
from labeling.autolabel.sets import best_sets, log_odds, loss, of_names
from labeling.consensus import sets_together
from palate.errors import ParameterError
from tests.labeling.autolabel.conftest import sentences
from tests.labeling.autolabel.test_kernel import Nearest
from tests.labeling.autolabel.test_simulate_command import simulate

LABELS = tuple(f"label {code}" for code in range(5))
Tagged = tuple[KernelLearner, list[str]]


def tagged(n: int) -> tuple[list[str], list[str]]:
    """Texts about one to three of five topics, and their labels with a | between."""
    texts, truth = sentences(2 * n, 5, telling=4)
    rng = np.random.default_rng(1)
    made: tuple[list[str], list[str]] = ([], [])
    at = 0
    for _ in range(n):
        some = range(at, at + int(rng.choice([1, 2, 3], p=[0.5, 0.35, 0.15])))
        at = some.stop
        made[0].append(" ".join(texts[place] for place in some))
        made[1].append("|".join(sorted({truth[place] for place in some})))
    return made


@pytest.fixture(scope="module")
def items() -> Tagged:
    texts, truth = tagged(500)
    return KernelLearner(text_views(texts, "tfidf")), truth


def names() -> SetNames:
    return SetNames(Sets(len(LABELS)), LABELS, "|")


def test_the_promise_on_whole_sets_is_kept_and_rests_on_no_label_that_was_not_asked_for(items: Tagged) -> None:
    learner, truth = items
    goal, codes = Goal(target=0.85), names()
    people = Truthful(truth, codes)
    state, made = play(learner, people, goal, 2, sets=codes.sets)
    outcome = judge(state, made, people.names, truth, goal, learner.name)
    assert made is not None
    assert outcome.automated_accuracy is not None
    assert outcome.automated_accuracy >= 0.85
    assert outcome.automated_share > 0.3
    assert outcome.labels == 5
    each = label_accuracy(made, codes, truth)
    assert each is not None
    assert min(each.values()) >= outcome.automated_accuracy  # a label is at least as often right as the whole set
    said = codes.sets.members(made.labels)
    assert len(set(said.sum(axis=1).tolist())) > 1
    # Labels of items that nobody was asked about are mixed up: every decision stays what it was.
    unasked = np.setdiff1d(np.arange(len(truth)), state.answered).tolist()
    scrambled = list(truth)
    for item, other in zip(unasked, np.random.default_rng(0).permutation(unasked).tolist(), strict=True):
        scrambled[item] = truth[other]
    assert scrambled != truth
    again_codes = names()
    again, remade = play(learner, Truthful(scrambled, again_codes), goal, 2, sets=again_codes.sets)
    assert remade is not None
    assert (again.rounds, again.audits) == (state.rounds, state.audits)
    assert again.answered.tolist() == state.answered.tolist()
    assert remade.items.tolist() == made.items.tolist()
    assert again_codes.sets.members(remade.labels).tolist() == said.tolist()


def test_a_loop_over_sets_is_taken_up_from_its_arrays(items: Tagged) -> None:
    learner, truth = items
    whole_codes, goal = names(), Goal(target=0.85, budget=110)
    whole, _ = play(learner, Truthful(truth, whole_codes), goal, 1, sets=whole_codes.sets)
    state = State.new(len(truth), Sets(len(LABELS)))
    while True:
        file = io.BytesIO()
        np.savez(file, **state.to_arrays())
        file.seek(0)
        state = State.from_arrays(np.load(file))
        step = advance(state, learner, goal, 1)
        if not len(step.ask):
            break
        assert state.sets is not None
        state.answer(step.ask, SetNames(state.sets, LABELS, "|")([truth[item] for item in step.ask]))
    assert (state.rounds, state.audits) == (whole.rounds, whole.audits)
    assert state.answered.tolist() == whole.answered.tolist()


@pytest.mark.parametrize("empty", [True, False])
def test_the_best_set_and_the_next_are_those_of_all_sets(empty: bool) -> None:
    odds = np.random.default_rng(0).normal(-1.0, 1.5, (200, 4))
    odds[0] = [-3.0, -1.0, -2.0, -4.0]
    members, logs = best_sets(odds, empty=empty)
    every = np.array([row for row in product([False, True], repeat=4) if empty or any(row)])
    likely = np.stack([log_expit(np.where(row, odds, -odds)).sum(axis=1) for row in every], axis=1)
    if not empty:
        likely -= np.log1p(-np.exp(log_expit(-odds).sum(axis=1)))[:, None]
    ranked = np.sort(likely, axis=1)[:, ::-1]
    assert members.tolist() == every[likely.argmax(axis=1)].tolist()
    np.testing.assert_allclose(logs, ranked[:, :2], atol=1e-9)


def test_odds_are_calibrated_label_by_label_and_no_label_is_said_that_was_never_given() -> None:
    rng = np.random.default_rng(0)
    true = rng.normal(-1.0, 2.0, (3000, 3))
    members = rng.random((3000, 3)) < expit(true)
    members[:, 2] = False
    scores = (true + np.array([0.0, 1.5, 0.0])) * 0.1
    odds = log_odds(scores, np.arange(2000), members[:2000])
    np.testing.assert_allclose(odds[2000:, :2], true[2000:, :2], atol=0.8)
    assert (odds[:, 2] < -10).all()
    assert loss(scores[:, :2], members[:, :2]) < loss(rng.permutation(scores[:, :2]), members[:, :2])


def test_an_items_own_labels_do_not_enter_its_odds() -> None:
    rng = np.random.default_rng(0)
    scores, members = rng.normal(size=(40, 3)), rng.random((40, 3)) < 0.4
    other = members.copy()
    other[7] = ~other[7]
    items = np.arange(40)
    np.testing.assert_array_equal(log_odds(scores, items, members)[7], log_odds(scores, items, other)[7])


def test_any_classifier_learns_several_labels_and_is_stacked(items: Tagged) -> None:
    kernel, truth = items
    members = of_names([name.split("|") for name in truth], LABELS)
    rows = members + np.random.default_rng(0).normal(scale=0.4, size=members.shape)
    near = CrossFitted("nearest", lambda seed: Nearest(), rows)
    known = np.arange(150)
    odds = near.learn(known, members[known], 5, 0)
    assert ((odds > 0) == members)[150:].mean() > 0.8
    both = Stack([kernel, near]).learn(known, members[known], 5, 0)
    alone = kernel.learn(known, members[known], 5, 0)
    assert loss(both[150:], members[150:]) < loss(alone[150:], members[150:])


def test_one_label_for_all_is_learned_like_any_other() -> None:
    learner = KernelLearner({"x": np.random.default_rng(0).normal(size=(300, 3))})
    codes = SetNames(Sets(3), ("a", "b", "c"), "|")
    state, made = play(learner, Truthful(["b"] * 300, codes), Goal(target=0.9), sets=codes.sets)
    assert made is not None
    assert len(made.items) > 200
    assert codes.sets.members(made.labels)[:, 1].all()
    assert len(suspects(state, learner)) == 0


def test_wrong_sets_of_people_are_found_for_review(items: Tagged) -> None:
    learner, truth = items
    state = State.new(len(truth), Sets(len(LABELS)))
    members = of_names([name.split("|") for name in truth], LABELS)
    wrong = np.arange(0, 500, 25)
    members[wrong] = ~members[wrong]
    assert state.sets is not None
    state.answer(np.arange(500), state.sets.codes(members))
    found = suspects(state, learner)
    assert np.isin(wrong, found).mean() > 0.8
    assert np.isin(found[: len(wrong)], wrong).mean() > 0.7


def test_people_who_err_are_put_together_label_by_label(items: Tagged) -> None:
    agreed = [(task, who, "abc"[task % 3]) for task in range(30) for who in ("ann", "bob", "cy")]
    split = [(30, "ann", "ab"), (30, "bob", "bc"), (30, "cy", "ac")]
    found = sets_together([*agreed, *split, (31, "ann", ""), (31, "bob", ""), (32, "ann", "c")], "cba", empty=True)
    assert [found[task][0] for task in (0, 30, 31, 32)] == [("a",), ("c", "b", "a"), (), ("c",)]
    assert found[30][1] < found[31][1] < found[0][1] <= 1.0
    assert sets_together([(0, "ann", ""), (1, "bob", "")], "ab", empty=True) == {0: ((), 1.0), 1: ((), 1.0)}
    assert all(labels for labels, _ in sets_together([(0, "ann", "a"), (0, "bob", "b")], "ab").values())
    truth, codes = items[1], names()
    crowd = Crowd(truth, workers=5, accuracy=0.8, codes=codes)
    said = crowd.ask(np.arange(200))
    right = [crowd.names[code] == truth[item] for item, code in zip(said.items, said.labels, strict=True)]
    assert said.answers > 400
    assert np.mean(right) > 0.93
    assert np.mean(said.reliability) == pytest.approx(np.mean(right), abs=0.05)


def test_sets_that_cannot_be_are_refused() -> None:
    sets = Sets(2)
    assert sets.codes(np.array([[1, 0], [1, 1], [1, 0]], dtype=bool)).tolist() == [0, 1, 0]
    assert sets.members(np.array([1])).tolist() == [[True, True]]
    with pytest.raises(ParameterError, match="without any label"):
        sets.codes(np.array([[False, False]]))
    assert Sets(2, empty=True).codes(np.array([[False, False]])).tolist() == [0]
    with pytest.raises(ParameterError, match="needs 2 labels"):
        sets.codes(np.ones((1, 3), dtype=bool))
    with pytest.raises(ParameterError, match="no label to choose"):
        Sets(0)
    with pytest.raises(ParameterError, match="'z' is none of the 2 labels"):
        of_names([["a"], ["a", "z"]], ("a", "b"))


def test_the_command_plays_it_and_tells_of_each_label(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = tmp_path / "tagged.csv", tmp_path / "out.json"
    texts, truth = tagged(150)
    spaced = [name.replace("|", " | ") + " |" for name in truth]  # blanks and empty names do no harm
    rows = [f"{text},{labels}" for text, labels in zip([*texts, "no label"], [*spaced, " | "], strict=True)]
    path.write_text("text,labels\n" + "\n".join(rows), encoding="utf-8")
    common = ("--data", path, "--text", "text", "--label", "labels", "--features", "tfidf", "--target", 0.75)
    assert simulate(*common, "--separator", "|", "--workers", 3, "--worker-accuracy", 0.9, "--json", out) == 0
    report = json.loads(out.read_text())
    assert (report["items"], report["labels"], report["left_out"]) == (150, 5, 1)
    assert report["human_answers"] > report["human_labels"]
    assert report["per_label"] is None or set(report["per_label"]) == set(LABELS)
    capsys.readouterr()
    assert simulate(*common, "--separator", " ") == 2
    assert "separator" in capsys.readouterr().err
