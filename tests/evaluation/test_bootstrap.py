"""Bootstrap intervals: seeded, around the mean, as wide as theory says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palate.evaluation.bootstrap import intervals


@pytest.mark.parametrize("n", [400, 30_000])
def test_intervals_have_the_width_of_the_normal_ones(n):
    """Both ways of drawing (multinomial, Poisson) agree with 1.96 standard errors on well-behaved data."""
    values = np.random.default_rng(3).normal(5, 2, n)
    low, high = intervals({"x": values}, seed=1)["x"]
    assert low < values.mean() < high
    assert high - low == pytest.approx(2 * 1.96 * values.std() / np.sqrt(n), rel=0.1)


def test_same_seed_same_intervals():
    values = {"a": np.random.default_rng(0).random(50)}
    assert intervals(values, seed=4) == intervals(values, seed=4)
    assert intervals(values, seed=4) != intervals(values, seed=5)


def test_the_intervals_hold_the_truth_about_as_often_as_promised():
    rng = np.random.default_rng(7)
    held = 0
    for trial in range(200):
        low, high = intervals({"x": rng.random(80)}, seed=trial, resamples=300)["x"]
        held += low <= 0.5 <= high
    assert 0.88 <= held / 200 <= 0.99


def test_users_left_out_are_left_out():
    values = np.array([1.0, np.nan, 1.0])
    assert intervals({"x": values, "y": np.array([0.0, 0.0, 0.0])}) == {"x": (1.0, 1.0), "y": (0.0, 0.0)}
    assert np.isnan(intervals({"x": np.array([np.nan])})["x"]).all()
    assert np.isnan(intervals({"x": np.array([])})["x"]).all()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.integers(0, 2**31))
def test_intervals_stay_within_the_values(values, seed):
    low, high = intervals({"x": np.array(values)}, seed=seed, resamples=50)["x"]
    assert min(values) - 1e-6 <= low <= high <= max(values) + 1e-6
