"""Every consensus method keeps the promises of the protocol; and each does what its paper says."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labeling.consensus import METHODS, Answers, Crowdlab, DawidSkene, Mace, Majority, confusion, make_method
from labeling.consensus.crowds import CROWDS, dog, rte
from palate.errors import ParameterError, SchemaError


@pytest.fixture(params=METHODS)
def method(request):
    return make_method(request.param)


def consolidate(method, answers, model=None):
    """With a model that knows nothing, for methods that need one."""
    if method.uses_probabilities and model is None:
        model = np.full((answers.n_tasks, answers.n_labels), 1 / answers.n_labels)
    return method.consolidate(answers, model)


def labels_of(answers, consensus):
    return dict(zip(answers.tasks.ids.to_pylist(), answers.labels.decode(consensus.chosen), strict=True))


# -- the protocol ------------------------------------------------------------------------------------------------------


@given(
    rows=st.lists(
        st.tuples(st.sampled_from("abcd"), st.sampled_from("xyz"), st.sampled_from(["ja", "né", "可"])),
        min_size=1,
        max_size=30,
    ),
    random=st.randoms(use_true_random=False),
)
@settings(max_examples=40, deadline=None)
@pytest.mark.parametrize("name", METHODS)
def test_a_distribution_for_each_task_whatever_the_order_of_the_answers(name, rows, random):
    method = make_method(name)
    answers = Answers.of(*zip(*rows, strict=True))
    if method.uses_probabilities and answers.per_task.max() == 1:
        with pytest.raises(ParameterError, match="two answers"):
            consolidate(method, answers)
        return
    found = consolidate(method, answers)
    table = found.table(answers.n_labels)
    assert (table >= 0).all()
    assert table.sum(axis=1) == pytest.approx(1)
    assert table.max(axis=1) == pytest.approx(found.confidence)
    assert table[np.arange(len(table)), found.chosen] == pytest.approx(found.confidence, abs=1e-8)
    assert ((found.skill >= 0) & (found.skill <= 1)).all()
    random.shuffle(rows)
    again = consolidate(method, Answers.of(*zip(*rows, strict=True)))
    assert (again.chosen == found.chosen).all()
    assert (again.posterior == found.posterior).all()


def test_what_all_say_is_the_consensus(method):
    rows = [(f"t{task}", worker, "AB"[task % 2]) for task in range(20) for worker in "xyz"]
    answers = Answers.of(*zip(*rows, strict=True))
    found = consolidate(method, answers)
    assert labels_of(answers, found) == {f"t{task}": "AB"[task % 2] for task in range(20)}
    assert (found.confidence > 0.8).all()
    assert (found.skill > 0.8).all()


def test_one_label_is_certain(method):
    answers = Answers.of(["t", "t"], ["x", "y"], ["A", "A"])
    found = consolidate(method, answers)
    assert (found.chosen.tolist(), found.confidence.tolist()) == ([0], [pytest.approx(1)])


@pytest.mark.parametrize("name", ["majority", "dawid-skene", "mace"])
def test_one_worker_alone_is_believed(name):
    answers = Answers.of(["1", "2", "3"], ["x", "x", "x"], ["A", "B", "A"])
    assert labels_of(answers, make_method(name).consolidate(answers)) == {"1": "A", "2": "B", "3": "A"}


def test_skill_orders_people_by_how_often_they_are_right(method):
    crowd = rte(3)
    answers, found = crowd.answers, consolidate(method, crowd.answers)
    right = np.bincount(answers.worker, crowd.truth[answers.task] == answers.label) / answers.per_worker
    much = answers.per_worker >= 30
    assert np.corrcoef(found.skill[much], right[much])[0, 1] > 0.85


def test_confusion_counts_each_answer_once(method):
    crowd = dog(1)
    found = consolidate(method, crowd.answers)
    table = confusion(crowd.answers, found, 0)
    assert table.sum() == pytest.approx(crowd.answers.per_worker[0])
    assert np.trace(table) == pytest.approx(found.skill[0] * crowd.answers.per_worker[0])


@pytest.mark.parametrize("name", [name for name in METHODS if not METHODS[name].uses_probabilities])
def test_a_model_is_not_ignored_in_silence(name):
    answers = Answers.of(["t"], ["x"], ["A"])
    with pytest.raises(ParameterError, match="does not use"):
        make_method(name).consolidate(answers, np.ones((1, 1)))


@pytest.mark.parametrize("name", ["ds", "DS", "Dawid_Skene", "dawid-skene"])
def test_names_are_taken_as_people_write_them(name):
    assert isinstance(make_method(name), DawidSkene)


def test_an_unknown_method_is_refused_with_those_there_are():
    with pytest.raises(ParameterError, match="majority, dawid-skene"):
        make_method("oracle")


@pytest.mark.parametrize("columns", [([], [], []), (["t"], ["x"], []), (["t"], [None], ["A"])])
def test_answers_that_are_none_are_refused(columns):
    with pytest.raises(SchemaError):
        Answers.of(*columns)


# -- majority ----------------------------------------------------------------------------------------------------------


def test_ties_go_to_the_label_most_frequent_in_all_then_to_the_first():
    tied = [("1", "x", "B"), ("1", "y", "A"), ("2", "x", "C"), ("2", "y", "A")]
    answers = Answers.of(*zip(*tied, ("3", "x", "C"), ("4", "x", "C"), strict=True))
    assert labels_of(answers, Majority().consolidate(answers)) == {"1": "A", "2": "C", "3": "C", "4": "C"}


# -- Dawid-Skene -------------------------------------------------------------------------------------------------------


def test_the_figures_of_the_paper(anaesthetists):
    """Dawid and Skene (1979), tables 2 and 3: the class marginals, and the first observer's error-rates."""
    found = DawidSkene(smoothing=0).consolidate(anaesthetists)
    assert found.table(4).mean(axis=0).round(2).tolist() == [0.40, 0.42, 0.11, 0.07]
    table = confusion(anaesthetists, found, 0)
    rates = (table / table.sum(axis=1, keepdims=True)).round(2)
    assert rates.tolist() == [[0.89, 0.11, 0, 0], [0.07, 0.88, 0.05, 0], [0, 0.34, 0.66, 0], [0, 0, 0.56, 0.44]]


def reference(answers, rounds):
    """The paper's equations 2.3 to 2.5 on a dense table of tasks x workers x labels."""
    counts = np.zeros((answers.n_tasks, answers.n_workers, answers.n_labels))
    np.add.at(counts, (answers.task, answers.worker, answers.label), 1)
    posterior = counts.sum(axis=1) / counts.sum(axis=(1, 2))[:, None]
    for _ in range(rounds):
        rates = np.einsum("tc,twl->wcl", posterior, counts)
        rates /= np.maximum(rates.sum(axis=2, keepdims=True), 1e-300)
        likelihood = np.prod(np.where(counts[:, :, None] > 0, rates[None] ** counts[:, :, None], 1), axis=(1, 3))
        posterior = likelihood * posterior.mean(axis=0)
        posterior /= posterior.sum(axis=1, keepdims=True)
    return posterior


def test_the_sparse_form_is_the_dense_one(anaesthetists):
    found = DawidSkene(smoothing=0, iterations=4, tolerance=1e-12).consolidate(anaesthetists)
    assert not found.converged
    assert found.table(4) == pytest.approx(reference(anaesthetists, 4), abs=1e-6)


@pytest.mark.parametrize("name", ["rte", "dog"])
def test_on_small_sets_with_few_answers_each_it_is_the_dense_one_and_the_prior_costs_nothing(name):
    """Ten answers a task, most people with few: where a prior that is too strong would show."""
    crowd = CROWDS[name](21)
    dense = reference(crowd.answers, 8).argmax(axis=1)
    plain = DawidSkene(smoothing=0, iterations=8, tolerance=1e-12).consolidate(crowd.answers)
    assert (dense == plain.chosen).mean() > 0.99
    assert crowd.accuracy(DawidSkene().consolidate(crowd.answers)) > (dense == crowd.truth).mean() - 0.015


@pytest.mark.parametrize("name", ["rte", "product", "web", "dog"])
def test_it_beats_the_majority_where_it_is_known_to(name):
    crowd = CROWDS[name](11)
    majority, ours = (crowd.accuracy(method.consolidate(crowd.answers)) for method in (Majority(), DawidSkene()))
    assert ours > majority + 0.01


def test_smoothing_keeps_a_sparse_crowd_from_coming_apart():
    crowd = CROWDS["sparse"](11)
    accuracy = {
        name: crowd.accuracy(method.consolidate(crowd.answers))
        for name, method in {"mv": Majority(), "ml": DawidSkene(smoothing=0), "map": DawidSkene()}.items()
    }
    assert accuracy["ml"] < accuracy["mv"] - 0.05
    assert accuracy["map"] > accuracy["mv"] - 0.02


def test_somebody_who_always_says_the_opposite_helps():
    rng = np.random.default_rng(0)
    truth = rng.integers(2, size=400)
    rows = []
    for task, right in enumerate(truth):
        rows += [(f"{task:03}", worker, "NY"[right ^ (rng.random() < 0.25)]) for worker in "abc"]
        rows += [(f"{task:03}", worker, "YN"[right ^ (rng.random() < 0.02)]) for worker in "z"]
    answers = Answers.of(*zip(*rows, strict=True))
    found = DawidSkene().consolidate(answers)
    assert (found.chosen == truth).mean() > 0.95
    assert found.skill[answers.workers.code("z")] < 0.1


def test_many_labels_cost_what_their_answers_cost():
    """Of 100 labels only those given to a task are candidates, and the consensus is as good."""
    rng = np.random.default_rng(0)
    truth = rng.integers(100, size=400)
    task, worker = np.repeat(np.arange(400), 5), np.tile(np.arange(5), 400)
    label = np.where(rng.random(2000) < 0.8, truth[task], rng.integers(100, size=2000))
    answers = Answers.of(task, worker, label, range(100))
    whole, given_only = (DawidSkene(every_label_up_to=limit).consolidate(answers) for limit in (10**6, 1000))
    assert len(whole.posterior) == 400 * 100
    assert len(given_only.posterior) == len(np.unique(task * 100 + label))
    assert (whole.chosen == truth).mean() > 0.97
    assert (given_only.chosen == truth).mean() > 0.97


@pytest.mark.parametrize(
    "params", [{"smoothing": -1}, {"smoothing": np.nan}, {"iterations": 0}, {"tolerance": 0}, {"tolerance": np.inf}]
)
def test_parameters_out_of_range(params):
    with pytest.raises(ParameterError):
        DawidSkene(**params)


# -- MACE --------------------------------------------------------------------------------------------------------------


def test_mace_finds_who_answers_blindly():
    rng = np.random.default_rng(0)
    truth = rng.integers(3, size=300)
    habit = {"a": 0.9, "b": 0.8, "c": 0.7, "blind": 0.0}
    rows = [
        (f"{task:03}", worker, "ABC"[right if rng.random() < knows else (0 if worker == "blind" else rng.integers(3))])
        for task, right in enumerate(truth)
        for worker, knows in habit.items()
    ]
    answers = Answers.of(*zip(*rows, strict=True))
    found = Mace().consolidate(answers)
    competence = dict(zip(answers.workers.ids.to_pylist(), found.details["competence"], strict=True))
    assert competence == pytest.approx(habit, abs=0.1)
    assert (found.chosen == truth).mean() > (Majority().consolidate(answers).chosen == truth).mean()


@pytest.mark.parametrize("name", ["rte", "product", "dog"])
def test_mace_beats_the_majority(name):
    crowd = CROWDS[name](11)
    assert crowd.accuracy(Mace().consolidate(crowd.answers)) > crowd.accuracy(Majority().consolidate(crowd.answers))


@pytest.mark.parametrize("params", [{"competence_prior": 0}, {"habit_prior": np.inf}, {"iterations": 0}])
def test_parameters_of_mace_out_of_range(params):
    with pytest.raises(ParameterError):
        Mace(**params)


# -- CROWDLAB ----------------------------------------------------------------------------------------------------------


def a_model(truth, labels, seed, strength=1.5):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(len(truth), labels))
    logits[np.arange(len(truth)), truth] += strength
    weights = np.exp(logits)
    return weights / weights.sum(axis=1, keepdims=True)


def test_crowdlab_gives_the_figures_of_cleanlab():
    from cleanlab.multiannotator import get_label_quality_multiannotator

    rng = np.random.default_rng(5)
    truth = rng.integers(3, size=80)
    rows = [
        (task, worker, int(right if rng.random() < skill else rng.integers(3)))
        for task, right in enumerate(truth)
        for worker, skill in enumerate([0.9, 0.7, 0.5, 0.8, 0.3])
        if rng.random() < 0.6 or worker == task % 5
    ]
    model = a_model(truth, 3, 5)
    answers = Answers.of(*zip(*rows, strict=True))
    wide = pd.DataFrame(rows, columns=["task", "worker", "label"]).pivot(index="task", columns="worker", values="label")
    ours = Crowdlab().consolidate(answers, model)
    theirs = get_label_quality_multiannotator(wide, model, verbose=False)["label_quality"]
    assert ours.chosen.tolist() == theirs["consensus_label"].tolist()
    # Its scores of its own consensus come from a second pass; those of the majority's labels are from the first.
    theirs = get_label_quality_multiannotator(wide, model, consensus_method="majority_vote", verbose=False)
    scores = ours.table(3)[np.arange(80), theirs["label_quality"]["consensus_label"]]
    assert scores == pytest.approx(theirs["label_quality"]["consensus_quality_score"].to_numpy())


def test_a_good_model_helps():
    crowd = rte(2)
    model = a_model(crowd.truth, 2, 2, strength=3)
    ours = crowd.accuracy(Crowdlab().consolidate(crowd.answers, model))
    assert ours > crowd.accuracy(Majority().consolidate(crowd.answers)) + 0.02


@pytest.mark.parametrize(
    "model", [None, np.ones((2, 3)) / 3, np.ones((1, 2)), np.array([[np.nan, 1]]), np.array([[-1.0, 2.0]])]
)
def test_probabilities_that_are_none(model):
    answers = Answers.of(["t", "t"], ["x", "y"], ["A", "B"])
    with pytest.raises(ParameterError, match="probabilities"):
        Crowdlab().consolidate(answers, model)
