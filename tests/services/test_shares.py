"""How many lists each strategy led is counted over all workers, kept by the hour, and told."""

from __future__ import annotations

import threading
import time
from collections import Counter

import pytest
from sqlalchemy.exc import SQLAlchemyError

from services.recommender.shares import HOUR, KEPT_DAYS, KEY, Shares, cold


def test_what_all_workers_counted_adds_up(store):
    mine, other = Shares(store.engine), Shares(store.engine)
    now = time.time()
    for strategies in (["personal", "popular"], ["pinned", "popular"], ["personal"], ["pinned"], []):
        mine.add(strategies)
    other.add(["personal"])
    mine.write()
    other.write()
    mine.add(["fold-in"])
    mine.write()
    mine.write()
    total = sum(mine.counted(now).values(), Counter())
    assert total == {"personal": 3, "popular": 1, "fold-in": 1}
    assert cold(total) == pytest.approx(1 / 5)
    assert cold(Counter()) is None
    assert mine.counted(now + 2 * HOUR) == {}


def test_old_counts_are_forgotten(store, monkeypatch):
    now, shares = time.time(), Shares(store.engine)
    monkeypatch.setattr(time, "time", lambda: now - (KEPT_DAYS + 1) * 86_400)
    shares.add(["popular"])
    shares.write()
    assert len(shares.counted(0)) == 1
    monkeypatch.setattr(time, "time", lambda: now)
    shares.add(["personal"])
    shares.write()
    assert list(shares.counted(0).values()) == [{"personal": 1}]


def test_nothing_is_lost_while_the_database_is_away(store):
    shares = Shares(store.engine)
    shares.add(["popular"])
    with store.engine.begin() as db:
        db.exec_driver_sql("ALTER TABLE recommender_shares RENAME TO elsewhere")
    with pytest.raises(SQLAlchemyError):
        shares.write()
    shares.add(["popular"])
    with store.engine.begin() as db:
        db.exec_driver_sql("ALTER TABLE elsewhere RENAME TO recommender_shares")
    stop = threading.Event()
    stop.set()
    shares.write_loop(stop)  # once more, as at the end of a worker
    assert list(shares.counted(0).values()) == [{"popular": 2}]


def test_lists_for_somebody_are_counted_and_those_for_everybody_are_not(shared_api):
    api, shares = shared_api, shared_api.app.extensions[KEY]
    for url in ("users/a0/recommendations", "users/new/recommendations", "items/popular", "items/comedy-1/similar"):
        api.get(f"/v1/{url}")
    api.call("POST", "/v1/recommendations/session", {"recent_items": ["comedy-1"]})
    api.call("POST", "/v1/recommendations/batch", {"users": ["a1", "a2", "nobody"]})
    api.call("POST", "/v1/recommendations", {"attributes": {"categories": ["Western"]}})
    shares.write()
    expected = {"personal": 3, "popular": 2, "fold-in": 1, "content": 1}
    api.until(lambda: sum(shares.counted(0).values(), Counter()) == expected)
