"""Events: an id stands for one body; and they go out as Parquet, the same bytes for the same cursor."""

from __future__ import annotations

import io

import pyarrow.parquet as pq
import pytest

from palate.dataset.readers import read_interactions
from palate.errors import ConflictError
from services.recommender.exports import parquet
from services.recommender.store import Event

SENT = Event("1", "u", "a", "view", 2.0, 1e9, "r")


@pytest.mark.parametrize(
    "other",
    [
        Event("1", "v", "a", "view", 2.0, 1e9, "r"),
        Event("1", "u", "b", "view", 2.0, 1e9, "r"),
        Event("1", "u", "a", "click", 2.0, 1e9, "r"),
        Event("1", "u", "a", "view", None, 1e9, "r"),
        Event("1", "u", "a", "view", 2.0, 1e9 + 1, "r"),
        Event("1", "u", "a", "view", 2.0, 1e9, None),
        Event("1", "u", "a", "view", 2.0, 1e9, "r", dated=False),
    ],
)
def test_an_id_stands_for_one_body(store, other):
    assert store.add_events([SENT]) == 1
    assert store.add_events([SENT]) == 0
    with pytest.raises(ConflictError):
        store.add_events([other])
    with pytest.raises(ConflictError):
        store.add_events([Event("2", "u", "a"), Event("2", "u", "b")])


def test_the_same_request_may_be_repeated_and_another_is_refused(api):
    first = {"id": "1", "user": "u", "item": "western-1", "weight": 1}
    assert api.call("POST", "/v1/events", first).status_code == 201
    assert api.call("POST", "/v1/events", first).json["repeated"] == 1
    assert api.call("POST", "/v1/events", {**first, "weight": 1.0, "kind": "view"}).json["repeated"] == 1
    for changed in ({"weight": 2}, {"timestamp": 1000}, {"recommendation_id": "r"}, {"kind": "click"}):
        answer = api.call("POST", "/v1/events", {**first, **changed})
        assert (answer.status_code, answer.json["type"]) == (409, "/problems/conflict"), changed
    assert len(api.get("/v1/events?user=u").json["events"]) == 1


def test_pages_never_change_once_they_were_read(store):
    def page(after, least):
        rows, until = store.events_page(after, least)
        return [row.id for row in rows], parquet(rows), until

    assert page(0, 3)[0] == []
    store.add_events([Event(name, "u", "a") for name in ("b", "a")])
    part = page(0, 3)
    assert part[0] == ["a", "b"]
    store.add_events([Event(name, "u", "a") for name in ("d", "c", "e")])
    store.add_events([Event("f", "u", "a", timestamp=5.5)])
    assert page(0, 3) == part
    second = page(part[2], 3)
    assert second[0] == ["c", "d", "e"]
    assert page(second[2], 3)[0] == ["f"]
    assert page(0, 1)[0] == ["a", "b"]
    assert page(0, 100)[0] == ["a", "b", "c", "d", "e", "f"]
    assert page(part[2], 3) == second


def test_a_reader_follows_the_cursor_and_training_reads_the_files(api, tmp_path):
    api.call("POST", "/v1/events", {"events": [{"user": "u", "item": "a", "weight": 2, "timestamp": 1e9, "id": "1"}]})
    api.call("POST", "/v1/events", {"user": "v", "item": "b", "timestamp": 2e8, "recommendation_id": "r"})
    first = api.get("/v1/events/export?limit=1")
    assert (first.status_code, first.content_type) == (200, "application/vnd.apache.parquet")
    again = api.get("/v1/events/export?limit=1&after=0")
    assert again.data == first.data
    second = api.get(f"/v1/events/export?limit=1&after={first.headers['Next-Cursor']}")
    row = pq.read_table(io.BytesIO(second.data)).to_pylist()[0]
    assert (row["user"], row["item"], row["weight"], row["timestamp"]) == ("v", "b", 1.0, 200_000_000)
    assert (row["kind"], row["recommendation_id"]) == ("view", "r")
    last = api.get(f"/v1/events/export?after={second.headers['Next-Cursor']}")
    assert pq.read_table(io.BytesIO(last.data)).num_rows == 0
    assert last.headers["Next-Cursor"] == second.headers["Next-Cursor"]
    (tmp_path / "events.parquet").write_bytes(first.data)
    held = read_interactions(tmp_path / "events.parquet")
    assert (held.weights.tolist(), held.timestamps.tolist()) == ([2.0], [10**9])
    for query in ("after=-1", "after=x", "limit=0", "limit=100001", f"after={2**63}"):
        assert api.get(f"/v1/events/export?{query}").status_code == 422
    assert api.get("/v1/events/export", token=api.key("recommend")).status_code == 403


def test_events_are_committed_and_flushed_before_the_answer_begins(api):
    """By the database's own word: at the first byte of the answer another connection reads them."""
    seen, inner = [], api.app.wsgi_app

    def watching(environ, start_response):
        def begun(status, headers, *more):
            if environ["REQUEST_METHOD"] == "POST":
                with api.store.engine.connect() as other:
                    held = other.exec_driver_sql("select count(*) from recommender_events").scalar()
                    settings = [other.exec_driver_sql(f"PRAGMA {n}").scalar() for n in ("journal_mode", "synchronous")]
                seen.append((status[:3], held, settings))
            return start_response(status, headers, *more)

        return inner(environ, begun)

    api.app.wsgi_app = watching
    for number in (1, 2):
        sent = {"events": [{"id": f"{number}-{at}", "user": "u", "item": "western-1"} for at in range(100)]}
        api.call("POST", "/v1/events", sent)
    assert seen == [("201", 100, ["wal", 2]), ("201", 200, ["wal", 2])], "write-ahead log, synchronous=FULL"
