"""Rules of a request and of the deployment: what is kept in or out, lifted, spread and pinned; and what hides."""

from __future__ import annotations

import time

import pytest
from services_world import COMEDIES, ITEMS, WESTERNS


def places(api, status=200, **body):
    answer = api.call("POST", "/v1/recommendations", body)
    assert answer.status_code == status, answer.text
    return answer.json["items"]


def shown(api, **body):
    return [place["item"] for place in places(api, **{"limit": 200, **body})]


def paged(api, offsets, **body):
    """Pages of two, one after the other."""
    return [place["item"] for at in offsets for place in places(api, limit=2, offset=at, **body)]


def test_include_and_exclude_by_id_and_by_filter(shared_api):
    assert set(shown(shared_api, include=["comedy-1", "western-1", "nothing"])) == {"comedy-1", "western-1"}
    assert shown(shared_api, include=["comedy-1", "western-1"], exclude=["western-1"]) == ["comedy-1"]
    assert set(shown(shared_api, exclude_filter='category = "Comedy"')) == set(WESTERNS)
    assert set(shown(shared_api, filter='category = "Comedy"', exclude_filter="timestamp > 2000000")) == {"comedy-0"}
    assert shown(shared_api, include=["nothing"]) == []


@pytest.mark.parametrize("who", [{"user": "b1"}, {"recent_items": ["western-1"]}, {"item": "western-1"}, {}])
def test_boosting_lifts_and_burying_lowers_whatever_the_strategy(shared_api, who):
    before = shown(shared_api, **who)
    last = before[-1] if who in ({}, {"user": "b1"}) else [item for item in before if item in WESTERNS][-1]
    up = shown(shared_api, **who, boost=[{"filter": f'item = "{last}"', "factor": 100}])
    down = shown(shared_api, **who, boost=[{"filter": f'item = "{before[0]}"', "factor": 0.01}])
    assert set(up) == set(down) == set(before)
    assert up.index(last) <= before.index(last)
    assert down.index(before[0]) > 0
    both = [{"filter": "available", "factor": 4}, {"filter": "available", "factor": 0.25}]
    assert shown(shared_api, **who, boost=both) == before


def test_a_boost_reaches_what_was_far_below_the_list(shared_api):
    before = shown(shared_api)
    assert before[-1] not in before[:3]
    third = before[15]
    assert third in shown(shared_api, limit=3, boost=[{"filter": f'item = "{third}"', "factor": 100}])


def test_at_most_so_many_of_each_category(shared_api):
    for most in (1, 3):
        found = shown(shared_api, user="b1", max_per_category=most)
        assert [sum(item in kind for item in found) for kind in (WESTERNS, COMEDIES)] == [most, most]
    whole = shown(shared_api, user="b1", max_per_category=3)
    assert paged(shared_api, (0, 2, 4), user="b1", max_per_category=3) == whole


def test_diversity_mixes_and_its_pages_fit_together(shared_api):
    def westerns(diversity):
        found = shown(shared_api, user="b1", limit=6, diversity=diversity)
        return sum(item in WESTERNS for item in found)

    assert westerns(0) == len(set(WESTERNS) & set(shown(shared_api, user="b1", limit=6)))
    assert westerns(0.8) < westerns(0)
    whole = shown(shared_api, user="b1", diversity=0.6)
    assert sorted(whole) == sorted(shown(shared_api, user="b1"))
    assert paged(shared_api, (0, 2, 4, 6), user="b1", diversity=0.6) == whole[:8]


def test_pins_stand_where_they_are_put(shared_api):
    plain = shown(shared_api, user="b1", limit=5)
    pins = [{"item": "comedy-1", "position": 2}, {"item": plain[0], "position": 4}, {"item": "none", "position": 1}]
    found = places(shared_api, user="b1", limit=5, pins=pins)
    assert (found[1]["item"], found[3]["item"]) == ("comedy-1", plain[0])
    assert (found[1]["strategy"], found[1]["why"], found[1]["score"]) == ("pinned", {"because": "pinned"}, None)
    assert [place["item"] for place in found[:3:2]] == plain[1:3]
    late = [{"item": "comedy-1", "position": 9}]
    assert shown(shared_api, include=["western-1", "comedy-1"], pins=late) == ["western-1", "comedy-1"]
    second = places(shared_api, user="b1", limit=2, offset=1, pins=pins)
    assert second[0]["item"] == "comedy-1"
    assert "comedy-1" not in shown(shared_api, pins=pins, filter='category = "Western"')
    assert "comedy-1" not in shown(shared_api, pins=pins, item="comedy-1")


def test_what_counts_as_seen_is_told_by_kind_and_age(api):
    now = time.time()
    for number, (kind, age) in enumerate([("view", 0), ("purchase", 1), ("purchase", 40)]):
        event = {"user": "u", "item": f"western-{number}", "kind": kind, "timestamp": now - age * 86_400}
        assert api.call("POST", "/v1/events", event).status_code == 201

    def seen(rule):
        return {"western-0", "western-1", "western-2"} - set(shown(api, user="u", exclude_seen=rule))

    assert seen(True) == {"western-0", "western-1", "western-2"}
    assert seen(False) == set()
    assert seen({"kinds": ["purchase"]}) == {"western-1", "western-2"}
    assert seen({"kinds": ["purchase"], "days": 30}) == {"western-1"}
    assert seen({"days": 30}) == {"western-0", "western-1"}
    assert seen({}) == {"western-0", "western-1", "western-2"}
    assert api.call("PUT", "/v1/rules", {"exclude_seen": {"kinds": ["purchase"], "days": 30}}).status_code == 200
    api.until(lambda: seen(None) == {"western-1"})
    api.call("POST", "/v1/events", {"user": "u", "item": "western-0", "kind": "purchase"})
    assert seen(None) == {"western-0", "western-1"}
    assert seen(True) == {"western-0", "western-1", "western-2"}


def test_the_deployments_rules_stand_behind_every_request(api):
    rules = {
        "filter": 'category = "Western"',
        "exclude": ["western-1"],
        "pins": [{"item": "western-5", "position": 1}],
        "max_per_category": 4,
    }
    put = api.call("PUT", "/v1/rules", rules)
    assert (put.status_code, put.json["filter"], put.json["diversity"]) == (200, rules["filter"], None)
    assert api.get("/v1/rules").json == put.json
    api.until(lambda: shown(api)[0] == "western-5")
    for path in (
        "/v1/users/a1/recommendations",
        "/v1/items/popular",
        "/v1/items/latest",
        "/v1/items/western-3/similar",
    ):
        found = api.items(f"{path}?limit=50")
        assert found[0] == ("western-5", "pinned"), path
        assert len(found) == 4
        assert {item for item, _ in found} <= set(WESTERNS) - {"western-1"}
    own = [{"item": "western-7", "position": 1}]
    assert shown(api, pins=own, max_per_category=200, include=["western-5", "western-7"]) == ["western-7", "western-5"]
    assert shown(api, include=["western-1", "comedy-1"]) == []
    assert api.call("PUT", "/v1/rules", {}).status_code == 200
    api.until(lambda: set(shown(api)) == set(ITEMS))


def test_a_standing_rule_about_an_attribute_that_went_away_takes_nothing_down(api):
    api.call("PUT", "/v1/items/comedy-1", {"categories": ["Comedy"], "attributes": {"price": 3}})
    rules = {"boost": [{"filter": "price < 5", "factor": 10}]}
    api.until(lambda: api.call("PUT", "/v1/rules", rules).status_code == 200)
    api.call("PUT", "/v1/items/comedy-1", {"categories": ["Comedy"]})
    api.until(lambda: places(api, limit=1) and "price" not in api.live.served.catalogue.columns.known())
    assert len(shown(api)) == len(ITEMS)
    assert api.call("PUT", "/v1/rules", rules).json["errors"][0]["field"] == "boost.0.filter, at 1"


def test_hidden_items_appear_nowhere(api):
    hidden = {"western-2", "western-3"}
    body = {"title": "W", "categories": ["Western"], "timestamp": 9_000_000}
    api.call("PUT", "/v1/items/western-2", {**body, "available": False})
    api.call("DELETE", "/v1/items/western-3")
    api.until(lambda: api.live.served.catalogue.barred.sum() == 2)
    pins = [{"item": item, "position": at + 1} for at, item in enumerate(sorted(hidden))]
    for who in ({"user": "b1", "exclude_seen": False}, {"recent_items": ["western-1"]}, {"item": "western-1"}, {}):
        for rules in ({}, {"diversity": 0.5}, {"boost": [{"filter": 'item = "western-2"', "factor": 100}]}):
            found = shown(api, **who, **rules, pins=pins)
            assert found
            assert not hidden & set(found)
    for path in ("popular", "latest", "western-1/similar"):
        assert not hidden & {item for item, _ in api.items(f"/v1/items/{path}?limit=200")}
