"""What the tests of the services share: the small world, a model of it, a store."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from palate.models import make_recommender
from palate.store.engine import open_engine
from palate.store.migrate import migrate
from services.recommender.store import Store

_spec = importlib.util.spec_from_file_location("services_world", Path(__file__).parent / "world.py")
world = importlib.util.module_from_spec(_spec)
sys.modules["services_world"] = world
_spec.loader.exec_module(world)


@pytest.fixture
def store(tmp_path):
    engine = open_engine(f"sqlite:///{tmp_path / 'recommender.db'}")
    migrate(engine, "recommender", "services.recommender:migrations")
    yield Store(engine)
    engine.dispose()


@pytest.fixture(scope="session")
def als():
    return make_recommender("als", {"factors": 8, "iterations": 10}).fit(world.interactions(), world.items())


@pytest.fixture(scope="session")
def integer_als():
    return make_recommender("als", {"factors": 8}).fit(world.interactions(integer=True), world.items(integer=True))
