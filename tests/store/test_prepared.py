"""Prepared statements do in a transaction what SQLAlchemy's do, on both databases, and fail in the same words."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from palate.errors import ConflictError
from palate.store import reading, writing
from palate.store.prepared import Prepared
from palate.store.types import Instant

tables = sa.MetaData()
things = sa.Table(
    "prepared",
    tables,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(20), unique=True),
    sa.Column("data", sa.JSON),
    sa.Column("seen", Instant),
    sa.Column("share", sa.Float),
    sa.Column("shut", sa.Boolean, nullable=False),
)
NOON = datetime(2026, 1, 2, 12, 30, 0, 7, tzinfo=UTC)
_name: sa.BindParameter[str] = sa.bindparam("name")
PUT = Prepared(
    sa.insert(things).values(
        name=_name, data=sa.bindparam("data"), seen=sa.bindparam("seen"), share=sa.bindparam("share"), shut=False
    )
)
GET = Prepared(
    sa.select(things.c.name, things.c.data.label("what"), things.c.seen, things.c.share, things.c.shut)
    .where(things.c.seen <= sa.bindparam("now"), things.c.name != "%s")
    .order_by(things.c.id)
)
SHUT = Prepared(
    sa.update(things).where(things.c.name == _name, ~things.c.shut).values(shut=True).returning(things.c.seen)
)


@pytest.fixture
def stocked(fresh: Engine) -> Engine:
    with writing(fresh) as db:
        tables.create_all(db)
        PUT.all(db, name="a", data={"é": [1, None]}, seen=NOON, share=0.1)
        PUT.all(db, name="' or 1=1 --", data=[], seen=NOON, share=0.1)
        PUT.all(db, name="later", data=None, seen=NOON.replace(year=2030), share=None)
    return fresh


def test_values_go_in_and_come_out_as_their_columns_say(stocked: Engine) -> None:
    rows = [("a", {"é": [1, None]}, NOON, 0.1, False), ("' or 1=1 --", [], NOON, 0.1, False)]
    with reading(stocked) as db:
        assert GET.all(db, now=NOON) == rows
        assert GET.first(db, now=NOON) == rows[0]
        assert GET.named(db, now=NOON) == dict(zip(("name", "what", "seen", "share", "shut"), rows[0], strict=True))
        assert GET.first(db, now=NOON.replace(year=2020)) is None
        plainly = sa.select(things.c.name, things.c.data, things.c.seen, things.c.share, things.c.shut).order_by(
            things.c.id
        )
        assert [tuple(row) for row in db.execute(plainly)][:2] == rows


def test_what_is_changed_is_part_of_the_transaction(stocked: Engine) -> None:
    def twice_and_fail() -> None:
        with writing(stocked) as db:
            assert SHUT.all(db, name="a") == [(NOON,)]
            assert SHUT.all(db, name="a") == []
            raise KeyError

    with pytest.raises(KeyError):
        twice_and_fail()
    with writing(stocked) as db:
        assert SHUT.first(db, name="a") == (NOON,), "what was done is undone with the rest"


def test_what_was_made_of_a_row_is_given_again_until_the_row_is_another(stocked: Engine) -> None:
    one = Prepared(sa.select(things.c.data, things.c.seen).where(things.c.name == _name))
    with reading(stocked) as db:
        assert one.made(db, dict, name="nobody") is None
        first = one.made(db, dict, name="a")
        assert first == {"data": {"é": [1, None]}, "seen": NOON}
        assert one.made(db, dict, name="later") == {"data": None, "seen": NOON.replace(year=2030)}
        assert one.made(db, dict, name="a") is first
    with writing(stocked) as db:
        db.execute(sa.update(things).where(things.c.name == "a").values(seen=NOON.replace(year=2027)))
        assert one.made(db, dict, name="a") == {"data": {"é": [1, None]}, "seen": NOON.replace(year=2027)}


def test_what_the_database_refuses_is_told_as_ever(stocked: Engine) -> None:
    def put(*names: str) -> None:
        with writing(stocked) as db:
            for name in names:
                PUT.all(db, name=name, data=1, seen=NOON, share=0.1)

    with pytest.raises(ConflictError) as said:
        put("new", "a")
    with pytest.raises(ConflictError) as usual, writing(stocked) as db:
        db.execute(sa.insert(things), {"name": "a", "data": 1, "seen": NOON, "shut": False})
    assert str(said.value) == str(usual.value)
    put("new")  # nothing is left of the one that failed
