"""Statements run by the driver itself do what SQLAlchemy's do, on both databases, and fail in the same words."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from palate.errors import StoreError
from palate.store import reading, writing
from palate.store.quick import Quick, QuickInsert
from palate.store.types import Instant

tables = sa.MetaData()
marks = sa.Table("marks", tables, sa.Column("data", sa.JSON), sa.Column("seen", Instant), sa.Column("shut", sa.Boolean))
NOON = datetime(2026, 1, 2, 12, 30, 0, 7, tzinfo=UTC)
things = sa.Table("quick", tables, sa.Column("name", sa.String(20), primary_key=True), sa.Column("size", sa.Float))


def test_the_first_row_or_none(fresh: Engine) -> None:
    with writing(fresh) as db:
        tables.create_all(db)
        db.execute(sa.insert(things), [{"name": "a%s", "size": 1.5}, {"name": "b", "size": None}])
    wanted: sa.BindParameter[str] = sa.bindparam("name")
    found = Quick(fresh, sa.select(things.c.name, things.c.size).where(things.c.name == wanted))
    assert found.first(name="a%s") == ("a%s", 1.5)
    assert found.first(name="b") == ("b", None)
    assert found.first(name="' or 1=1 --") is None
    both = Quick(fresh, sa.select(sa.or_(sa.exists().where(things.c.name == wanted), wanted == "z")))
    assert [bool((both.first(name=name) or [None])[0]) for name in ("b", "z", "c")] == [True, True, False]
    with writing(fresh) as db:
        db.execute(sa.insert(things).values(name="c", size=2))
    assert found.first(name="c") == ("c", 2.0), "what is committed is seen by the next call"
    larger = sa.select(things.c.name).where(things.c.size > sa.bindparam("size")).order_by(things.c.name.desc())
    assert Quick(fresh, larger).all(size=1.0) == [("c",), ("a%s",)]
    assert Quick(fresh, larger).all(size=5.0) == []


def test_a_typed_row_is_as_its_columns_say_also_where_the_connection_was_lost(fresh: Engine) -> None:
    with writing(fresh) as db:
        tables.create_all(db)
        db.execute(sa.insert(marks), {"data": {"é": [1]}, "seen": NOON, "shut": False})
    found = Quick(fresh, sa.select(marks.c.data, marks.c.seen, marks.c.shut).where(marks.c.seen <= sa.bindparam("now")))
    assert found.typed(now=NOON) == ({"é": [1]}, NOON, False)
    found._own._idle[0].close()
    assert found.typed(now=NOON) == ({"é": [1]}, NOON, False)
    assert found.typed(now=NOON.replace(year=2020)) is None


def test_rows_whose_key_is_taken_are_left_out(fresh: Engine) -> None:
    with writing(fresh) as db:
        tables.create_all(db)
    put = QuickInsert(fresh, things, ("size", "name"))
    with writing(fresh) as db:
        assert put.run(db, [(1.5, "a%s"), (None, "b"), (9.0, "b")]) == 2
    with writing(fresh) as db:
        assert (put.run(db, [(7.0, "b"), (8.0, "c?")]), put.run(db, [(3.0, "b")])) == (1, 0)
    with reading(fresh) as db:
        assert sorted(map(tuple, db.execute(sa.select(things)))) == [("a%s", 1.5), ("b", None), ("c?", 8.0)]


@pytest.mark.parametrize("count", [1, 49, 50, 51, 120])
def test_of_many_rows_those_that_are_new_are_stored_and_counted(fresh: Engine, count: int) -> None:
    """Every third row has a key that is taken, and the last one that of the first."""
    with writing(fresh) as db:
        tables.create_all(db)
    put = QuickInsert(fresh, things, ("size", "name"))
    taken, rows = ([(size, f"row {number}") for number in range(count)] for size in (1.0, 2.0))
    with writing(fresh) as db:
        assert put.run(db, taken[::3]) == len(taken[::3])
    with writing(fresh) as db:
        assert put.run(db, [*rows, (9.0, "row 0")]) == count - len(taken[::3])
    with reading(fresh) as db:
        stored = {row.name: row.size for row in db.execute(sa.select(things))}
    assert stored == {f"row {number}": 2.0 if number % 3 else 1.0 for number in range(count)}


def test_a_connection_is_kept_for_the_next_look_replaced_when_lost_and_closed_with_the_engine(fresh: Engine) -> None:
    lent: list[object] = []
    found = Quick(fresh, sa.select(sa.literal(1)))
    assert found.first() == (1,)
    sa.event.listen(fresh, "checkout", lambda connection, record, proxy: lent.append(connection))
    assert [found.first() for _ in range(3)] == [(1,)] * 3
    assert not lent, "the pool is not asked again"
    (kept,) = found._own._idle
    kept.close()
    assert found.first() == (1,), "a lost connection is replaced"
    assert found.first() == (1,)
    (kept,) = found._own._idle
    lent.clear()
    fresh.dispose()
    assert not found._own._idle
    with pytest.raises(Exception, match=r"closed"):
        kept.execute("select 1")
    assert found.first() == (1,)
    fresh.dispose()


def test_who_finds_all_connections_in_use_waits_for_one(fresh: Engine) -> None:
    found = Quick(fresh, sa.select(sa.literal(1)))
    held = [found._own.take() for _ in range(4)]
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(found.first)
        with pytest.raises(TimeoutError):
            asked.result(timeout=0.1)
        found._own.give(held.pop())
        assert asked.result(timeout=10) == (1,)
    for connection in held:
        found._own.lose(connection)
    assert [found.first() for _ in range(5)] == [(1,)] * 5, "those that were lost have left their places"
    fresh.dispose()


def test_what_is_wrong_is_told_as_ever(sqlite) -> None:  # type: ignore[no-untyped-def]
    engine = sqlite("damaged.db")
    found = Quick(engine, sa.select(sa.literal(1)))
    assert found.first() == (1,)
    with writing(engine) as db:
        tables.create_all(db)
    found = Quick(engine, sa.select(things.c.name))
    engine.dispose()
    with open(str(engine.url.database), "r+b") as file:
        file.write(b"no database at all" * 100)
    with pytest.raises(StoreError):
        found.first()
