"""The loop: what it decides from, what it keeps, what can be undone."""

from __future__ import annotations

import io

import numpy as np
import pytest

from labeling.autolabel import Goal, KernelLearner, State, advance, play, suspects, table_views, text_views
from labeling.autolabel.annotators import Crowd, Truthful
from labeling.autolabel.guarantee import interval
from palate.errors import ParameterError
from tests.labeling.autolabel.conftest import played, sentences

Topics = tuple[KernelLearner, list[str]]


def test_the_promise_is_kept_and_most_is_automatic(topics: Topics) -> None:
    outcome, state = played(*topics, Goal(target=0.9))
    assert outcome.automated_accuracy is not None
    assert outcome.audit is not None
    assert outcome.automated_accuracy >= 0.9
    assert outcome.automated_share > 0.6
    assert outcome.audit.low <= outcome.automated_accuracy <= outcome.audit.high
    assert outcome.human_labels + len(state.automatic.items) == outcome.items  # type: ignore[union-attr]
    assert not np.isin(state.answered, state.automatic.items).any()  # type: ignore[union-attr]


def test_an_audit_is_as_large_as_its_interval_takes_or_takes_the_greatest_share() -> None:
    easy, hard = Goal(target=0.98).audit_of(10_000), Goal(target=0.9).audit_of(9_800, stretched=True)
    assert 0.01 * 10_000 < easy < 0.05 * 10_000
    assert 0.05 * 9_800 < hard <= 0.065 * 9_800
    for target, size in ((0.98, easy), (0.9, hard)):
        low, high = interval(target * size, size)
        assert high - low <= 0.05
        low, high = interval(target * (size - 1), size - 1)
        assert high - low > 0.05
    assert Goal(target=0.9).audit_of(9_800) == 490  # not before it is known to be too few
    assert Goal(target=0.9).audit_of(2_000, stretched=True) == 100  # 6.5 % would not be enough either
    assert Goal(target=0.9).audit_of(10_000, accuracy=0.99) < easy
    assert [Goal().audit_of(few) for few in (0, 1, 5)] == [0, 1, 1]


def test_nothing_is_decided_by_a_label_that_was_not_asked_for(topics: Topics) -> None:
    learner, truth = topics
    state, made = play(learner, Truthful(truth), Goal(target=0.95), seed=3)
    asked = set(state.answered.tolist())
    unasked = [item for item in range(len(truth)) if item not in asked]
    scrambled = list(truth)
    for item, other in zip(unasked, np.random.default_rng(0).permutation(unasked).tolist(), strict=True):
        scrambled[item] = truth[other]
    assert scrambled != truth
    again, remade = play(learner, Truthful(scrambled), Goal(target=0.95), seed=3)
    assert made is not None
    assert remade is not None
    assert again.answered.tolist() == state.answered.tolist()
    assert again.rounds == state.rounds
    assert again.audits == state.audits
    assert remade.items.tolist() == made.items.tolist()
    assert remade.labels.tolist() == made.labels.tolist()


def test_a_loop_taken_up_from_its_arrays_decides_the_same(topics: Topics) -> None:
    learner, truth = topics
    whole, _ = play(learner, Truthful(truth), Goal(target=0.9), seed=1)
    people, state = Truthful(truth), State.new(len(truth))
    fresh = learner
    while True:
        file = io.BytesIO()
        np.savez(file, **state.to_arrays())
        file.seek(0)
        state = State.from_arrays(np.load(file))  # as a job would that was killed after each step
        step = advance(state, fresh, Goal(target=0.9), seed=1)
        if not len(step.ask):
            break
        said = people.ask(step.ask)
        state.answer(said.items, said.labels, said.reliability, said.answers)
    assert state.rounds == whole.rounds
    assert state.answered.tolist() == whole.answered.tolist()
    assert state.audits == whole.audits


def test_every_automatic_label_says_where_it_comes_from_and_can_be_withdrawn(topics: Topics) -> None:
    state, made = play(*(topics[0], Truthful(topics[1])), Goal(target=0.9))
    kept = state.automatic
    assert made is not None
    assert kept is not None
    assert (kept.model, kept.round) == (state.rounds[-1].model, state.rounds[-1].round)
    assert (kept.confidence >= kept.threshold).all()
    assert kept.bound >= 0.9
    some = kept.items[:5]
    assert state.withdraw(some).tolist() == some.tolist()
    assert not np.isin(some, state.automatic.items).any()  # type: ignore[union-attr]
    assert len(state.withdraw()) == len(kept.items) - 5
    assert state.automatic is None
    assert len(state.withdraw()) == 0
    assert np.isin(kept.items, state.pool).all()


def test_a_lower_target_leaves_less_to_people(topics: Topics) -> None:
    shares = [played(*topics, Goal(target=target))[0].human_labels for target in (0.8, 0.97)]
    assert shares[0] < shares[1]


def test_when_little_is_left_to_people_they_get_the_least_sure_of_it(topics: Topics) -> None:
    learner, truth = topics
    people, state, closed = Truthful(truth), State.new(len(truth)), 0
    while len((step := advance(state, learner, Goal(target=0.95), seed=0)).ask):
        made = step.automatic
        if (
            step.phase == "rounds"
            and made is not None
            and len(state.pool) - len(made.items) <= 0.2 * len(state.answered)
        ):
            others = np.setdiff1d(state.pool, step.ask)
            assert state.confidence[step.ask].max() < state.confidence[others].min()
            assert not np.isin(step.ask, made.items).any()
            closed += 1
        said = people.ask(step.ask)
        state.answer(said.items, said.labels)
    assert closed


@pytest.mark.parametrize("budget", [60, 90, 140])
def test_a_budget_is_never_exceeded_and_what_is_promised_within_it_holds(topics: Topics, budget: int) -> None:
    outcome, _ = played(*topics, Goal(target=0.9, budget=budget))
    assert outcome.human_answers <= budget
    assert outcome.automated_accuracy is None or outcome.automated_accuracy >= 0.88
    assert outcome.unlabeled == outcome.items - outcome.human_labels - round(outcome.automated_share * outcome.items)


def test_where_nothing_can_be_learned_nothing_is_labeled() -> None:
    rng = np.random.default_rng(0)
    learner = KernelLearner({"noise": rng.normal(size=(300, 6))})
    truth = [f"label {code}" for code in rng.integers(0, 3, 300)]
    outcome, _ = played(learner, truth, Goal(target=0.9))
    assert outcome.automated_share == 0
    assert outcome.human_labels == 300
    assert outcome.automated_accuracy is None


def test_one_label_for_all_needs_as_many_answers_as_surety_takes() -> None:
    learner = KernelLearner({"x": np.random.default_rng(0).normal(size=(400, 3))})
    outcome, _ = played(learner, ["same"] * 400, Goal(target=0.95))
    assert outcome.automated_accuracy == 1.0
    assert outcome.human_labels >= 59


def test_rare_labels_and_duplicates_do_no_harm() -> None:
    texts, truth = sentences(500, 3, telling=4)
    texts[250:] = texts[:250]
    truth[250:] = truth[:250]
    truth[7] = "seen once"
    outcome, _ = played(KernelLearner(text_views(texts, "tfidf")), truth, Goal(target=0.9))
    assert outcome.automated_accuracy is not None
    assert outcome.automated_accuracy >= 0.9


def test_two_labels_of_which_one_is_rare() -> None:
    rng = np.random.default_rng(5)
    rare = rng.random(1200) < 0.03
    columns = {"a": (rng.normal(size=1200) + 2 * rare).tolist(), "b": rng.normal(size=1200).tolist()}
    truth = ["yes" if one else "no" for one in rare]
    outcome, _ = played(KernelLearner(table_views(columns)), truth, Goal(target=0.95))
    assert outcome.automated_accuracy is not None
    assert outcome.automated_accuracy >= 0.95


def test_with_people_who_err_the_promise_is_about_the_truth(topics: Topics) -> None:
    learner, truth = topics
    crowd = Crowd(truth, workers=5, accuracy=0.8, seed=0)
    outcome, state = played(learner, truth, Goal(target=0.9), annotators=crowd)
    assert outcome.automated_accuracy is not None
    assert outcome.automated_accuracy >= 0.9
    assert outcome.human_answers >= 2 * outcome.human_labels
    assert outcome.human_accuracy > 0.95
    assert state.answers == outcome.human_answers


def test_wrong_labels_of_people_are_found_for_review() -> None:
    texts, truth = sentences(400, 4, telling=5)
    learner, state = KernelLearner(text_views(texts, "tfidf")), State.new(400)
    names = sorted(set(truth))
    codes = np.array([names.index(name) for name in truth])
    wrong = np.arange(0, 400, 20)
    codes[wrong] = (codes[wrong] + 1) % 4
    state.answer(np.arange(400), codes)
    found = suspects(state, learner)
    assert np.isin(wrong, found).mean() > 0.8
    assert np.isin(found, wrong).mean() > 0.8


def test_items_nobody_answered_may_be_asked_for_again(topics: Topics) -> None:
    learner, truth = topics
    state = State.new(len(truth))
    step = advance(state, learner, Goal())
    answered = step.ask[: len(step.ask) // 2]
    said = Truthful(truth).ask(answered)
    assert advance(state, learner, Goal()).ask.tolist() == step.ask.tolist()  # nothing new, so nothing else
    state.answer(said.items, said.labels)
    step = advance(state, learner, Goal())
    assert len(step.ask)
    assert not np.isin(step.ask, answered).any()


@pytest.mark.parametrize(
    "wrong",
    [
        {"target": 0.0},
        {"target": 1.0},
        {"target": 95},
        {"confidence": 1.0},
        {"budget": 0},
        {"check": 0.5},
        {"check": -0.1},
        {"seed_items": 0},
        {"growth": 0.0},
        {"width": float("nan")},
    ],
)
def test_a_goal_that_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ParameterError) as caught:
        Goal(**wrong)  # type: ignore[arg-type]
    assert caught.value.where in wrong


def test_a_budget_below_the_seed_is_refused(topics: Topics) -> None:
    with pytest.raises(ParameterError, match="does not pay"):
        advance(State.new(len(topics[1])), topics[0], Goal(budget=5))


def test_answers_that_cannot_be_are_refused(topics: Topics) -> None:
    state = State.new(4)
    for items, labels in (([4], [0]), ([-1], [0]), ([0, 0], [1, 1]), ([0], [-1]), ([0, 1], [0])):
        with pytest.raises(ParameterError):
            state.answer(np.array(items), np.array(labels))
    with pytest.raises(ParameterError, match="reliability"):
        state.answer(np.array([0]), np.array([0]), 1.5)
    with pytest.raises(ParameterError, match="no item"):
        State.new(0)
    with pytest.raises(ParameterError, match="knows"):
        advance(state, topics[0], Goal())
