"""Splits: they part the rows, keep the maps, repeat themselves, and say so where they can't."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from palate.dataset import (
    Interactions,
    Split,
    cold_items,
    cold_users,
    leave_last_fraction,
    leave_last_out,
    random_split,
    split,
    time_split,
)
from palate.dataset.splits import METHODS
from palate.errors import ParameterError, SchemaError

ROWS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 15), st.integers(0, 30)), min_size=1, max_size=120)


def interactions_of(rows: list[tuple[int, int, int]]) -> Interactions:
    """The weight is the row's number, so that rows can be told apart."""
    users, items, times = zip(*rows, strict=True)
    return Interactions.from_ids(users, items, weights=range(len(rows)), timestamps=times)


def numbers(side: Interactions) -> list[int]:
    assert side.weights is not None
    return [int(number) for number in side.weights]


def attempt(interactions: Interactions, method: str, **values: Any) -> Split:
    """The split, or for data too small for it a case that hypothesis does not count."""
    try:
        return split(interactions, method, **values)
    except SchemaError as error:
        assume("leave nothing" not in str(error))
        raise


@given(ROWS, st.sampled_from(sorted(METHODS)))
def test_every_split_parts_the_rows_keeps_order_and_maps_and_repeats_itself(rows: Any, method: str) -> None:
    whole = interactions_of(rows)
    parted = attempt(whole, method)
    train, test = numbers(parted.train), numbers(parted.test)
    assert sorted(train + test) == list(range(len(rows)))
    assert train == sorted(train)
    assert test == sorted(test)
    assert train
    assert test
    for side in (parted.train, parted.test):
        assert side.users is whole.users
        assert side.items is whole.items
    again = split(whole, method)
    assert (numbers(again.train), numbers(again.test)) == (train, test)


@given(ROWS, st.integers(0, 5), st.floats(0.05, 0.9))
def test_cold_items_and_users_are_never_in_training(rows: Any, seed: int, holdout: float) -> None:
    whole = interactions_of(rows)
    items = attempt(whole, "cold_items", holdout=holdout, seed=seed)
    assert not set(items.train.item_codes) & set(items.test.item_codes)
    users = attempt(whole, "cold_users", holdout=holdout, seed=seed)
    assert not set(users.train.user_codes) & set(users.test.user_codes)


@given(ROWS, st.floats(0.05, 0.9))
def test_the_last_part_of_each_history_is_later_and_of_the_share_asked(rows: Any, fraction: float) -> None:
    whole = interactions_of(rows)
    parted = attempt(whole, "leave_last_fraction", fraction=fraction)
    for user in np.unique(whole.user_codes):
        kept = parted.train.timestamps[parted.train.user_codes == user]  # type: ignore[index]
        held = parted.test.timestamps[parted.test.user_codes == user]  # type: ignore[index]
        n = len(kept) + len(held)
        assert len(kept) >= 1
        assert len(held) == min(max(int(n * fraction + 1e-9), 1), n - 1)
        if len(held):
            assert kept.max() <= held.min()


@given(ROWS, st.integers(1, 4))
def test_leave_last_out_holds_n_of_each_user_who_has_more(rows: Any, n: int) -> None:
    whole = interactions_of(rows)
    parted = attempt(whole, "leave_last_out", n=n)
    counts = np.bincount(whole.user_codes)
    assert np.bincount(parted.test.user_codes, minlength=len(counts)).tolist() == np.minimum(n, counts - 1).tolist()


@given(ROWS, st.randoms())
def test_ties_fall_the_same_way_whatever_the_order_of_the_file(rows: Any, random: Any) -> None:
    rows = sorted(set(rows))
    shuffled = random.sample(rows, len(rows))

    def held(order: list[Any]) -> set[Any]:
        return {order[number] for number in numbers(attempt(interactions_of(order), "leave_last_fraction").test)}

    assert held(rows) == held(shuffled)


@given(ROWS)
def test_time_split_has_nothing_in_training_after_the_first_of_testing(rows: Any) -> None:
    parted = attempt(interactions_of(rows), "time")
    assert parted.train.timestamps.max() < parted.test.timestamps.min()  # type: ignore[union-attr]


def test_a_fifth_of_ten_is_two_and_a_single_interaction_stays_in_training() -> None:
    whole = interactions_of([(1, item, item) for item in range(10)] + [(2, 3, 99)])
    parted = leave_last_fraction(whole, 0.2)
    assert numbers(parted.test) == [8, 9]
    assert numbers(leave_last_out(whole).test) == [9]
    assert numbers(time_split(whole, at=8).test) == [8, 9, 10]


def test_another_seed_gives_another_split() -> None:
    whole = interactions_of([(user, item, 0) for user in range(10) for item in range(16)])
    for method in (random_split, cold_items, cold_users):
        assert numbers(method(whole, seed=1).test) != numbers(method(whole, seed=2).test)
    assert len(random_split(whole, 0.25).test) == 40
    assert len(np.unique(cold_items(whole, 0.25).test.item_codes)) == 4


@pytest.mark.parametrize("share", [0, 1, -0.1, 1.5, float("nan")])
def test_shares_outside_zero_to_one_are_refused(share: float) -> None:
    whole = interactions_of([(1, 1, 1), (1, 2, 2), (2, 1, 1)])
    for method, name in (
        ("random", "test"),
        ("leave_last_fraction", "fraction"),
        ("time", "fraction"),
        ("cold_items", "holdout"),
        ("cold_users", "holdout"),
    ):
        with pytest.raises(ParameterError, match="between 0 and 1") as caught:
            split(whole, method, **{name: share})
        assert caught.value.where == name


def test_splits_by_time_need_timestamps() -> None:
    whole = Interactions.from_ids([1, 1], [1, 2])
    for method in ("leave_last_out", "leave_last_fraction", "time"):
        with pytest.raises(SchemaError, match="no timestamps"):
            split(whole, method)


def test_data_too_small_for_a_split_is_an_error_that_says_so() -> None:
    one = interactions_of([(1, 1, 1)])
    for method in METHODS:
        with pytest.raises(SchemaError, match="leave nothing for"):
            split(one, method)
    empty = one.take(np.array([False]))
    for method in METHODS:
        with pytest.raises(SchemaError):
            split(empty, method)
    with pytest.raises(SchemaError, match="leave nothing for training"):
        time_split(one, at=0)


def test_unknown_names_and_parameters_are_refused_with_those_known() -> None:
    whole = interactions_of([(1, 1, 1), (1, 2, 2)])
    with pytest.raises(ParameterError, match="Known: random"):
        split(whole, "weekly")
    with pytest.raises(ParameterError, match=r"no parameter 'share'\. It has: test, seed"):
        split(whole, "random", share=0.1)
    with pytest.raises(ParameterError, match="at least 1"):
        leave_last_out(whole, n=0)
    with pytest.raises(ParameterError, match="not both"):
        time_split(whole, fraction=0.5, at=1)
