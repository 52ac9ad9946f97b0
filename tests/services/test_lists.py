"""The other lists: trending, of a session, a given list in order, next pages, many users at once; explanations."""

from __future__ import annotations

import time

import pytest
from services_world import COMEDIES, ITEMS, WESTERNS

from palate.dataset.ids import IdMap
from services.recommender.answers import Answers, RankedOut, Recommended
from services.recommender.catalogue import Catalogue
from services.recommender.store import Event
from services.recommender.trends import Trends

DAY = 86_400


def happened(item, count, days, **more):
    now = time.time()
    return [Event(f"{item}-{days}-{at}-{more}", "u", item, timestamp=now - days * DAY, **more) for at in range(count)]


def test_what_is_done_more_than_usual_trends(store):
    catalogue = Catalogue.of(IdMap(list("abcdef")))
    trends = Trends(store.activity, 24)
    assert len(trends.ranked(catalogue)[0]) == 0
    usual = [event for item in "abcd" for event in happened(item, 20, 10)]
    store.add_events([*usual, *happened("a", 40, 0), *happened("b", 4, 0), *happened("c", 4, 0)])
    store.add_events([*happened("e", 9, 0), *happened("f", 30, 0, weight=-1.0), *happened("gone", 50, 0)])
    trends = Trends(store.activity, 24)
    codes, scores = trends.ranked(catalogue)
    assert [catalogue.entries[code]["item"] for code in codes] == ["e", "a"]
    assert scores.tolist() == sorted(scores.tolist(), reverse=True)
    whole = Trends(store.activity, 24)
    store.add_events(happened("d", 60, 0.01))
    trends._looked = float("-inf")
    for each in (trends, whole):
        assert "d" in [catalogue.entries[code]["item"] for code in each.ranked(catalogue)[0]]
    assert trends.ranked(catalogue)[1] == pytest.approx(whole.ranked(catalogue)[1], rel=1e-3)


def test_trending_items_are_listed_under_the_rules(api):
    now = time.time()
    events = [{"user": "u", "item": item, "timestamp": now - 9 * DAY} for item in ITEMS for _ in range(20)]
    events += [{"user": "u", "item": item, "timestamp": now} for item in ("comedy-1", "western-1") for _ in range(40)]
    for start in range(0, len(events), 500):
        assert api.call("POST", "/v1/events", {"events": events[start : start + 500]}).status_code == 201
    answer = api.get("/v1/items/trending").json
    assert {(place["item"], place["strategy"]) for place in answer["items"]} == {
        ("comedy-1", "trending"),
        ("western-1", "trending"),
    }
    assert answer["items"][0]["why"] == {"because": "trending"}
    assert [item for item, _ in api.items("/v1/items/trending?category=Western")] == ["western-1"]
    api.call("DELETE", "/v1/items/western-1")
    api.until(lambda: [item for item, _ in api.items("/v1/items/trending")] == ["comedy-1"])


def test_a_session_is_answered_from_its_items(shared_api):
    answer = shared_api.call("POST", "/v1/recommendations/session", {"recent_items": ["western-1"], "limit": 4})
    Recommended.model_validate(answer.json)
    assert answer.json["strategies"] == ["fold-in"]
    assert {place["item"] for place in answer.json["items"]} <= set(WESTERNS) - {"western-1"}


@pytest.mark.parametrize("who", [{"user": "b1"}, {"recent_items": ["western-1"]}, {"item": "western-2"}, {}])
def test_a_given_list_is_put_into_order(shared_api, who):
    given = ["comedy-3", "western-3", "nothing", "western-4", "western-3"]
    answer = shared_api.call("POST", "/v1/rank", {"items": given, **who})
    assert answer.status_code == 200
    RankedOut.model_validate(answer.json)
    order = [place["item"] for place in answer.json["items"]]
    assert set(order) == {"comedy-3", "western-3", "western-4"}
    assert answer.json["left_out"] == ["nothing"]
    if who:
        assert order[-1] == "comedy-3"
    kept = shared_api.call("POST", "/v1/rank", {"items": given, **who, "filter": 'category = "Comedy"'}).json
    assert ([place["item"] for place in kept["items"]], kept["left_out"]) == (
        ["comedy-3"],
        ["western-3", "nothing", "western-4"],
    )


def test_ranking_leaves_out_what_was_seen_only_when_told(shared_api):
    seen = str(shared_api.live.served.catalogue.ids.decode(shared_api.live.served.seen(0))[0])
    user = str(shared_api.live.served.personal.model.users.decode([0])[0])
    for body, left_out in (({}, []), ({"exclude_seen": True}, [seen])):
        answer = shared_api.call("POST", "/v1/rank", {"items": [seen], "user": user, **body}).json
        assert answer["left_out"] == left_out


def test_next_pages_go_on_with_the_list_as_it_was(api):
    whole = [item for item, _ in api.items("/v1/users/b1/recommendations?limit=200")]
    first = api.get("/v1/users/b1/recommendations?limit=4&paging=true").json
    Recommended.model_validate(first)
    api.call("POST", "/v1/events", {"user": "b1", "item": whole[4]})
    hidden = whole[6]
    api.call("DELETE", f"/v1/items/{hidden}")
    api.until(lambda: hidden not in [item for item, _ in api.items("/v1/items/popular?limit=200")])
    found, page = [place["item"] for place in first["items"]], first
    while page["next"] is not None:
        again = api.get(page["next"])
        assert again.status_code == 200
        Recommended.model_validate(again.json)
        assert again.json["recommendation_id"] == first["recommendation_id"]
        assert again.json == api.get(page["next"]).json
        page = again.json
        found += [place["item"] for place in page["items"]]
    assert found == [item for item in whole if item != hidden]
    assert "next" not in api.get("/v1/users/b1/recommendations").json
    assert api.get("/v1/users/b1/recommendations?limit=200&paging=true").json["next"] is None
    shown = api.call("POST", "/v1/recommendations/session", {"recent_items": ["western-1"], "limit": 2, "paging": True})
    assert len(api.get(shown.json["next"]).json["items"]) == 2
    assert api.store.kept_list(first["recommendation_id"], -1) is None
    api.store.keep_list("fresh", {}, -1)
    assert api.store.kept_list(first["recommendation_id"], 3600) is None


def test_many_users_are_answered_as_if_alone(api):
    api.call("POST", "/v1/events", {"user": "a1", "item": "western-1"})
    api.call("PUT", "/v1/users/stated", {"categories": ["Western"]})
    users = ["b1", "a1", "stranger", "a2", "stated", "b1"]
    for rules in ({}, {"limit": 24}, {"filter": 'category = "Comedy"'}, {"max_per_category": 2}, {"explain": True}):
        answer = api.call("POST", "/v1/recommendations/batch", {"users": users, **rules})
        assert answer.status_code == 200
        Answers.model_validate(answer.json)
        assert [one["user"] for one in answer.json["answers"]] == users
        for one in answer.json["answers"]:
            alone = api.call("POST", "/v1/recommendations", {"user": one["user"], **rules}).json
            assert one["strategies"] == alone["strategies"]
            assert [place["item"] for place in one["items"]] == [place["item"] for place in alone["items"]]
            assert [place["why"] for place in one["items"]] == [place["why"] for place in alone["items"]]
            scores = [[place["score"] for place in each["items"]] for each in (one, alone)]
            assert scores[0] == pytest.approx(scores[1], abs=1e-4)


def test_an_explanation_names_the_items_and_what_they_have_in_common(shared_api):
    served = shared_api.live.served
    history = set(map(str, served.catalogue.ids.decode(served.seen(served.user_code("b1")))))
    for place in shared_api.get("/v1/users/b1/recommendations?limit=2&explain=true").json["items"]:
        assert place["why"]["because"] == "history"
        assert set(place["why"]["items"]) <= history
        assert len(place["why"]["items"]) == 3
        assert place["why"]["categories"] == ["Western", "Drama"]
    body = {"recent_items": ["western-1", "comedy-1"], "limit": 4, "explain": True}
    for place in shared_api.call("POST", "/v1/recommendations", body).json["items"]:
        kind = "western" if place["item"] in WESTERNS else "comedy"
        assert place["why"]["items"][0] == f"{kind}-1"
    alike = shared_api.call("POST", "/v1/recommendations", {"item": "comedy-1", "limit": 1, "explain": True}).json
    assert alike["items"][0]["why"] == {"because": "similar item", "items": ["comedy-1"], "categories": ["Comedy"]}
    assert alike["items"][0]["item"] in COMEDIES
    nobody = shared_api.call("POST", "/v1/recommendations", {"limit": 1, "explain": True}).json
    assert nobody["items"][0]["why"] == {"because": "popular"}
