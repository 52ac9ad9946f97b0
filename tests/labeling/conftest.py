"""A labeling store on each database there is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, create_engine, event

from labeling.store import projects
from labeling.store.tables import metadata


class Store:
    def __init__(self, url: str) -> None:
        self.url = url
        self.engine: Engine = create_engine(url, connect_args={"timeout": 30})

        @event.listens_for(self.engine, "connect")
        def _connect(dbapi, record):
            dbapi.isolation_level = None
            dbapi.execute("PRAGMA journal_mode=WAL")
            dbapi.execute("PRAGMA foreign_keys=ON")

        @event.listens_for(self.engine, "begin")
        def _begin(connection):
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    def write(self) -> AbstractContextManager[Connection]:
        return self.engine.begin()

    read = write


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(f"sqlite:///{tmp_path / 'labeling.db'}")
    metadata.create_all(store.engine)
    yield store
    store.engine.dispose()


@pytest.fixture
def films(store: Store) -> projects.Project:
    """Three films to sort, one answer each."""
    return make(store, title="Films", n=3)


def make(store: Store, *, title: str = "Films", n: int = 3, overlap: int = 1) -> projects.Project:
    with store.write() as connection:
        project, _ = projects.create(
            connection, projects.Definition(title, ("Comedy", "Drama", "War"), overlap=overlap)
        )
        new = [projects.NewTask(f"film-{i}", {"title": f"Film {i}"}) for i in range(n)]
        projects.add_tasks(connection, project, new)
        return projects.get(connection, project.id)


@pytest.fixture
def make_project(store: Store) -> Callable[..., projects.Project]:
    return partial(make, store)
