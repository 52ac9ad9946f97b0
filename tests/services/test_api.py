"""The API through its own door: what each route answers, to whom, and what filters do."""

from __future__ import annotations

import re
import time

import pytest
from services_world import COMEDIES, ITEMS, WESTERNS

from palate.errors import PalateError
from palate.models.protocol import Capability


def test_a_known_user_gets_their_taste_with_the_version_and_a_reason(shared_api):
    answer = shared_api.get("/v1/users/b1/recommendations?limit=3").json
    assert [place["item"] in WESTERNS for place in answer["items"]] == [True] * 3
    assert answer["strategies"] == ["personal"]
    assert answer["model_version"] == "000001"
    assert len(answer["recommendation_id"]) == 32
    first = answer["items"][0]
    assert first["categories"] == ["Western", "Drama"]
    assert first["title"].startswith("Western")
    assert first["why"] == {"because": "history"}
    assert isinstance(first["score"], float)


def test_an_unknown_user_gets_what_is_popular_and_is_told_so(shared_api):
    assert {strategy for _, strategy in shared_api.items("/v1/users/stranger/recommendations")} == {"popular"}


def test_what_was_seen_is_left_out_unless_asked_for(shared_api):
    seen = set(
        shared_api.live.served.catalogue.ids.decode(shared_api.live.served.seen(shared_api.live.served.user_code("a1")))
    )
    assert not seen & {item for item, _ in shared_api.items("/v1/users/a1/recommendations?limit=200")}
    shown = {item for item, _ in shared_api.items("/v1/users/a1/recommendations?limit=200&exclude_seen=false")}
    assert shown == set(ITEMS)


def test_fresh_events_are_folded_in_and_left_out_at_once(api):
    answer = api.call("POST", "/v1/events", {"user": "fresh", "item": "western-2", "kind": "view"})
    assert (answer.status_code, answer.json["stored"]) == (201, 1)
    found = api.items("/v1/users/fresh/recommendations?limit=4")
    assert {strategy for _, strategy in found} == {"fold-in"}
    assert {item for item, _ in found} <= set(WESTERNS) - {"western-2"}
    known = dict(api.items("/v1/users/a1/recommendations?limit=200"))
    assert api.call("POST", "/v1/events", {"user": "a1", "item": "western-2"}).status_code == 201
    after = dict(api.items("/v1/users/a1/recommendations?limit=200"))
    assert set(known.values()) == {"personal"}
    assert after["western-3"] == "fold-in"
    assert set(known) - set(after) == {"western-2"}


def test_filters_limit_and_offset(shared_api):
    everything = [item for item, _ in shared_api.items("/v1/users/b1/recommendations?limit=20")]
    paged = [
        item
        for start in (0, 5, 10, 15)
        for item, _ in shared_api.items(f"/v1/users/b1/recommendations?limit=5&offset={start}")
    ]
    assert paged == everything[:20]
    assert shared_api.items("/v1/users/b1/recommendations?offset=10000") == []
    comedies = [item for item, _ in shared_api.items("/v1/users/b1/recommendations?category=Comedy&limit=200")]
    assert set(comedies) == set(COMEDIES)
    both = [item for item, _ in shared_api.items("/v1/items/popular?category=Comedy&category=Drama&limit=200")]
    assert set(both) == set(ITEMS)
    assert shared_api.items("/v1/items/popular?category=Opera") == []
    gone = everything[0]
    assert gone not in [
        item for item, _ in shared_api.items(f"/v1/users/b1/recommendations?exclude={gone}&exclude=zzz")
    ]


@pytest.mark.parametrize(
    ("body", "strategy", "among"),
    [
        ({"recent_items": ["western-1"]}, "fold-in", WESTERNS),
        ({"attributes": {"categories": ["Western"]}}, "content", WESTERNS),
        ({"item": "comedy-1"}, "similar", COMEDIES),
        ({}, "popular", ITEMS),
        ({"user": "b1"}, "personal", WESTERNS),
    ],
)
def test_a_visitor_is_answered_by_what_is_known(shared_api, body, strategy, among):
    answer = shared_api.call("POST", "/v1/recommendations", {"limit": 4, **body})
    assert answer.status_code == 200
    assert {place["strategy"] for place in answer.json["items"]} == {strategy}
    shown = {place["item"] for place in answer.json["items"]}
    assert len(shown) == 4
    assert shown <= set(among) - set(body.get("recent_items", [])) - {body.get("item")}


def test_similar_popular_and_latest(shared_api):
    assert {item for item, _ in shared_api.items("/v1/items/western-3/similar?limit=5")} <= set(WESTERNS) - {
        "western-3"
    }
    assert shared_api.get("/v1/items/nothing/similar").status_code == 404
    assert len(shared_api.items("/v1/items/popular?limit=200")) == len(ITEMS)
    newest = shared_api.get("/v1/items/latest?limit=2&category=Comedy").json["items"]
    assert [(place["item"], place["score"]) for place in newest] == [("comedy-11", 2000011), ("comedy-10", 2000010)]


def test_a_users_attributes_are_kept_and_used(api):
    assert api.get("/v1/users/newcomer").status_code == 404
    put = api.call("PUT", "/v1/users/newcomer", {"categories": ["Western"], "segment": 3, "attributes": {"age": 7}})
    assert put.status_code == 201
    assert put.json == {
        "user": "newcomer",
        "categories": ["Western"],
        "tags": [],
        "segment": 3,
        "attributes": {"age": 7},
        "known_to_model": False,
        "recent_items": [],
    }
    assert api.call("PUT", "/v1/users/newcomer", {"categories": ["Western"]}).status_code == 200
    assert api.items("/v1/users/newcomer/recommendations?limit=1")[0][1] == "content"
    assert api.get("/v1/users/a1").json["known_to_model"] is True


def test_an_item_comes_changes_and_goes(api):
    body = {"title": "Dawn", "text": "riders shoot at dawn", "categories": ["Western"], "attributes": {"price": 1.5}}
    assert api.call("PUT", "/v1/items/dawn", body).status_code == 201
    assert api.get("/v1/items/dawn").json["attributes"] == {"price": 1.5}
    wanted = {"attributes": {"categories": ["Western"]}, "limit": 50}

    def shown():
        return [place["item"] for place in api.call("POST", "/v1/recommendations", wanted).json["items"]]

    api.until(lambda: "dawn" in shown())
    assert "dawn" in [item for item, _ in api.items("/v1/items/latest?limit=1")]
    assert api.items("/v1/items/dawn/similar?limit=3")[0][0] in WESTERNS
    assert api.call("PUT", "/v1/items/dawn", {**body, "available": False}).status_code == 200
    api.until(lambda: "dawn" not in shown())
    assert api.call("PUT", "/v1/items/dawn", body).status_code == 200
    api.until(lambda: "dawn" in shown())
    assert api.call("DELETE", "/v1/items/dawn").json["title"] == "Dawn"
    api.until(lambda: "dawn" not in shown())
    assert api.get("/v1/items/dawn").status_code == 404
    assert api.get("/v1/items/dawn/similar").status_code == 404
    assert api.call("DELETE", "/v1/items/dawn").status_code == 404


@pytest.mark.parametrize(
    "item", ["a/b", "/slash first", "ends/", "a//b", "ünïcødé 漢字 🎬", "per%cent", "q?x=1", "#", "-1", "..x"]
)
def test_any_text_is_an_id(api, item):
    from urllib.parse import quote

    path = f"/v1/items/{quote(item, safe='')}"
    assert api.call("PUT", path, {"title": "Odd", "categories": ["Western"]}).status_code == 201
    assert api.get(path).json["item"] == item
    api.until(lambda: api.live.served.catalogue.ids.code(item) >= 0)
    assert api.items(f"{path}/similar?limit=1")[0][0] in ITEMS
    assert api.get(f"/v1/users/{quote(item, safe='')}/recommendations").status_code == 200


def test_the_model_says_what_it_is(shared_api):
    told = shared_api.get("/v1/model").json
    assert told["kind"] == "blend"
    assert told["metrics"] == {"ndcg@10": 0.5}
    assert told["parts"] == {"personal": "blend", "content": "content", "popularity": "popularity"}
    assert told["problems"] == {}
    assert shared_api.get("/ready").status_code == 200


def test_each_scope_opens_its_own_routes_and_no_other(api):
    calls = {
        "recommend": [
            ("GET", "/v1/items/popular", None),
            ("POST", "/v1/recommendations", {}),
            ("GET", "/v1/model", None),
        ],
        "catalogue": [
            ("PUT", "/v1/items/x", {}),
            ("DELETE", "/v1/items/x", None),
            ("PUT", "/v1/users/x", {}),
            ("PUT", "/v1/rules", {}),
            ("PATCH", "/v1/items/x", {}),
            ("PATCH", "/v1/users/x", {}),
            ("DELETE", "/v1/users/x", None),
            ("GET", "/v1/users", None),
            ("GET", "/v1/events", None),
            ("GET", "/v1/events/export", None),
            ("POST", "/v1/imports", {}),
            ("GET", "/v1/imports/1", None),
            ("DELETE", "/v1/imports/1", None),
        ],
        "events": [("POST", "/v1/events", {"user": "a", "item": "b"})],
    }
    for scope, token in {scope: api.key(scope) for scope in calls}.items():
        for owner, routes in calls.items():
            for method, url, body in routes:
                status = api.call(method, url, body, token=token).status_code
                assert (status == 403) == (owner != scope), (scope, method, url, status)
    assert api.client.get("/v1/items/popular").status_code == 401
    assert api.get("/v1/items/popular", token="wrong").status_code == 401


def test_openapi_describes_every_route(shared_api):
    document = shared_api.client.get("/openapi.json").json
    for rule in shared_api.app.url_map.iter_rules():
        if rule.rule.startswith("/v1"):
            path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
            for method in rule.methods - {"HEAD", "OPTIONS"}:
                operation = document["paths"][path][method.lower()]
                assert operation["summary"]
                assert operation["x-scope"] in ("recommend", "catalogue", "events", "deployments")
    names = {each["name"] for each in document["paths"]["/v1/users/{user}/recommendations"]["get"]["parameters"]}
    assert names == {
        *("user", "segment", "limit", "offset", "category", "include", "exclude", "filter", "exclude_filter"),
        *("exclude_seen", "max_per_category", "diversity", "explain", "paging", "deployment", "variant"),
    }
    for path, method in (("/v1/items/{item}", "put"), ("/v1/deployments/{name}", "put"), ("/v1/events", "post")):
        assert {"200", "201"} <= set(document["paths"][path][method]["responses"])
    assert "201 or 200" in shared_api.client.get("/docs").text


def test_answers_are_what_openapi_says(shared_api):
    from services.recommender.answers import ItemOut, ModelOut, Recommended

    Recommended.model_validate(shared_api.get("/v1/users/b1/recommendations").json)
    Recommended.model_validate(shared_api.get("/v1/items/latest").json)
    Recommended.model_validate(shared_api.call("POST", "/v1/recommendations", {"recent_items": ["western-1"]}).json)
    ModelOut.model_validate(shared_api.get("/v1/model").json)
    ItemOut.model_validate(shared_api.get("/v1/items/western-1").json)


def test_answers_are_counted_by_strategy(api):
    api.get("/v1/users/b1/recommendations?limit=3")
    assert 'palate_recommended_items_total{strategy="personal"} 3.0' in api.get("/metrics").text


def test_wrong_settings_are_refused_by_name():
    from services.recommender.settings import RecommenderSettings

    with pytest.raises(PalateError, match="PALATE_CATALOGUE_SECONDS"):
        RecommenderSettings.read(catalogue_seconds=-1)


def test_a_model_that_heeds_the_moment_is_told_it(shared_api, monkeypatch):
    model = shared_api.live.served.personal.model
    best, heard = model.best, []

    def listening(user, n, barred, context):
        heard.append(context.now)
        return best(user, n, barred, context)

    monkeypatch.setattr(model, "best", listening)
    for capabilities in (model.capabilities - {Capability.MOMENT}, model.capabilities | {Capability.MOMENT}):
        monkeypatch.setattr(model, "capabilities", capabilities)
        shared_api.get("/v1/users/a1/recommendations")
    deaf, told = heard
    assert deaf is None
    assert abs(told - time.time()) < 300
