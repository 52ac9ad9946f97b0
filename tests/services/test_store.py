"""The recommender's tables: counters in order, all or nothing, once per id; on every database there is."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor, wait

import pytest

from palate.errors import ConflictError
from palate.store.engine import writing
from palate.store.migrate import differences
from services.recommender.catalogue import ItemRow
from services.recommender.store import NOBODY, Event, UserRow
from services.recommender.tables import metadata
from services.recommender.users import UserCache


def test_migrations_and_declarations_agree(store):
    assert differences(store.engine, metadata) == []


def test_items_come_back_in_the_order_of_their_changes(store):
    assert store.put_items([ItemRow("a", "A", categories=("x",), attributes={"price": 3}), ItemRow("b")]) == [True] * 2
    first = store.changes()["items"]
    assert store.put_items([ItemRow("a", "A2")]) == [False]
    assert [row.title for row in store.items_since(first)] == ["A2"]
    assert [row.id for row in store.items_since(0)] == ["b", "a"]
    assert store.item("b").categories == ()
    assert store.item("zz") is None


def test_a_deleted_item_is_new_again_when_put(store):
    store.put_items([ItemRow("a", "A")])
    store.delete_item("a")
    assert store.item("a").deleted
    assert store.put_items([ItemRow("a", "A")]) == [True]


def test_events_count_once(store):
    batch = [Event("1", "u", "a"), Event("2", "u", "b"), Event("1", "u", "a")]
    assert store.add_events(batch) == 2
    assert store.add_events(batch) == 0
    assert [row.id for row in store.events_since(0)] == ["1", "2"]


def test_a_batch_with_a_taken_id_leaves_nothing(store):
    store.add_events([Event("1", "u", "a")])
    with pytest.raises(ConflictError) as error:
        store.add_events([Event("2", "u", "b"), Event("1", "other", "a")])
    assert error.value.where == "events[1].id"
    assert [row.id for row in store.events_since(0)] == ["1"]


def test_batches_of_many_threads_at_once_each_have_their_own_outcome(store):
    store.add_events([Event("taken", "u", "a")])
    batches = [[Event(f"{name}-{n}", name, "a") for n in range(5)] for name in "abcd"]
    batches[2].append(Event("taken", "c", "a"))
    with ThreadPoolExecutor(4) as threads, writing(store.engine):
        asked = [threads.submit(store.add_events, batch) for batch in batches]
        # Where writers stand in line all four wait for this one now, and then are written in one transaction.
        done, _ = wait(asked, timeout=0.5 if store.engine.dialect.name == "sqlite" else 60)
        assert store.engine.dialect.name != "sqlite" or not done
    with pytest.raises(ConflictError) as error:
        asked[2].result(60)
    assert error.value.where == "events[5].id"
    assert [asked[at].result(60) for at in (0, 1, 3)] == [5, 5, 5]
    rows = list(store.events_since(0))
    assert {row.id for row in rows} == {"taken", *(event.id for at in (0, 1, 3) for event in batches[at])}
    assert len({row.change for row in rows}) == 4, "each batch has a number of its own"


def test_a_user_is_their_row_and_their_latest_events(store):
    store.put_user(UserRow("u", ("x",), (), 3))
    store.add_events([Event("1", "u", "a"), Event("2", "v", "z")])
    store.add_events([Event("3", "u", "b", weight=-1.0), Event("4", "u", "a")])
    state = store.state("u")
    assert state.row.segment == 3
    assert set(state.touched) == {"a", "b"}
    assert state.recent == ("a",)
    assert store.users_since(0, 1) == {"u"}


def test_writers_at_once_never_share_a_number(store):
    def write(name):
        for number in range(10):
            store.add_events([Event(f"{name}{number}", name, "a")])

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    numbers = [row.change for row in store.events_since(0)]
    assert numbers == list(range(1, 41))


@pytest.mark.parametrize("nothing", [None, NOBODY])
def test_the_cache_reads_again_after_a_change_and_keeps_no_older_state(store, nothing):
    cache = UserCache(store.state, size=2, nothing=nothing)
    assert cache.get("u").recent == ()
    store.add_events([Event("1", "u", "a")])
    assert cache.get("u").recent == ()
    cache.forget(["u"])
    assert cache.get("u").recent == ("a",)

    def change_meanwhile(user):
        state = store.state(user)
        store.add_events([Event("2", "v", "b")])
        late.forget(["v"])
        return state

    late = UserCache(change_meanwhile, nothing=nothing)
    late.get("v")
    late._read = store.state
    assert late.get("v").recent == ("b",)


def test_the_cache_holds_no_more_than_its_size(store):
    cache = UserCache(store.state, size=2)
    for user in "abc":
        cache.get(user)
    assert len(cache._held) == 2


def test_the_cache_asks_once_for_those_of_whom_nothing_is_stored(store):
    asked = []
    cache = UserCache(lambda user: (asked.append(user), store.state(user))[1], size=2, nothing=NOBODY)
    for _ in range(3):
        assert {cache.get(f"stranger {number}") for number in range(5)} == {NOBODY}
    assert len(asked) == 5
    assert not cache._held
