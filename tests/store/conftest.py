"""Each test of this folder that asks for `engine` runs on SQLite and on PostgreSQL."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from palate.store import migrate, open_engine


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of an empty database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'store.db'}"
        return
    server = sa.make_url(request.getfixturevalue("postgresql")).set(drivername="postgresql+psycopg")
    name = f"test_{secrets.token_hex(6)}"
    admin = sa.create_engine(server, isolation_level="AUTOCOMMIT")
    with admin.connect() as db:
        db.execute(sa.text(f"CREATE DATABASE {name}"))
    yield server.set(drivername="postgresql", database=name).render_as_string(hide_password=False)
    with admin.connect() as db:
        db.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


@pytest.fixture
def fresh(address: str) -> Iterator[Engine]:
    """An open, empty database."""
    engine = open_engine(address)
    yield engine
    engine.dispose()


@pytest.fixture
def engine(fresh: Engine) -> Engine:
    """A database with the shared tables."""
    migrate(fresh, "palate")
    return fresh


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Callable[..., Engine]]:
    """Opens SQLite files of the test's folder: sqlite("name.db", busy_seconds=...)."""
    opened: list[Engine] = []

    def open_one(name: str = "store.db", **options: float) -> Engine:
        opened.append(open_engine(f"sqlite:///{tmp_path / name}", **options))
        return opened[-1]

    yield open_one
    for one in opened:
        one.dispose()
