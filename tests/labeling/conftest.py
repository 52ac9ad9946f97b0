"""A labeling store on each database there is."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from labeling.settings import LabelingSettings
from labeling.store import MIGRATIONS, projects
from labeling.work.process import work_off
from palate.store import migrate, open_engine, reading, writing


class Store:
    """One migrated database, with both kinds of transaction."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine: Engine = open_engine(url)
        migrate(self.engine, "labeling", MIGRATIONS)

    def write(self) -> AbstractContextManager[Connection]:
        return writing(self.engine)

    def read(self) -> AbstractContextManager[Connection]:
        return reading(self.engine)


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of an empty database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'labeling.db'}"
        return
    server = sa.make_url(request.getfixturevalue("postgresql"))
    name = f"labeling_{secrets.token_hex(4)}"
    admin = sa.create_engine(
        server.set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT", poolclass=sa.NullPool
    )
    with admin.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    yield server.set(database=name).render_as_string(hide_password=False)
    with admin.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    store = Store(store_url)
    yield store
    store.engine.dispose()


@pytest.fixture
def work(store: Store, tmp_path: Path) -> Callable[[], None]:
    """Does, as a worker would, all that is due now."""
    return partial(work_off, store.engine, LabelingSettings(home=tmp_path))


@pytest.fixture
def films(store: Store) -> projects.Project:
    """Three films to sort, one answer each."""
    return make(store, title="Films", n=3)


@pytest.fixture
def make_project(store: Store) -> Callable[..., projects.Project]:
    """A project of `n` films with the overlap asked for."""
    return partial(make, store)


def make(store: Store, *, title: str = "Films", n: int = 3, overlap: int = 1) -> projects.Project:
    with store.write() as connection:
        definition = projects.Definition(title, ("Comedy", "Drama", "War"), overlap=overlap)
        project, _ = projects.create(connection, definition)
        new = [projects.NewTask(f"film-{i}", {"title": f"Film {i}"}) for i in range(n)]
        projects.add_tasks(connection, project, new)
        return projects.get(connection, project.id)
