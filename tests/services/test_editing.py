"""The catalogue and users: partial changes, deletion, pages of long lists, imports as jobs."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from services_world import ITEMS
from sqlalchemy import select

from palate.client.catalogue import Catalogue
from palate.errors import UnknownIdError
from palate.store.engine import reading
from palate.store.jobs import Jobs
from services.recommender.answers import EventList, ImportOut, ItemsOut, UsersOut
from services.recommender.catalogue import ItemRow
from services.recommender.cursors import cursor_after, key_of
from services.recommender.patches import merged
from services.recommender.store import Event, UserRow
from services.recommender.tables import uploads
from services.recommender.wanted import WantedOut
from tests.services.listening import House


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a"], {"a": 1}, {"a": 1}),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merging_is_that_of_the_rfc(target, patch, result):
    assert merged(target, patch) == result


def test_an_item_changes_in_part(api):
    body = {"title": "Dawn", "categories": ["Western"], "timestamp": 5, "attributes": {"price": 3, "size": {"w": 1}}}
    api.call("PUT", "/v1/items/dawn", body)
    patched = api.call("PATCH", "/v1/items/dawn", {"title": None, "attributes": {"price": None, "size": {"h": 2}}})
    assert patched.status_code == 200
    assert patched.json == {
        "item": "dawn",
        "title": None,
        "text": None,
        "categories": ["Western"],
        "tags": [],
        "image": None,
        "available": True,
        "timestamp": 5,
        "attributes": {"size": {"w": 1, "h": 2}},
    }
    assert api.get("/v1/items/dawn").json == patched.json
    assert api.call("PATCH", "/v1/items/dawn", {}).json == patched.json
    api.call("PATCH", "/v1/items/dawn", {"available": False})
    api.until(lambda: "dawn" not in [item for item, _ in api.items("/v1/items/latest?limit=200")])
    assert api.call("PATCH", "/v1/items/dawn", {"categories": None, "available": None}).json["available"] is True
    api.call("DELETE", "/v1/items/dawn")
    assert api.call("PATCH", "/v1/items/dawn", {"title": "x"}).status_code == 404


def test_an_item_that_only_the_model_knows_can_be_changed_in_part(store):
    with pytest.raises(UnknownIdError):
        store.patch_item("a", None, lambda row: row)
    store.patch_item("a", ItemRow("a", "A", tags=("t",)), lambda row: ItemRow(row.id, "B", tags=row.tags))
    assert (store.item("a").title, store.item("a").tags) == ("B", ("t",))
    store.patch_item("a", None, lambda row: ItemRow(row.id, row.title + "C"))
    assert store.item("a").title == "BC"


def test_a_user_changes_in_part_and_goes(api):
    api.call("PUT", "/v1/users/u", {"categories": ["Western"], "segment": 2, "attributes": {"age": 7}})
    patched = api.call("PATCH", "/v1/users/u", {"segment": None, "attributes": {"name": "x"}}).json
    assert (patched["segment"], patched["categories"]) == (None, ["Western"])
    assert patched["attributes"] == {"age": 7, "name": "x"}
    api.call("POST", "/v1/events", {"user": "u", "item": "western-1"})
    assert api.items("/v1/users/u/recommendations")[0][1] == "fold-in"
    gone = api.call("DELETE", "/v1/users/u")
    assert (gone.status_code, gone.json["recent_items"]) == (200, ["western-1"])
    assert api.get("/v1/users/u").status_code == 404
    assert api.call("DELETE", "/v1/users/u").status_code == 404
    assert api.items("/v1/users/u/recommendations")[0][1] == "popular"
    assert api.get("/v1/events?user=u").json["events"] == []
    assert api.call("PATCH", "/v1/users/b1", {"segment": 3}).json["segment"] == 3


def test_other_workers_learn_of_a_user_who_is_gone(store):
    store.put_user(UserRow("u"))
    change = store.changes()["users"]
    store.delete_user("u")
    assert store.users_since(change, store.changes()["events"]) == {"u"}
    assert store.user("u") is None
    assert store.state("u").row is None
    assert store.list_users(None, 10) == []
    assert store.put_user(UserRow("u", tags=("t",))) is True
    assert store.put_users([UserRow("u"), UserRow("v")]) == [False, True]


SHAPES = {"/v1/items": ItemsOut, "/v1/items/wanted": WantedOut, "/v1/users": UsersOut, "/v1/events": EventList}


def pages(api, path, key, limit):
    """The lists of all pages of a list."""
    found, cursor = [], ""
    while cursor is not None:
        answer = api.get(f"{path}?limit={limit}{cursor}").json
        SHAPES[path].model_validate(answer)
        found.append(answer[key])
        cursor = f"&cursor={answer['next']}" if answer["next"] is not None else None
    return found


def test_long_lists_come_in_pages(api):
    api.call("DELETE", "/v1/items/comedy-3")
    listed = pages(api, "/v1/items", "items", 5)
    assert [len(page) for page in listed] == [5, 5, 5, 5, 3]
    assert [item["item"] for page in listed for item in page] == sorted(set(ITEMS) - {"comedy-3"})
    for name in ("ü/1", "b", "a"):
        api.store.put_user(UserRow(name))
    assert [user["user"] for page in pages(api, "/v1/users", "users", 1) for user in page] == ["a", "b", "ü/1"]
    api.store.add_events([Event(f"first-{n}", "u", "a") for n in range(3)])
    api.store.add_events([Event(f"second-{n}", "v", "a") for n in range(2)])
    listed = [event["id"] for page in pages(api, "/v1/events", "events", 2) for event in page]
    assert listed == ["second-1", "second-0", "first-2", "first-1", "first-0"]
    assert len(api.get("/v1/events?user=v").json["events"]) == 2


def test_wanted_items_come_in_pages_which_new_events_do_not_change(api, monkeypatch):
    now = time.time()
    api.store.add_events([Event(f"e-{n}", "u", "comedy-1" if n else "western-2", timestamp=now) for n in range(4)])
    monkeypatch.setattr("palate.client.catalogue.WANTED", 5)
    listed = pages(api, "/v1/items/wanted", "items", 7)
    assert [len(page) for page in listed] == [7, 7, 7, 3]
    wanted = [each["item"] for page in listed for each in page]
    assert wanted == ["comedy-1", "western-2", *sorted(set(ITEMS) - {"comedy-1", "western-2"})]
    first = api.get("/v1/items/wanted?limit=2").json
    api.store.add_events([Event(f"later-{n}", "u", wanted[-1], timestamp=now) for n in range(9)])
    rest = api.get(f"/v1/items/wanted?limit=100&cursor={first['next']}").json
    assert [each["item"] for each in (*first["items"], *rest["items"])] == wanted
    assert api.get("/v1/items/wanted").json["items"][0]["item"] == wanted[-1]
    with House(api) as house:
        catalogue = Catalogue(house.url, api.token)
        assert len(catalogue.wanted(limit=12)) == 12
        assert {each.item for each in catalogue.wanted(limit=None)} == set(ITEMS)
        catalogue.close()
    for cursor in ("none", cursor_after("x"), cursor_after(1, "x", 1, 1)):
        refused = api.get(f"/v1/items/wanted?cursor={cursor}")
        assert (refused.status_code, refused.json["errors"][0]["field"]) == (422, "cursor")
    assert api.get(f"/v1/items/wanted?cursor={cursor_after(9.5, 'x', 10**400, -(10**400))}").status_code == 200


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**62), st.text(min_size=1, max_size=20))
def test_a_cursor_holds_its_key(number, text):
    assert key_of(cursor_after(number, text), int, str) == (number, text)


def test_an_import_is_a_job_that_says_how_far_it_is(api):
    items = [{"item": f"new-{n}", "title": f"New {n}", "categories": ["Western"]} for n in range(1100)]
    body = {"items": items, "users": [{"user": "u", "categories": ["Western"]}]}
    begun = api.call("POST", "/v1/imports", body)
    assert (begun.status_code, begun.json["state"]) == (202, "queued")
    address = f"/v1/imports/{begun.json['job']}"
    api.until(lambda: api.get(address).json["state"] == "done")
    done = api.get(address).json
    ImportOut.model_validate(done)
    assert done["result"] == {"items": 1100, "items_changed": 1100, "users": 1}
    assert (done["progress"], done["message"]) == (1.0, "1101 of 1101 written")
    assert api.get("/v1/items/new-1099").json["title"] == "New 1099"
    assert api.get("/v1/users/u").json["categories"] == ["Western"]
    api.until(lambda: "new-7" in [item for item, _ in api.items("/v1/items/latest?limit=200&include=new-7")])
    assert api.call("DELETE", address).json["state"] == "done"
    other = Jobs(api.store.engine).enqueue("another")
    assert api.get(f"/v1/imports/{other}").status_code == 404


def send_lines(api, data):
    return api.call("POST", "/v1/imports", data=data, content_type="application/x-ndjson")


def ended(api, begun):
    """The import when nothing more happens to it; what was sent is not kept any longer."""
    address = f"/v1/imports/{begun.json['job']}"
    api.until(lambda: api.get(address).json["state"] in ("done", "failed"))
    with reading(api.store.engine) as connection:
        assert connection.execute(select(uploads.c.number)).all() == []
    return api.get(address).json


def test_a_file_of_lines_larger_than_any_other_body_is_imported(api):
    lines = [json.dumps({"item": f"line-{n}", "title": "T", "text": "x" * 3000}) for n in range(800)]
    last = ['{"item": "line-7", "title": "Later"}', "", '{"user": "u", "tags": ["t"]}']
    data = "\r\n".join([*lines, *last]).encode()
    assert len(data) > 2 << 20, "more than a part"
    begun = send_lines(api, data)
    assert (begun.status_code, begun.json["state"]) == (202, "queued")
    done = ended(api, begun)
    assert (done["state"], done["message"]) == ("done", "802 of 802 written")
    assert done["result"] == {"items": 801, "items_changed": 801, "users": 1}
    assert [api.store.item(f"line-{n}").title for n in (0, 7, 799)] == ["T", "Later", "T"]
    assert api.get("/v1/users/u").json["tags"] == ["t"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"item": "b", "price": 3}', "line 3: price: There is no such field."),
        ('{"item": "b",}', "line 3: it is not JSON:"),
        ('{"item": "b", "user": "c"}', 'line 3: it must be an object with either an "item" or a "user".'),
        ('"' + "x" * (1 << 20) + '"', "line 3: it is longer than 1,048,576 bytes."),
    ],
)
def test_of_a_file_with_a_wrong_line_nothing_is_imported(api, line, said):
    done = ended(api, send_lines(api, '{"item": "a"}\n\n' + line + '\n{"item": "c"}\n'))
    assert done["state"] == "failed"
    assert done["error"].startswith(said)
    assert api.store.item("a") is None


def test_what_is_too_large_to_import_is_told_the_limit_and_the_way_out(api):
    answer = api.call("POST", "/v1/imports", data=b" " * (2 << 20), content_type="application/json")
    assert answer.status_code == 413
    assert "1,048,576 bytes" in answer.json["detail"]
    assert "application/x-ndjson" in answer.json["detail"]
    shared = api.app.extensions["palate"]
    shared.settings = shared.settings.model_copy(update={"max_import_bytes": 1000})
    answer = send_lines(api, b" " * 1001)
    assert (answer.status_code, answer.json["type"]) == (413, "/problems/too-large")
    assert "1,000 bytes" in answer.json["detail"]
    assert send_lines(api, b"").status_code == 400
    half = {"CONTENT_LENGTH": "500", "wsgi.input_terminated": True}
    answer = api.call("POST", "/v1/imports", data=b"{}", content_type="application/x-ndjson", environ_overrides=half)
    assert answer.status_code == 400
    assert "ended early" in answer.json["detail"]
