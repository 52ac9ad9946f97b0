"""Popularity: overall, in a segment, in time; and what appeared last."""

from __future__ import annotations

import pyarrow as pa
import pytest

from palate.dataset.ids import IdMap
from palate.dataset.schema import Interactions, Users
from palate.errors import NotFittedError, ParameterError, SchemaError
from palate.models.als import ALS
from palate.models.popularity import Popularity
from palate.models.protocol import Context
from tests.models.checkerboard import NAMES, fitted

DAY = 86_400
ROWS = [  # "old" was liked by four users long ago, "new" by two just now, "both" by one then and now
    *[(f"u{user}", "old", 0) for user in range(4)],
    *[(f"u{user}", "new", 100 * DAY) for user in range(4, 6)],
    *[("u0", "both", 0), ("u0", "both", 100 * DAY), ("u0", "both", 50 * DAY)],
]


def data() -> Interactions:
    users, items, times = zip(*ROWS, strict=True)
    return Interactions.from_ids(users, items, None, times)


def test_a_user_counts_once_per_item() -> None:
    assert Popularity().fit(data()).popular(3).row(0) == [("old", 4), ("new", 2), ("both", 1)]


def test_of_a_models_own_pairs_it_ranks_as_if_fitted_to_them() -> None:
    known = data()
    model = ALS(factors=2, iterations=1).fit(known)
    found, fitted_anew = Popularity.of_model(model), Popularity().fit(known)
    assert found.popular(3).row(0) == fitted_anew.popular(3).row(0)
    assert found.seen.data is model.seen.data
    assert found.latest(3).row(0) == [], "no times are known"
    with_segments = found.with_segments(["u1"], [7])
    assert with_segments.recommend(["nobody"], 1, context=Context(segment=7)).personal.all()


def test_decay_halves_what_is_a_half_life_old() -> None:
    found = dict(Popularity(half_life_days=50, floor=0.0).fit(data()).popular(3).row(0))
    assert found == pytest.approx({"new": 2, "old": 4 / 4, "both": 1})


def test_all_time_favourites_return_as_the_data_grows_stale() -> None:
    model = Popularity(half_life_days=10, floor=0.05).fit(data())
    assert model.popular(1, now=100 * DAY).ids() == [["new"]]
    assert model.popular(1, now=1000 * DAY).ids() == [["old"]]
    assert model.popular(3, now=0).row(0) == model.popular(3).row(0)  # a clock that is behind changes nothing
    both = model.recommend(["x", "y"], 1, context=[Context(now=100.0 * DAY), Context(now=1000.0 * DAY)])
    assert both.ids() == [["new"], ["old"]]


def test_segments_given_afterwards() -> None:
    model = Popularity().fit(data())
    assert not model.popular(1, segment=7).personal[0]
    later = model.with_segments(["u4", "u5", "u0", "nobody"], [7, 7, 3, 7])
    assert later.popular(3, segment=7).ids() == [["new", "old", "both"]]
    assert later.popular(3, segment=3).ids()[0][:2] == ["old", "both"]
    assert later.popular(1, segment=4).ids() == [["old"]]
    assert not model.popular(1, segment=7).personal[0]
    with pytest.raises(ParameterError, match="1 segments for 2 users"):
        model.with_segments(["u4", "u5"], [7])


def test_decay_counts_in_segments_too() -> None:
    model = Popularity(half_life_days=10, floor=0.0).fit(data()).with_segments(["u0"], [3])
    assert model.popular(1, segment=3).ids() == [["both"]]


def test_segments_from_the_users_attributes() -> None:
    attributes = ['{"team": 2}', '{"team": "x"}', None, "{}", '{"team": true}']
    users = Users(IdMap(["u4", "u0", "u1", "u2", "elsewhere"]), pa.table({"attributes": attributes}))
    model = Popularity(segment_attribute="team").fit(data(), users=users)
    assert model.segment_ids.tolist() == [2]
    assert model.popular(1, segment=2).ids() == [["new"]]
    broken = Users(IdMap(["u4"]), pa.table({"attributes": ["[team]"]}))
    with pytest.raises(SchemaError, match="users:0:attributes"):
        Popularity(segment_attribute="team").fit(data(), users=broken)


def test_latest() -> None:
    assert Popularity().fit(data()).latest(5).ids() == [["new", "both", "old"]]
    name = NAMES["string"]
    model = fitted("popularity")
    assert isinstance(model, Popularity)
    assert model.latest(2).row(0) == [(name(11), 11 * DAY), (name(10), 10 * DAY)]
    assert model.latest(2, candidates=[name(3), name(5), "nothing"]).ids() == [[name(5), name(3)]]
    undated = Popularity().fit(Interactions.from_ids(["u"], ["x"]))
    assert undated.latest(3).ids() == [[]]


def test_popular_among_candidates() -> None:
    assert Popularity().fit(data()).popular(5, candidates=["both", "new"]).ids() == [["new", "both"]]


@pytest.mark.parametrize("n", [0, -1, 10**9, "5"])
def test_wrong_n(n: object) -> None:
    model = Popularity().fit(data())
    for ask in (model.popular, model.latest):
        with pytest.raises(ParameterError, match="at least 1"):
            ask(n)  # type: ignore[arg-type]


def test_not_fitted() -> None:
    for ask in (Popularity().popular, Popularity().latest):
        with pytest.raises(NotFittedError):
            ask(3)


def test_a_segment_beyond_64_bits_is_refused() -> None:
    users = Users(IdMap(["a"]), pa.table({"attributes": pa.array([f'{{"segment": {2**70}}}'], pa.large_string())}))
    with pytest.raises(SchemaError, match="64 bits") as caught:
        Popularity().fit(Interactions.from_ids(["a"], ["x"]), None, users)
    assert caught.value.where == "users:0:segment"
