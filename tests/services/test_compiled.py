"""A compiled bundle behind the API answers every request as the one that it was made of."""

from __future__ import annotations

from dataclasses import replace

import pytest

from palate.bundle import publish_bundle, set_current

REQUESTS = [
    {"user": "a1"},
    {"user": "b3", "limit": 3, "offset": 2},
    {"user": "a2", "exclude": ["comedy-3"], "filter": 'category = "Comedy"'},
    {"user": "a2", "filter": 'item = "western-4"', "exclude_seen": False},
    {"user": "b5", "exclude_filter": 'category = "Western"', "exclude_seen": False},
    {"recent_items": ["western-1", "western-3"]},
    {"item": "comedy-1"},
    {"user": "nobody"},
]


@pytest.fixture
def bundles(tmp_path, als):
    """In turn: the model as it is, and each of its other forms."""
    root = tmp_path / "bundles"
    indexed = als.indexed()
    indexed.index = replace(indexed.index, caution=1.0)  # as cautious as it takes for every request
    for model in (als, als.compacted("int8"), als.compacted("float16"), indexed):
        publish_bundle(model, root)
    set_current(root, 1)
    return root


def test_every_form_answers_the_same(api, bundles):
    def answers():
        found = [api.call("POST", "/v1/recommendations", body) for body in REQUESTS]
        assert {answer.status_code for answer in found} == {200}
        many = api.call("POST", "/v1/recommendations/batch", {"users": ["a1", "b1", "nobody"], "limit": 6}).json
        lists = [answer.json["items"] for answer in found] + [answer["items"] for answer in many["answers"]]
        return [[(place["item"], place["strategy"], place["score"]) for place in places] for places in lists]

    expected = answers()
    assert {strategy for places in expected for _, strategy, _ in places} >= {"personal", "popular"}
    assert all(item.startswith("comedy") for item, _, _ in expected[2])
    assert "comedy-3" not in [item for item, _, _ in expected[2]]
    for number in (2, 3, 4):
        set_current(bundles, number)
        api.until(
            lambda version=f"{number:06}": api.get("/v1/users/a1/recommendations").json["model_version"] == version
        )
        for ours, theirs in zip(answers(), expected, strict=True):
            assert [place[1] for place in ours] == [place[1] for place in theirs]
            assert [place[2] for place in ours] == pytest.approx([place[2] for place in theirs], rel=1e-3, abs=1e-5)
            # of those that score nothing, to rounding, either may come first
            assert [place[0] for place in ours if place[2] > 0.01] == [place[0] for place in theirs if place[2] > 0.01]
