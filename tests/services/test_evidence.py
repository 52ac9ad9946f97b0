"""Click-through with its uncertainty, and tests that stay valid however often one looks: all simulated with a seed."""

from __future__ import annotations

import math

import numpy as np
import pytest

from services.variants import evidence
from services.variants.evidence import Loss, excess
from services.variants.rollouts import BACK, DONE, RUNNING, Bounds, Rollout, begun, looked, paused, resumed, shares
from services.variants.tallies import Tally

ENOUGH = math.log(1 / 0.05)


def test_click_through_is_the_posterior_of_a_uniform_prior():
    found = evidence.click_through(0, 0)
    assert (found.mean, found.low, found.high) == pytest.approx((0.5, 0.025, 0.975))
    draws = np.random.default_rng(0).beta(31, 971, 200_000)
    found = evidence.click_through(30, 1000)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(draws, [0.025, 0.975])), rel=0.01)


@pytest.mark.parametrize("counts", [[(50, 1000), (60, 1000), (10, 100)], [(0, 0), (1, 10)], [(5, 9)], [(3, 7), (3, 7)]])
def test_the_probability_of_being_best_is_that_of_draws(counts):
    rng = np.random.default_rng(1)
    draws = np.stack([rng.beta(1 + clicks, 1 + lists - clicks, 200_000) for clicks, lists in counts])
    wanted = np.bincount(draws.argmax(0), minlength=len(counts)) / draws.shape[1]
    assert evidence.best(counts) == pytest.approx(wanted.tolist(), abs=0.005)
    assert evidence.best([]) == []


def test_a_kept_bound_seldom_looks_broken_although_one_looks_all_the_time():
    rng = np.random.default_rng(2)
    bad = rng.binomial(20, 0.02, (400, 150)).cumsum(1)
    false = [any(excess(int(k), 20 * (at + 1), 0.02) >= ENOUGH for at, k in enumerate(run)) for run in bad]
    assert sum(false) <= 20  # 5 % of 400; without the correction for looking it is one in four and more
    naive = bad - 0.02 * 20 * np.arange(1, 151) > 1.645 * np.sqrt(0.0196 * 20 * np.arange(1, 151))
    assert naive.any(1).mean() > 0.25


def test_a_broken_bound_is_noticed():
    assert excess(3, 4, 0.01) >= ENOUGH
    rng = np.random.default_rng(3)
    bad = rng.binomial(10, 0.06, (100, 100)).cumsum(1)
    assert all(any(excess(int(k), 10 * (at + 1), 0.02) >= ENOUGH for at, k in enumerate(run)) for run in bad)


def block(rng, own, base):
    return int(rng.binomial(15, own)), 15, int(rng.binomial(45, base)), 45


def lost(rng, own, base, share, blocks):
    loss = Loss(share)
    for _ in range(blocks):
        loss = loss.after(*block(rng, own, base))
        if loss.log >= ENOUGH:
            return True
    return False


def test_a_click_through_at_its_bound_is_seldom_called_lost():
    rng = np.random.default_rng(4)
    assert sum(lost(rng, 0.09, 0.1, 0.9, 60) for _ in range(250)) <= 12


def test_a_click_through_that_fell_is_called_lost():
    rng = np.random.default_rng(5)
    assert sum(lost(rng, 0.04, 0.1, 0.9, 200) for _ in range(20)) == 20


@pytest.mark.parametrize("share", [0.5, 0.9, 1.0])
def test_one_more_block_is_expected_to_add_nothing_where_the_bound_is_kept(share):
    rng = np.random.default_rng(6)
    start = Loss(share, clicks=20, lists=500, base_clicks=100, base_lists=1000)
    for rate in (share * 0.1, 0.1):
        grown = [math.exp(start.after(*block(rng, rate, 0.1)).log) for _ in range(1500)]
        assert np.mean(grown) < 1 + 3 * np.std(grown) / math.sqrt(len(grown))


def test_nothing_is_concluded_from_one_side_or_without_clicks():
    assert Loss(0.9).after(0, 50, 0, 50).after(0, 10_000, 0, 50).log == 0
    assert Loss(0.9, clicks=1, lists=2).after(0, 50, 0, 0).log == 0
    assert Loss(0.9, clicks=1, lists=2, base_clicks=1, base_lists=1).after(7, 3, 1, 1).lists == 5


# -- roll-outs ---------------------------------------------------------------------------------------------------------


def started(bounds=Bounds(), steps=(0.1, 0.5, 1.0), seconds=60.0, **more):  # noqa: B008
    return begun("canary", "new", steps, seconds, bounds, {"old": 3.0, "new": 1.0}, 1000.0, **more)


def tally(requests, errors=0, slow=0):
    return Tally(requests, requests, errors, latencies=(requests - slow, *[0] * 21, slow))


def test_a_tenth_is_told_as_a_tenth():
    assert shares({"old": 9.0, "new": 1.0}, "new", 0.1) == {"old": 0.9, "new": 0.1}


def test_it_goes_on_step_by_step_and_ends():
    found = started()
    assert found.weights == {"old": pytest.approx(0.9), "new": pytest.approx(0.1)}
    assert looked(found, tally(10), [], 1030.0).step == 0
    for at, step in ((1061.0, 1), (1122.0, 2)):
        found = looked(found, tally(10), [], at)
        assert (found.step, found.state) == (step, RUNNING)
    assert found.weights == {"old": 0.0, "new": 1.0}
    assert looked(found, tally(10), [], 1181.0).state == RUNNING
    assert looked(found, tally(10), [], 1183.0).state == DONE


def test_it_waits_for_the_requests_it_was_told():
    found = started(least=100)
    assert looked(found, tally(99), [], 5000.0).step == 0
    assert looked(found, tally(100), [], 5000.0).step == 1


def test_a_pause_does_not_count_for_the_time_of_a_step():
    found = paused(looked(started(), tally(10), [], 1040.0), 1040.0)
    assert paused(found, 1050.0) == found
    found = looked(found, tally(10), [], 5000.0)
    assert (found.step, found.standing) == (0, "paused")
    found = resumed(found, 5000.0)
    assert looked(found, tally(10), [], 5019.0).step == 0
    assert looked(resumed(found, 9999.0), tally(10), [], 5021.0).step == 1
    further = looked(found, tally(10), [], 5021.0)
    assert looked(further, tally(10), [], 5080.0).step == 1  # the next step has all of its time
    assert looked(paused(further, 5030.0), tally(20, errors=10), [], 5090.0).state == BACK


@pytest.mark.parametrize(
    ("bounds", "own", "reason"),
    [
        (Bounds(), tally(20, errors=10), "10 of 20 requests failed"),
        (Bounds(errors=None, slow_ms=100), tally(40, slow=20), "20 of 40 requests took longer than 100 ms"),
    ],
)
def test_a_broken_bound_rolls_back(bounds, own, reason):
    found = looked(started(bounds), own, [], 1010.0)
    assert found.state == BACK
    assert reason in found.reason
    assert found.weights == {"old": 3.0, "new": 1.0}
    assert looked(started(bounds), tally(40), [], 1010.0).state == RUNNING


def test_a_lost_click_through_rolls_back_and_a_kept_one_does_not():
    bounds = Bounds(errors=None, click_through=0.9)
    blocks = [(Tally(lists=100, clicks=2), Tally(lists=300, clicks=30))] * 6
    assert looked(started(bounds), tally(0), blocks, 1010.0).state == BACK
    blocks = [(Tally(lists=100, clicks=10), Tally(lists=300, clicks=30))] * 6
    assert looked(started(bounds), tally(0), blocks, 1010.0).state == RUNNING


def test_a_roll_out_survives_being_stored():
    found = looked(started(Bounds(click_through=0.8)), tally(3), [(Tally(lists=5, clicks=1), Tally(lists=5))], 1010.0)
    assert Rollout.of(found.document()) == found


def test_of_good_variants_few_are_rolled_back():
    """All three bounds watched, a variant that is exactly at each of them, looked at in every slot of three steps."""
    rng = np.random.default_rng(7)
    bounds = Bounds(errors=0.02, slow_ms=100, slow=0.05, click_through=0.9, risk=0.1)
    back = 0
    for _ in range(120):
        found, now = started(bounds, steps=(0.2, 0.5, 1.0), seconds=200.0), 1000.0
        own, step = tally(0), 0
        while found.state == RUNNING:
            now += 10
            if found.step != step:
                own, step = tally(0), found.step
            own += tally(15, errors=int(rng.binomial(15, 0.02)), slow=int(rng.binomial(15, 0.05)))
            clicks, lists, base_clicks, base_lists = block(rng, 0.09, 0.1)
            blocks = [(Tally(lists=lists, clicks=clicks), Tally(lists=base_lists, clicks=base_clicks))]
            found = looked(found, own, blocks, now)
        back += found.state == BACK
    assert back <= 12
