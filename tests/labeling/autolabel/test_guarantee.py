"""The estimate is fair although hard items were asked for, and the bound holds as often as it says."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logit

from labeling.autolabel.guarantee import Calibration, Evidence, interval, lower_bound, odds_weights
from labeling.autolabel.noise import Reference
from labeling.autolabel.queries import Chances, draw


def asked_for_hard_items(seed: int, n: int = 4000, rounds: int = 6) -> tuple[Evidence, float]:
    """Evidence after rounds that favour doubt, of a model whose confidence is off; and the truth about the pool."""
    rng = np.random.default_rng(seed)
    claimed = rng.beta(6, 1, n)
    right = rng.random(n) < claimed**1.5
    asked, survival = np.zeros(n, dtype=bool), np.ones(n)
    for _ in range(rounds):
        pool = np.flatnonzero(~asked)
        chances = Chances(claimed[pool], 80)(claimed)
        asked[pool[draw(chances[pool], rng)]] = True
        survival *= 1 - chances
    weights, outcome = odds_weights(survival[asked]), right[asked].astype(float)
    given = logit(np.clip(claimed, 1e-4, 1 - 1e-4))[:, None]
    confidence = Calibration.fit(given[asked], outcome, weights)(given)
    return Evidence(confidence[~asked], confidence[asked], outcome, weights), float(right[~asked].mean())


def test_the_pools_accuracy_is_estimated_without_bias_and_bounded_as_surely_as_stated() -> None:
    off, broken = [], 0
    for seed in range(120):
        evidence, truth = asked_for_hard_items(seed)
        promise = evidence.promise(0.0, 0.9)
        off.append(promise.accuracy - truth)
        broken += promise.bound > truth
    assert abs(np.mean(off)) < 3 * np.std(off) / np.sqrt(len(off)) + 0.002
    assert broken <= 20  # 12 expected; more than 20 has a probability of 1 %


def test_what_was_asked_is_no_fair_sample_by_itself() -> None:
    evidence, truth = asked_for_hard_items(0)
    assert evidence.right.mean() < truth - 0.05


def test_a_higher_target_is_promised_for_fewer_items() -> None:
    evidence, _ = asked_for_hard_items(1)
    promises = [evidence.widest(target, 0.95) for target in (0.6, 0.8, 0.85)]
    counts = [promise.items if promise else 0 for promise in promises]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] == len(evidence.pool) > counts[-1]
    assert evidence.widest(0.9999, 0.95) is None


def test_few_answers_promise_little_even_if_all_are_right() -> None:
    few = Evidence(np.full(500, 0.99), np.full(30, 0.99), np.ones(30), np.ones(30))
    many = Evidence(np.full(500, 0.99), np.full(600, 0.99), np.ones(600), np.ones(600))
    assert few.widest(0.95, 0.95) is None
    assert many.widest(0.95, 0.95) is not None


def test_bounds_are_clopper_and_pearsons() -> None:
    assert lower_bound(1.0, 59, 0.95) == pytest.approx(0.05 ** (1 / 59))
    assert interval(95, 100) == pytest.approx((0.8872, 0.9836), abs=1e-4)
    assert interval(0, 10)[0] == 0.0
    assert interval(10, 10)[1] == 1.0


def test_draws_have_the_chances_they_are_given() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.beta(5, 1, 300)
    chances = Chances(confidence, 40)(confidence)
    assert chances.sum() == pytest.approx(40, rel=0.01)
    assert chances.min() > 0
    counts = np.zeros(300)
    for _ in range(3000):
        counts[draw(chances, rng)] += 1
    np.testing.assert_allclose(counts / 3000, chances, atol=0.04)
    assert len(draw(np.ones(7), rng)) == 7
    assert len(draw(np.zeros(7), rng)) == 0


@pytest.mark.parametrize("confidence", [np.ones(50), np.full(50, 0.3), np.append(np.ones(49), 0.0)])
def test_chances_add_up_however_sure_the_model_is(confidence: np.ndarray) -> None:
    assert Chances(confidence, 10)(confidence).sum() == pytest.approx(10, rel=0.05)


def test_what_people_err_about_is_taken_into_account() -> None:
    noisy = Reference(0.9, 4)
    assert noisy.agreement(1.0) == pytest.approx(0.9)
    assert noisy.accuracy(noisy.agreement(0.95)) == pytest.approx(0.95)
    assert Reference().agreement(0.95) == 0.95
    assert 0 <= Reference(0.2, 5).accuracy(0.5) <= 1
