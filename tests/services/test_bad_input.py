"""Whatever is sent: a problem that names the field, nothing stored, and never a 500."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.recommender.asking import RulesBody

LONG = "x" * 10_000


@pytest.fixture
def api(shared_api):
    """One app for all: what is refused must not change it."""
    return shared_api


@pytest.fixture
def unchanged(api):
    before = api.store.changes()
    yield
    assert api.store.changes() == before


USER = "/v1/users/b1/recommendations"


def problem(answer, status, field=None):
    assert answer.status_code == status, answer.text
    assert answer.content_type == "application/problem+json"
    told = answer.json
    assert told["status"] == status
    assert told["type"].startswith("/problems/")
    assert told.get("detail")
    if field is not None:
        assert field in [each["field"] for each in told["errors"]], told


@pytest.mark.parametrize("limit", ["0", "-1", "1000000000", "201", "ten", "", "1.5", "NaN", "9" * 400, "١"])
@pytest.mark.parametrize("path", [USER, "/v1/items/popular", "/v1/items/latest", "/v1/items/western-1/similar"])
@pytest.mark.usefixtures("unchanged")
def test_limits(api, path, limit):
    problem(api.get(f"{path}?limit={quote(limit)}"), 422, "limit")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("offset=-1", "offset"),
        ("offset=10001", "offset"),
        ("exclude_seen=perhaps", "exclude_seen"),
        ("segment=first", "segment"),
        ("segment=99999999999", "segment"),
        ("limit=1&limit=2", "limit"),
        ("limits=3", "limits"),
        ("category=", "category.0"),
        (f"category={'y' * 300}", "category.0"),
        (f"exclude={LONG}", "exclude.0"),
        ("exclude=two%0Alines", "exclude.0"),
    ],
)
@pytest.mark.usefixtures("unchanged")
def test_other_parameters(api, query, field):
    problem(api.get(f"{USER}?{query}"), 422, field)


@pytest.mark.parametrize("item", [LONG, "two\nlines", "nul\0", "bell\x07", "\u2028"])
@pytest.mark.usefixtures("unchanged")
def test_ids_in_addresses(api, item):
    for method, path, body in (
        ("GET", f"/v1/users/{quote(item)}/recommendations", None),
        ("GET", f"/v1/items/{quote(item)}/similar", None),
        ("GET", f"/v1/items/{quote(item)}", None),
        ("PUT", f"/v1/items/{quote(item)}", {}),
        ("DELETE", f"/v1/items/{quote(item)}", None),
        ("PUT", f"/v1/users/{quote(item)}", {}),
    ):
        problem(api.call(method, path, body), 422, "user" if "/users/" in path else "item")


@pytest.mark.usefixtures("unchanged")
def test_unknown_ids(api):
    problem(api.get("/v1/items/nothing"), 404, "item")
    problem(api.get("/v1/items/nothing/similar"), 404, "item")
    problem(api.call("DELETE", "/v1/items/nothing"), 404, "item")
    problem(api.get("/v1/users/nobody"), 404, "user")
    assert api.get("/v1/users/nobody/recommendations").status_code == 200
    answer = api.call("POST", "/v1/recommendations", {"recent_items": ["nothing"], "item": "no", "exclude": ["none"]})
    assert {place["strategy"] for place in answer.json["items"]} == {"popular"}


@pytest.mark.parametrize(
    ("raw", "kind", "status"),
    [
        (b"{not json", "application/json", 400),
        (b"", "application/json", 400),
        (b"\xff\xfe\x00", "application/json", 400),
        (b'{"user": "a", "item": "b", "weight": NaN}', "application/json", 400),
        (b'{"user": "a", "item": "b", "weight": 1e999}', "application/json", 400),
        (b'{"user": "a", "user": "b", "item": "c"}', "application/json", 400),
        (b'{"user": "\\ud800", "item": "c"}', "application/json", 400),
        (b"[" * 500 + b"]" * 500, "application/json", 400),
        (b'{"events":' * 200 + b"1" + b"}" * 200, "application/json", 400),
        (b'{"user": ' + b"9" * 5000 + b', "item": "c"}', "application/json", 400),
        (b'{"user": "a", "item": "b"}', "text/plain", 415),
        (b"user=a&item=b", "application/x-www-form-urlencoded", 415),
        (b" " * (2 << 20), "application/json", 413),
        (b"[]", "application/json", 422),
        (b"null", "application/json", 422),
        (b'"text"', "application/json", 422),
        (b"3", "application/json", 422),
    ],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("POST", "/v1/events"), ("POST", "/v1/recommendations"), ("POST", "/v1/imports"), ("PUT", "/v1/items/x")),
        *(("PUT", "/v1/users/x"), ("PATCH", "/v1/items/x")),
    ],
)
@pytest.mark.usefixtures("unchanged")
def test_bodies(api, method, path, raw, kind, status):
    problem(api.call(method, path, data=raw, content_type=kind), status)


GOOD = {"user": "u", "item": "i"}


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"user": "u"}, "item"),
        ({**GOOD, "user": None}, "user"),
        ({**GOOD, "user": True}, "user"),
        ({**GOOD, "user": 1.5}, "user"),
        ({**GOOD, "user": ""}, "user"),
        ({**GOOD, "user": 2**63}, "user"),
        ({**GOOD, "item": LONG}, "item"),
        ({**GOOD, "item": "two\nlines"}, "item"),
        ({**GOOD, "item": ["i"]}, "item"),
        ({**GOOD, "weight": "heavy"}, "weight"),
        ({**GOOD, "weight": 1e300}, "weight"),
        ({**GOOD, "timestamp": "yesterday"}, "timestamp"),
        ({**GOOD, "timestamp": 10**12}, "timestamp"),
        ({**GOOD, "timestamp": -(10**12)}, "timestamp"),
        ({**GOOD, "kind": ""}, "kind"),
        ({**GOOD, "kind": 3}, "kind"),
        ({**GOOD, "id": {}}, "id"),
        ({**GOOD, "recommendation_id": "r" * 100}, "recommendation_id"),
        ({**GOOD, "extra": 1}, "extra"),
    ],
)
@pytest.mark.usefixtures("unchanged")
def test_one_wrong_event_is_named_and_none_of_its_batch_is_stored(api, wrong, field):
    answer = api.call("POST", "/v1/events", {"events": [GOOD, wrong, GOOD]})
    problem(answer, 422, f"events.1.{field}")
    problem(api.call("POST", "/v1/events", wrong), 422, field)


@pytest.mark.parametrize("events", [[], [GOOD] * 1001, {}, None, "x", [3]])
@pytest.mark.usefixtures("unchanged")
def test_lists_of_events(api, events):
    assert api.call("POST", "/v1/events", {"events": events}).status_code == 422


def test_an_event_id_is_taken_once(api):
    first = {**GOOD, "id": "1"}
    assert api.call("POST", "/v1/events", first).json == {"stored": 1, "repeated": 0, "ids": ["1"]}
    again = api.call("POST", "/v1/events", {"events": [first, {**GOOD, "id": "2"}]})
    assert (again.status_code, again.json) == (201, {"stored": 1, "repeated": 1, "ids": ["1", "2"]})
    taken = api.call("POST", "/v1/events", {"events": [{**GOOD, "id": "3"}, {**first, "item": "other"}]})
    problem(taken, 409)
    assert "events[1].id" in taken.text or "id '1'" in taken.text
    assert [event.id for event in api.store.events_since(0)] == ["1", "2"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"title": 3}, "title"),
        ({"title": "nul\0"}, "title"),
        ({"categories": "Comedy"}, "categories"),
        ({"categories": [1]}, "categories.0"),
        ({"categories": ["x" * 201]}, "categories.0"),
        ({"categories": ["x"] * 101}, "categories"),
        ({"available": "yes"}, "available"),
        ({"timestamp": 10**13}, "timestamp"),
        ({"timestamp": 1.5}, "timestamp"),
        ({"attributes": []}, "attributes"),
        ({"attributes": {"deep": {"nul": "\0"}}}, "attributes"),
        ({"price": 3}, "price"),
    ],
)
@pytest.mark.usefixtures("unchanged")
def test_items(api, body, field):
    problem(api.call("PUT", "/v1/items/x", body), 422, field)
    assert api.get("/v1/items/x").status_code == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": -1}, "limit"),
        ({"limit": 10**9}, "limit"),
        ({"limit": "10"}, "limit"),
        ({"limit": True}, "limit"),
        ({"offset": -1}, "offset"),
        ({"user": []}, "user"),
        ({"recent_items": "western-1"}, "recent_items"),
        ({"recent_items": ["x"] * 1001}, "recent_items"),
        ({"attributes": {"colour": "red"}}, "attributes.colour"),
        ({"segment": 1.5}, "segment"),
        ({"include": "western-1"}, "include"),
        ({"filter": 3}, "filter"),
        ({"filter": "title ="}, "filter, at 8"),
        ({"exclude_filter": "titel = 3"}, "exclude_filter, at 1"),
        ({"boost": [{"filter": "available", "factor": 0}]}, "boost.0.factor"),
        ({"boost": [{"filter": "available", "factor": 2}, {"filter": "x", "factor": 2}]}, "boost.1.filter, at 1"),
        ({"boost": [{"filter": "available"}]}, "boost.0.factor"),
        ({"boost": [{"filter": "available", "factor": 2}] * 21}, "boost"),
        ({"max_per_category": 0}, "max_per_category"),
        ({"diversity": 1.1}, "diversity"),
        ({"pins": [{"item": "a", "position": 0}]}, "pins.0.position"),
        ({"pins": [{"item": "a", "position": 1}, {"item": "b", "position": 1}]}, "pins"),
        ({"pins": [{"item": "a", "position": 1}, {"item": "a", "position": 2}]}, "pins"),
        ({"exclude_seen": 1}, "exclude_seen.bool"),
        ({"exclude_seen": {"kinds": ["view"], "days": 0}}, "exclude_seen.Seen.days"),
    ],
)
@pytest.mark.usefixtures("unchanged")
def test_visitors(api, body, field):
    problem(api.call("POST", "/v1/recommendations", body), 422, field)
    if set(body) & set(RulesBody.model_fields):
        problem(api.call("PUT", "/v1/rules", body), 422, field)


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("session", {}, "recent_items"),
        ("session", {"recent_items": []}, "recent_items"),
        ("session", {"recent_items": ["a"], "user": "u"}, "user"),
        ("batch", {"users": []}, "users"),
        ("batch", {"users": ["u"] * 501}, "users"),
        ("batch", {"users": ["u", ""]}, "users.1"),
        ("batch", {"users": ["u"], "filter": "("}, "filter, at 2"),
        ("../rank", {}, "items"),
        ("../rank", {"items": "a"}, "items"),
        ("../rank", {"items": ["a"] * 1001}, "items"),
        ("../rank", {"items": ["a"], "limit": 3}, "limit"),
    ],
)
@pytest.mark.usefixtures("unchanged")
def test_sessions_batches_and_rankings(api, path, body, field):
    place = "/v1/rank" if path == "../rank" else f"/v1/recommendations/{path}"
    problem(api.call("POST", place, body), 422, field)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"items": [{"title": "no id"}]}, "items.0.item"),
        ({"items": [{"item": "a"}, {"item": "b", "price": 3}]}, "items.1.price"),
        ({"users": [{"user": ""}]}, "users.0.user"),
        ({"items": "a"}, "items"),
        ({"rows": []}, "rows"),
    ],
)
@pytest.mark.usefixtures("unchanged")
def test_imports(api, body, field):
    problem(api.call("POST", "/v1/imports", body), 422, field)
    for method in ("GET", "DELETE"):
        problem(api.call(method, "/v1/imports/99999999999999999999"), 404, "job")
        problem(api.call(method, "/v1/imports/77"), 404)


@pytest.mark.parametrize("listed", ["items", "users", "events"])
@pytest.mark.parametrize("cursor", ["x", "W10", "WyJhIiwgMV0", "WzFd", "%FF", "é", "bnVsbA", "W1tbW1s"])
def test_cursors(api, listed, cursor):
    answer = api.get(f"/v1/{listed}?cursor={cursor}")
    assert answer.status_code in (400, 422), answer.text
    problem(api.get(f"/v1/{listed}?limit=1001"), 422, "limit")


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("items/western-1", {"title": 3}, "title"),
        ("items/western-1", {"price": 3}, "price"),
        ("items/western-1", {"attributes": []}, "attributes"),
        ("items/western-1", {"attributes": {str(n): n for n in range(201)}}, "attributes"),
        ("items/nothing", {"title": "x"}, "item"),
        ("users/b1", {"segment": "x"}, "segment"),
        ("users/nobody", {"segment": 1}, "user"),
    ],
)
@pytest.mark.usefixtures("unchanged")
def test_patches(api, path, body, field):
    problem(api.call("PATCH", f"/v1/{path}", body), 404 if "no" in path else 422, field)


@pytest.mark.parametrize("query", ["after=-1", "after=x", "limit=0", "offset=3"])
def test_next_pages(api, query):
    problem(api.get(f"/v1/recommendations/{'0' * 32}?{query}"), 422, query.split("=")[0])
    problem(api.get("/v1/recommendations/nothing"), 404, "recommendation_id")


def test_an_integer_catalogue_takes_integers_only(open_api, settings, bundles, integer_als):
    from palate.bundle import publish_bundle, set_current

    set_current(bundles, publish_bundle(integer_als, bundles))
    api = open_api(settings)
    problem(api.call("PUT", "/v1/items/text", {"title": "T"}), 422, "item")
    assert api.call("PUT", "/v1/items/77", {"title": "T", "categories": ["New"]}).status_code == 201
    api.until(lambda: api.live.served.catalogue.ids.code("77") >= 0)
    places = api.call("POST", "/v1/recommendations", {"attributes": {"categories": ["New"]}}).json["items"]
    assert places[0]["item"] == 77
    ranked = api.call("POST", "/v1/rank", {"items": ["77", "text", "1", 2], "include": ["77", "text", "2"]}).json
    assert {place["item"] for place in ranked["items"]} == {77, 2}
    assert ranked["left_out"] == ["text", "1"]
    api.call("POST", "/v1/events", {"user": "u", "item": "text"})
    assert api.get("/v1/items/trending").status_code == 200
    paged = api.get("/v1/items/popular?filter=item%20%3D%20%2277%22&limit=1").json
    assert paged["items"][0]["item"] == 77
    more = api.get("/v1/users/u/recommendations?limit=1&paging=true&explain=true").json["next"]
    assert api.get(more).json["items"][0]["item"] in range(100)
    assert api.call("POST", "/v1/recommendations", {"recent_items": [1, "2"], "limit": 1}).json["strategies"] == [
        "fold-in"
    ]


def test_methods_and_addresses_that_are_not_there(api):
    problem(api.call("DELETE", "/v1/events"), 405)
    problem(api.get("/v1/nothing"), 404)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)
FIELDS = ["user", "item", "id", "kind", "weight", "timestamp", "events", "recent_items", "attributes", "segment"]
FIELDS += ["limit", "offset", "exclude_seen", "category", "exclude", "title", "categories", "tags", "available"]
FIELDS += ["filter", "boost", "pins", "diversity", "max_per_category", "include"]
calm = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@calm
@given(st.dictionaries(st.sampled_from(FIELDS), json_values, max_size=6) | json_values, st.text(max_size=20))
def test_no_body_is_a_bug_of_ours(api, body, name):
    part = quote(name, safe="") or "x"
    for method, path in (
        ("POST", "/v1/events"),
        ("POST", "/v1/recommendations"),
        ("POST", "/v1/rank"),
        ("PUT", f"/v1/items/{part}"),
        ("PUT", f"/v1/users/{part}"),
        ("PATCH", f"/v1/items/{part}"),
    ):
        status = api.call(method, path, body if body is not None else []).status_code
        assert status < 500, (method, path, body)


@calm
@given(
    st.dictionaries(
        st.sampled_from(["limit", "offset", "category", "exclude", "segment", "exclude_seen", "filter", "x"]),
        st.text(max_size=30) | st.integers().map(str),
        max_size=4,
    ),
    st.text(max_size=30),
)
def test_no_query_is_a_bug_of_ours(api, query, name):
    part = quote(name, safe="") or "x"
    for path in (f"/v1/users/{part}/recommendations", f"/v1/items/{part}/similar", "/v1/items/popular"):
        answer = api.get(path, query_string=query)
        assert answer.status_code < 500, (path, query)
        if answer.status_code == 200:
            assert len(answer.json["items"]) <= 200
