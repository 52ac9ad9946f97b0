"""The catalogue and users: partial changes, deletion, pages of long lists, imports as jobs."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from services_world import ITEMS

from palate.errors import UnknownIdError
from palate.store.jobs import Jobs
from services.recommender.answers import EventList, ImportOut, ItemsOut, UsersOut
from services.recommender.catalogue import ItemRow
from services.recommender.cursors import cursor_after, key_of
from services.recommender.patches import merged
from services.recommender.store import Event, UserRow


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


def pages(api, path, key, limit):
    """The lists of all pages of a list."""
    found, cursor = [], ""
    while cursor is not None:
        answer = api.get(f"{path}?limit={limit}{cursor}").json
        {"items": ItemsOut, "users": UsersOut, "events": EventList}[key].model_validate(answer)
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
