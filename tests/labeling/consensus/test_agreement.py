"""Agreement: worked examples from the literature, and scikit-learn's figures for pairs."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.metrics import cohen_kappa_score

from labeling.consensus import Answers
from labeling.consensus.agreement import (
    agreement,
    cohen_kappa,
    coincidences,
    confusion_between,
    fleiss_kappa,
    krippendorff_alpha,
    label_agreement,
    percent_agreement,
    worker_agreement,
)
from palate.errors import ParameterError

FLEISS = """
0 0 0 0 14, 0 2 6 4 2, 0 0 3 5 6, 0 3 9 2 0, 2 2 8 1 1, 7 7 0 0 0, 3 2 6 3 0, 2 5 3 2 2, 6 5 2 1 0, 0 2 2 3 7
"""
"""Ten subjects, fourteen raters, five categories: the worked example by which Fleiss' kappa is usually taught."""

KRIPPENDORFF = """
1 2 3 3 2 1 4 1 2 . . .
1 2 3 3 2 2 4 1 2 5 . 3
. 3 3 3 2 3 4 2 2 5 1 .
1 2 3 3 2 4 4 1 2 5 1 .
"""
"""Krippendorff (2011), section D: four observers, twelve units, five values, some missing."""


@pytest.fixture(scope="module")
def observers():
    rows = [
        (f"{unit:02}", str(observer), value)
        for observer, line in enumerate(KRIPPENDORFF.strip().splitlines())
        for unit, value in enumerate(line.split())
        if value != "."
    ]
    return Answers.of(*zip(*rows, strict=True))


def counts_of(answers):
    ones = np.ones(len(answers))
    counts = sparse.csr_array((ones, (answers.task, answers.label)), shape=(answers.n_tasks, answers.n_labels))
    return counts[np.flatnonzero(answers.per_task > 1)]


def test_fleiss_kappa_of_the_worked_example():
    table = sparse.csr_array(np.array([[int(n) for n in row.split()] for row in FLEISS.split(",")], float))
    assert fleiss_kappa(table) == pytest.approx(0.210, abs=5e-4)
    assert percent_agreement(table) == pytest.approx(0.378, abs=5e-4)


@pytest.mark.parametrize(
    ("level", "alpha"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849), ("ratio", 0.797)]
)
def test_krippendorff_alpha_of_the_papers_example(observers, level, alpha):
    table = coincidences(counts_of(observers))
    assert krippendorff_alpha(table, level, values=[1, 2, 3, 4, 5]) == pytest.approx(alpha, abs=5e-4)


def test_krippendorff_coincidences_of_the_papers_example(observers):
    table = coincidences(counts_of(observers))
    assert table.sum(axis=1) == pytest.approx([9, 13, 10, 5, 3])
    assert np.diag(table) == pytest.approx([7, 10, 8, 4, 3])


def test_all_figures_of_a_project(observers):
    found = agreement(observers)
    assert found.tasks == 11
    assert found.krippendorff_alpha == pytest.approx(0.743, abs=5e-4)
    assert "11 tasks" in found.sentence()


def test_pairs_of_people_as_scikit_learn_has_them(anaesthetists):
    once = anaesthetists
    for first, second in [(1, 2), (1, 4), (3, 4)]:
        mine, theirs = (once.label[once.worker == worker] for worker in (first, second))
        table = confusion_between(once, first, second)
        assert table.sum() == 45
        assert cohen_kappa(table) == pytest.approx(cohen_kappa_score(mine, theirs))


def test_a_person_against_one_other_is_the_pair():
    rng = np.random.default_rng(0)
    rows = [(task, worker, "ABC"[rng.integers(3)]) for task in range(60) for worker in ("x", "y")]
    answers = Answers.of(*zip(*rows, strict=True))
    found = worker_agreement(answers)
    assert found.met.tolist() == [60, 60]
    assert found.percent == pytest.approx([agreement(answers).percent] * 2)
    assert found.kappa == pytest.approx([cohen_kappa(confusion_between(answers, 0, 1))] * 2)


def test_a_person_against_several(observers):
    """By hand: every pair of one's own answer and another's to the same unit."""
    found = worker_agreement(observers)
    for worker in range(4):
        own, others = [], []
        for mine in np.flatnonzero(observers.worker == worker):
            met = np.flatnonzero((observers.task == observers.task[mine]) & (observers.worker != worker))
            own += [observers.label[mine]] * len(met)
            others += observers.label[met].tolist()
        assert found.met[worker] == len(own)
        assert found.percent[worker] == pytest.approx(np.mean(np.equal(own, others)))
        assert found.kappa[worker] == pytest.approx(cohen_kappa_score(own, others))


def test_each_label_against_all_others(observers):
    found = label_agreement(observers)
    for label, figures in enumerate(found):
        names = np.where(observers.label == label, "it", "another")
        two = Answers.of(observers.task, observers.worker, names)
        assert figures == pytest.approx(agreement(two))


@pytest.mark.parametrize(
    "rows", [[("1", "x", "A"), ("2", "y", "B")], [("1", "x", "A"), ("1", "y", "A")]], ids=["nobody met", "one label"]
)
def test_what_is_undefined_is_not_a_number(rows):
    answers = Answers.of(*zip(*rows, strict=True))
    found = agreement(answers)
    assert np.isnan(found.fleiss_kappa)
    assert np.isnan(found.krippendorff_alpha)
    assert found.to_dict()["fleiss_kappa"] is None
    assert np.isnan(worker_agreement(answers).kappa).all()
    assert all(np.isnan(figures.fleiss_kappa) for figures in label_agreement(answers))


def test_cohen_kappa_of_nobody_is_undefined():
    assert np.isnan(cohen_kappa(np.zeros((2, 2))))


@pytest.mark.parametrize(("level", "values"), [("interval", None), ("ratio", [1.0]), ("cardinal", None)])
def test_levels_that_do_not_fit(level, values):
    with pytest.raises(ParameterError):
        krippendorff_alpha(np.ones((2, 2)), level, values)
