"""Held-out scores are what leaving out and training again would give."""

from __future__ import annotations

import numpy as np
import pytest

from labeling.autolabel import CrossFitted, KernelLearner, Stack
from labeling.autolabel.kernel import Columns, Kernel, View, left_out, one_hot, scores_of_all


@pytest.fixture
def views() -> dict[str, View]:
    rng = np.random.default_rng(0)
    return {"a": View.of(rng.normal(size=(60, 5))), "b": View.of(rng.normal(size=(60, 3)))}


KERNEL = Kernel({"a": 0.7, "b": 0.3}, {"a": 1.0, "b": 2.0}, 0.1)


def test_a_held_out_score_is_that_of_a_model_trained_without_the_item(views: dict[str, View]) -> None:
    rng = np.random.default_rng(1)
    rows, labels = np.arange(40), rng.integers(0, 3, 40)
    scores = scores_of_all(Columns(views), KERNEL, rows, labels, 3, rng)
    for item in (0, 17, 39):
        others = np.delete(rows, item)
        without = scores_of_all(Columns(views), KERNEL, others, labels[others], 3, rng)
        np.testing.assert_allclose(scores[item], without[item], atol=1e-5)


def test_the_approximation_is_exact_when_every_labeled_item_is_a_landmark(views: dict[str, View]) -> None:
    rng = np.random.default_rng(2)
    rows, labels = np.arange(40), rng.integers(0, 3, 40)
    exact = scores_of_all(Columns(views), KERNEL, rows, labels, 3, rng)
    approximate = scores_of_all(Columns(views), KERNEL, rows, labels, 3, rng, exact_up_to=10)
    np.testing.assert_allclose(approximate, exact, atol=5e-3)


def test_identical_items_do_not_break_the_arithmetic() -> None:
    view = View.of(np.ones((30, 4)))
    kernel = Kernel({"a": 1.0}, {"a": 1.0}, 0.01)
    _, held_out = left_out(
        kernel.between({"a": view}, np.arange(20), np.arange(20)), one_hot(np.zeros(20, int), 2), 0.01
    )
    assert np.isfinite(held_out).all()


def test_a_view_of_noise_is_mixed_in_less_than_one_that_tells() -> None:
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 3, 300)
    telling = np.eye(3)[labels] + rng.normal(scale=0.5, size=(300, 3))
    both = KernelLearner({"noise": rng.normal(size=(300, 40)), "telling": telling})
    alone = KernelLearner({"telling": telling})
    rows = np.arange(150)
    right = [
        float((learner.learn(rows, labels[rows], 3, 0).argmax(axis=1)[150:] == labels[150:]).mean())
        for learner in (both, alone)
    ]
    assert right[0] >= right[1] - 0.03


class Nearest:
    """A plug-in: the least that a classifier needs."""

    def fit(self, rows: np.ndarray, labels: np.ndarray) -> Nearest:
        self.classes_ = np.unique(labels)
        self._centers = np.stack([rows[labels == label].mean(axis=0) for label in self.classes_])
        return self

    def predict_proba(self, rows: np.ndarray) -> np.ndarray:
        near = np.exp(-((rows[:, None, :] - self._centers[None]) ** 2).sum(axis=2))
        return near / near.sum(axis=1, keepdims=True)


def test_any_classifier_can_be_plugged_in_even_where_a_label_was_seen_once() -> None:
    rng = np.random.default_rng(4)
    labels = np.append(rng.integers(0, 2, 99), 2)
    rows = np.eye(3)[labels] * 3 + rng.normal(size=(100, 3))
    learner = CrossFitted("nearest", lambda seed: Nearest(), rows)
    scores = learner.learn(np.arange(100), labels, 3, 0)
    assert (scores.argmax(axis=1)[:99] == labels[:99]).mean() > 0.9
    assert scores[99].argmax() != 2  # held out, its label is unheard of
    stacked = Stack([KernelLearner({"rows": rows}), learner])
    assert (stacked.learn(np.arange(100), labels, 3, 0).argmax(axis=1)[:99] == labels[:99]).mean() > 0.9
    assert "nearest" in stacked.name
