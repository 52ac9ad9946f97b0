"""The blend: content for what is new, personal for what is known, popular for nobody in particular."""

from __future__ import annotations

import numpy as np
import pytest

from palate.errors import BundleFormatError
from palate.models.blend import Blend
from palate.models.protocol import Arrays, Context
from tests.models.checkerboard import NAMES, SMALL, catalogue, fitted, interactions, people

NAME = NAMES["string"]


def blend(**values: object) -> Blend:
    model = Blend(**{**SMALL["blend"], **values})
    return model.fit(interactions(NAME), catalogue(NAME), people(NAME))


def test_untouched_items_are_ranked_among_the_others() -> None:
    ids = fitted("blend").recommend([NAME(3)], 12, exclude=None).ids()[0]
    assert set(ids) == {NAME(item) for item in range(12)}
    assert ids.index(NAME(11)) < ids.index(NAME(2))


def test_a_well_known_user_is_served_by_the_personal_part() -> None:
    model = blend(user_half=0.0, item_half=0.0, popular=0.0)
    touched = [NAME(item) for item in range(10)]
    mine = model.recommend([NAME(3)], 10, exclude=None, candidates=touched).scores
    personal = model.personal.recommend([NAME(3)], 10, exclude=None, candidates=touched).scores
    assert np.corrcoef(mine[0], personal[0])[0, 1] == pytest.approx(1, abs=1e-4)


def test_with_an_endless_half_it_is_content_alone() -> None:
    model = blend(user_half=1e9, popular=0.0)
    mine = model.recommend([NAME(3)], 12, exclude=None)
    content = model.content.recommend([NAME(3)], 12, exclude=None)
    assert np.corrcoef(mine.scores[0], content.scores[0])[0, 1] == pytest.approx(1, abs=1e-4)


def test_the_shorter_the_history_the_more_popularity_counts() -> None:
    model = blend()
    folded = model.fold_in_users([[NAME(3)], [NAME(item) for item in (1, 3, 5, 7, 9)]])
    found = model.recommend(folded, 12, exclude=None)
    short, long = dict(found.row(0)), dict(found.row(1))
    assert short[NAME(0)] - short[NAME(1)] > long[NAME(0)] - long[NAME(1)] > 0


def test_nobody_gets_the_popular_part_in_their_segment_if_known() -> None:
    model = blend()
    plain, segment = model.recommend(["a", "b"], 6, context=[Context(), Context(segment=1)]).ids()
    assert plain == model.popular.popular(6).ids()[0]
    assert segment == model.popular.popular(6, segment=1).ids()[0]


def test_only_stated_likings_are_answered_by_content_not_popularity() -> None:
    found = blend(popular=100.0).recommend(["nobody"], 3, context=Context(categories=("Comedy",)))
    assert found.personal[0]
    assert NAME(0) not in found.ids()[0]


def test_parts_of_another_kind_are_refused() -> None:
    arrays = fitted("blend").to_arrays()
    wrong = Arrays(arrays.params, arrays.arrays, arrays.ids, {**arrays.parts, "personal": fitted("content")})
    with pytest.raises(BundleFormatError, match="'personal' of a blend must be of kind als"):
        Blend.from_arrays(wrong)
