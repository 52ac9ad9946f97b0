"""What choices are made on: cut in several ways, each looking ahead where there are times."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from palate.models.validation import FEWEST, cuts_of
from tests.models.test_recency import LENGTH, drifting


def test_each_cut_looks_ahead_from_an_earlier_moment() -> None:
    data = drifting(60)
    cuts = cuts_of(data, 0.25, 0, 3)
    assert len(cuts) == 3
    for at, cut in enumerate(cuts):
        assert cut.train.timestamps is not None
        assert cut.held.timestamps is not None
        first, last = (np.full(60, end) for end in (LENGTH, -1))
        np.minimum.at(first, cut.held.user_codes, cut.held.timestamps.astype(int))
        np.maximum.at(last, cut.train.user_codes, cut.train.timestamps.astype(int))
        assert (first > last).all()
        rest = data if at == 0 else cuts[at - 1].train
        assert len(cut.train) + len(cut.held) == len(rest)


def test_without_times_each_cut_draws_its_own_share() -> None:
    data = replace(drifting(60), timestamps=None)
    first, second = cuts_of(data, 0.25, 0, 2)
    assert len(first.train) == len(second.train) == len(data) - len(first.held)
    assert first.held.fingerprint != second.held.fingerprint
    again = cuts_of(data, 0.25, 0, 2)
    assert [each.held.fingerprint for each in again] == [each.held.fingerprint for each in (first, second)]


def test_too_few_users_are_no_measure() -> None:
    assert cuts_of(drifting(FEWEST - 1), 0.25, 0, 3) == []
