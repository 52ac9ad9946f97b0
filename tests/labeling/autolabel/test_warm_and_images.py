"""What an earlier project knew helps, or does no harm; images are learned from pixels and by a network."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits

from labeling.autolabel import CrossFitted, Goal, KernelLearner, Stack, State, WarmStarted, image_views, text_views
from labeling.autolabel.images import ConvNet
from palate.errors import ParameterError
from tests.labeling.autolabel.conftest import played, sentences


def coded(names: list[str]) -> np.ndarray:
    known = sorted(set(names))
    return np.array([known.index(name) for name in names])


def right(learner: KernelLearner | WarmStarted, codes: np.ndarray, n: int) -> float:
    scores = learner.learn(np.arange(n), codes[:n], int(codes.max()) + 1, 0)
    return float((scores.argmax(axis=1)[n : len(codes)] == codes[n:]).mean())


def test_an_earlier_projects_labels_help_from_the_first_round_on() -> None:
    texts, truth = sentences(700, 6, telling=2)
    codes = coded(truth)
    views = text_views([*texts[300:], *texts[:300]], "tfidf")  # the first 300 are the earlier project's
    warm = WarmStarted(KernelLearner(views), codes[:300])
    cold = KernelLearner({name: rows[:400] for name, rows in views.items()})
    assert warm.n_items == 400
    assert warm.learn(np.arange(50), codes[300:350], 6, 0).shape == (400, 6)
    assert right(warm, codes[300:], 50) > right(cold, codes[300:], 50) + 0.05


def test_labels_that_meant_something_else_do_no_harm() -> None:
    texts, truth = sentences(700, 6, telling=3)
    codes = coded(truth)
    views = text_views([*texts[300:], *texts[:300]], "tfidf")
    misled = WarmStarted(KernelLearner(views), np.random.default_rng(0).permutation(codes[:300]))
    cold = KernelLearner(views)
    assert right(misled, codes[300:], 120) == pytest.approx(right(cold, codes[300:], 120), abs=0.02)


def test_the_loop_starts_warm_and_keeps_its_promise() -> None:
    texts, truth = sentences(900, 5, telling=2)
    learner = KernelLearner(text_views([*texts[300:], *texts[:300]], "tfidf"))
    outcome, state = played(WarmStarted(learner, np.zeros(300, int)), truth[300:], Goal(target=0.9))
    assert state.n_items == 600
    assert outcome.automated_accuracy is not None
    assert outcome.automated_accuracy >= 0.9


def test_earlier_labels_must_fit() -> None:
    learner = KernelLearner({"x": np.random.default_rng(0).normal(size=(10, 2))})
    for labels in (np.zeros(0, int), np.zeros(10, int), np.array([0, -1])):
        with pytest.raises(ParameterError, match="labels"):
            WarmStarted(learner, labels)
    assert State.new(3).n_labels == 0


def test_digits_from_pixels_and_by_a_network() -> None:
    images, codes = load_digits(return_X_y=True)
    images, codes = images[:500], codes[:500]
    square = images.reshape(-1, 8, 8)
    pixels = KernelLearner(image_views(square))
    network = CrossFitted("convnet", lambda seed: ConvNet((8, 8), seed, epochs=15), images, folds=2)
    for learner in (pixels, Stack([pixels, network])):
        scores = learner.learn(np.arange(200), codes[:200], 10, 0)
        assert (scores.argmax(axis=1)[200:] == codes[200:]).mean() > 0.85
    alone = network.learn(np.arange(200), codes[:200], 10, 0)
    np.testing.assert_array_equal(alone, network.learn(np.arange(200), codes[:200], 10, 0))


def test_images_that_are_none_are_refused() -> None:
    for images in (np.zeros((3, 4)), np.zeros((0, 8, 8)), np.full((2, 8, 8), np.nan)):
        with pytest.raises(ParameterError, match="images"):
            image_views(images)
    with pytest.raises(ParameterError, match="4 x 4"):
        ConvNet((2, 2))
