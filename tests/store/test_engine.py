from __future__ import annotations

import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from palate.errors import ConflictError, ParameterError, StoreError
from palate.store import Instant, open_engine, reading, writing

tables = sa.MetaData()
things = sa.Table(
    "things", tables, sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.String(20), unique=True),
    sa.Column("at", Instant), sa.Column("parent", sa.Integer, sa.ForeignKey("things.id")), sa.Column("data", sa.JSON),
)  # fmt: skip


@pytest.fixture
def made(fresh: Engine) -> Engine:
    with writing(fresh) as db:
        tables.create_all(db)
    return fresh


def test_what_is_written_is_read_and_what_fails_is_not_there(made: Engine) -> None:
    with writing(made) as db:
        db.execute(things.insert().values(id=1, name="a", data={"k": [1, "é", None]}))

    def fail() -> None:
        with writing(made) as db:
            db.execute(things.insert().values(id=2, name="b"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with reading(made) as db:
        assert [(row.id, row.data) for row in db.execute(things.select())] == [(1, {"k": [1, "é", None]})]


def test_a_reader_sees_one_moment(made: Engine) -> None:
    count = sa.select(sa.func.count()).select_from(things)
    with reading(made) as db:
        before = db.execute(count).scalar_one()
        with writing(made) as other:
            other.execute(things.insert().values(id=1, name="meanwhile"))
        assert db.execute(count).scalar_one() == before
    with reading(made) as db:
        assert db.execute(count).scalar_one() == before + 1


def test_a_reader_cannot_write(made: Engine) -> None:
    with pytest.raises((StoreError, sa.exc.DBAPIError)), reading(made) as db:
        db.execute(things.insert().values(id=1))
    with writing(made) as db:
        db.execute(things.insert().values(id=1))


def test_taken_keys_and_missing_references_are_conflicts(made: Engine) -> None:
    with writing(made) as db:
        db.execute(things.insert().values(id=1, name="a"))
    with pytest.raises(ConflictError), writing(made) as db:
        db.execute(things.insert().values(id=2, name="a"))
    with pytest.raises(ConflictError), writing(made) as db:
        db.execute(things.insert().values(id=3, parent=99))


def test_a_value_that_does_not_fit_is_the_callers_error(made: Engine) -> None:
    with pytest.raises(ParameterError, match="does not fit"), writing(made) as db:
        db.execute(things.insert().values(id=2**70))


def test_instants_keep_their_moment_and_refuse_naive_ones(made: Engine) -> None:
    here = datetime(2026, 3, 29, 2, 30, 0, 123456, tzinfo=timezone(timedelta(hours=2)))
    with writing(made) as db:
        db.execute(things.insert().values(id=1, at=here))
        assert db.scalar(sa.select(things.c.at)) == here
        assert db.scalar(sa.select(things.c.at)).tzinfo is UTC
    with pytest.raises(sa.exc.StatementError, match="time zone"), writing(made) as db:
        db.execute(things.insert().values(id=2, at=datetime(2026, 1, 1)))


def test_many_writers_lose_no_write(made: Engine) -> None:
    with writing(made) as db:
        db.execute(things.insert().values(id=1, data=0))

    def add() -> None:
        for _ in range(20):
            with writing(made) as db:
                value = db.scalar(sa.select(things.c.data).with_for_update())
                db.execute(things.update().values(data=value + 1))

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with reading(made) as db:
        assert db.scalar(sa.select(things.c.data)) == 80


def test_sqlite_is_set_up_to_last(sqlite: Callable[..., Engine], tmp_path: Path) -> None:
    engine = sqlite("deep/er/store.db")
    with reading(engine) as db:
        found = [
            db.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    assert found == ["wal", 2, 1]
    assert stat.S_IMODE((tmp_path / "deep/er/store.db").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "deep/er").stat().st_mode) == 0o700


def test_opening_a_database_once_more_leaves_its_locks_alone(sqlite: Callable[..., Engine], tmp_path: Path) -> None:
    engine = sqlite("store.db")
    with writing(engine) as db:
        db.exec_driver_sql("CREATE TABLE things (id INTEGER PRIMARY KEY)")
    sqlite("store.db").dispose()
    # Another process that is the last to leave a database takes its journal along.
    read = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('SELECT * FROM things').fetchall()"
    subprocess.run([sys.executable, "-c", read, str(tmp_path / "store.db")], check=True)
    assert (tmp_path / "store.db-wal").exists(), "we are still there"


def test_a_locked_database_says_so(sqlite: Callable[..., Engine]) -> None:
    patient, hasty = sqlite(), sqlite(busy_seconds=0.05)
    with writing(patient), pytest.raises(StoreError, match="locked by another process"), writing(hasty):
        pass


@pytest.mark.parametrize("content", [b"id,name\n1,a\n" * 100, b"\x00\xff" * 1000])
def test_a_file_that_is_no_database_is_named(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "notes.db"
    file.write_bytes(content)
    with pytest.raises(StoreError, match="not a SQLite database") as caught:
        open_engine(f"sqlite:///{file}")
    assert str(file) in str(caught.value)
    assert file.read_bytes() == content


def test_a_folder_in_the_place_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be opened"):
        open_engine(f"sqlite:///{tmp_path}")


@pytest.mark.parametrize("url", ["", "nonsense", "mysql://host/name", "sqlite://", "sqlite:///:memory:", "oracle://x"])
def test_addresses_that_cannot_be_used(url: str) -> None:
    with pytest.raises(ParameterError, match="database_url"):
        open_engine(url)


def test_a_server_that_is_away(tmp_path: Path) -> None:
    engine = open_engine(f"postgresql://someone:secret@/name?host={tmp_path}")
    with pytest.raises(StoreError, match="cannot be reached") as caught, reading(engine):
        pass
    assert "secret" not in str(caught.value)


def test_a_connection_that_the_server_ended_is_made_anew(postgresql: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("palate.store.engine.IDLE_SECONDS", -1.0)
    engine, other = open_engine(postgresql), open_engine(postgresql)
    pid = sa.select(sa.func.pg_backend_pid())
    with reading(engine) as db:
        before = db.scalar(pid)
    with writing(other) as db:
        assert db.scalar(sa.select(sa.func.pg_terminate_backend(before, 10_000)))
    with writing(engine) as db:
        assert db.scalar(pid) != before
        assert db.scalar(sa.text("SHOW jit")) == "off"
    engine.dispose()
    other.dispose()


@pytest.mark.parametrize("address", ["postgresql"], indirect=True)
def test_of_several_connections_the_one_used_last_is_used_again(fresh: Engine) -> None:
    with fresh.connect(), fresh.connect(), fresh.connect():
        pass
    servers = set()
    for _ in range(4):
        with reading(fresh) as db:
            servers.add(db.scalar(sa.text("SELECT pg_backend_pid()")))
    assert len(servers) == 1
