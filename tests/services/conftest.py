"""What the tests of the services share: the small world, a model of it, a store."""

from __future__ import annotations

import importlib.util
import sys
import time
from pathlib import Path

import pytest

from palate.bundle import publish_bundle, set_current
from palate.models import make_recommender
from palate.store.accounts import Accounts
from palate.store.engine import open_engine, writing
from palate.store.migrate import migrate
from services.recommender.app import create
from services.recommender.settings import RecommenderSettings
from services.recommender.state import KEY
from services.recommender.store import Store
from services.recommender.tables import metadata

_spec = importlib.util.spec_from_file_location("services_world", Path(__file__).parent / "world.py")
world = importlib.util.module_from_spec(_spec)
sys.modules["services_world"] = world
_spec.loader.exec_module(world)


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request, tmp_path):
    """An empty store, once on each database."""
    url = f"sqlite:///{tmp_path / 'recommender.db'}"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgresql")
    engine = open_engine(url)
    if request.param == "postgresql":
        with writing(engine) as connection:
            for table in [*reversed(metadata.sorted_tables), "alembic_version_recommender"]:
                connection.exec_driver_sql(f"DROP TABLE IF EXISTS {table}")
    migrate(engine, "recommender", "services.recommender:migrations")
    yield Store(engine)
    engine.dispose()


@pytest.fixture(scope="session")
def als():
    return make_recommender("als", {"factors": 8, "iterations": 10}).fit(world.interactions(), world.items())


@pytest.fixture(scope="session")
def integer_als():
    return make_recommender("als", {"factors": 8}).fit(world.interactions(integer=True), world.items(integer=True))


@pytest.fixture(scope="session")
def blend():
    parts = "als(factors=8),content,popularity"
    return make_recommender("blend", {"parts": parts}).fit(world.interactions(), world.items())


@pytest.fixture
def bundles(tmp_path, blend):
    """A folder of bundles whose first version is current."""
    return publish(tmp_path / "bundles", blend)


def publish(root, model):
    set_current(root, publish_bundle(model, root, metrics={"ndcg@10": 0.5}))
    return root


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory):
    """Checked bundles are remembered here, not in the home of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def settings(tmp_path, bundles):
    return settings_for(tmp_path / "home", bundles)


def settings_for(home, bundles):
    return RecommenderSettings(
        home=home, bundle=bundles, catalogue_seconds=0.05, model_seconds=0.1, retry_seconds=0.5, rollout_seconds=0.1
    )


class Api:
    """One app and a client that sends a key and reads JSON."""

    def __init__(self, settings):
        self.app = create(settings)
        self.live = self.app.extensions[KEY][0]
        self.store = self.live.store
        self.token = self.key("*")
        self.client = self.app.test_client()

    def key(self, *scopes):
        return Accounts(self.store.engine).create_key("test", list(scopes))[1]

    def call(self, method, url, body=None, token=None, **more):
        headers = {"Authorization": f"Bearer {token or self.token}", **more.pop("headers", {})}
        if body is not None:
            more["json"] = body
        return self.client.open(url, method=method, headers=headers, **more)

    def get(self, url, **more):
        return self.call("GET", url, **more)

    def items(self, url, **more):
        """(item, strategy) of each place."""
        answer = self.get(url, **more)
        assert answer.status_code == 200, answer.text
        return [(place["item"], place["strategy"]) for place in answer.json["items"]]

    def until(self, holds, seconds=120):
        """Waits for what the background threads bring about."""
        end = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < end, "it did not come about"
            time.sleep(0.02)

    def close(self):
        self.live.stop()
        self.store.engine.dispose()


@pytest.fixture
def open_api():
    """Makes apps that are closed at the end."""
    opened = []

    def make(settings):
        opened.append(Api(settings))
        return opened[-1]

    yield make
    for api in opened:
        api.close()


@pytest.fixture
def api(open_api, settings):
    """An app that serves the blend, with the catalogue in its store."""
    return stocked(open_api(settings))


@pytest.fixture(scope="module")
def shared_api(tmp_path_factory, blend):
    """The same, for tests that leave it as it was."""
    folder = tmp_path_factory.mktemp("shared")
    api = stocked(Api(settings_for(folder / "home", publish(folder / "bundles", blend))))
    yield api
    api.close()


def stocked(api):
    api.store.put_items(world.rows())
    api.until(lambda: api.live.served.catalogue.by_category)
    return api
