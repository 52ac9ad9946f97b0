"""What the tests of the endpoints share: a few fitted models as bundles, one app, one real server, boto3."""

from __future__ import annotations

import importlib.util
import sys
import time
from pathlib import Path

import pytest

from palate.bundle import write_bundle
from palate.models.factorization_machine import FactorizationMachine
from palate.models.kmeans import KMeans
from palate.models.pca import PCA
from palate.models.pipeline import ArtifactPipeline, Stage
from palate.store.accounts import Accounts
from services.endpoints.app import create
from services.endpoints.invoking import INVOKING, KEY
from services.endpoints.settings import EndpointSettings

_spec = importlib.util.spec_from_file_location("endpoint_server", Path(__file__).parent / "server.py")
server_module = importlib.util.module_from_spec(_spec)
sys.modules["endpoint_server"] = server_module
_spec.loader.exec_module(server_module)


@pytest.fixture(scope="session")
def pca():
    return PCA([[1.0, 0.0, 0.5], [0.0, 2.0, 0.0]])


@pytest.fixture(scope="session")
def kmeans():
    return KMeans([[0.0, 0.0], [3.0, 4.0]])


@pytest.fixture(scope="session")
def fm():
    return FactorizationMachine(0.1, [1.0, -0.5, 0.0], [[0.1, 0.2], [0.0, 0.3], [-0.4, 0.1]], "classification")


@pytest.fixture(scope="session")
def bundles(tmp_path_factory, pca, kmeans, fm, als):
    """A folder of bundles by the kinds that they hold."""
    root = tmp_path_factory.mktemp("bundles")
    pipeline = ArtifactPipeline([Stage("pca", pca), Stage("kmeans", kmeans, {"features": "projection"})])
    for name, artifact in {"pca": pca, "kmeans": kmeans, "fm": fm, "pipeline": pipeline, "als": als}.items():
        write_bundle(artifact, root / name)
    return root


def settings_for(home, **values):
    return EndpointSettings(home=home, endpoint_seconds=0.05, retry_seconds=0.3, **values)


class Api:
    """One app, a client of it, and a key for everything."""

    def __init__(self, settings):
        self.app = create(settings)
        self.hosting = self.app.extensions[KEY]
        self.token = self.key("*")
        self.client = self.app.test_client()

    def key(self, *scopes):
        return Accounts(self.hosting.store.engine).create_key("test", list(scopes))[1]

    def call(self, method, url, token=None, headers=None, **more):
        headers = {"Authorization": f"Bearer {token or self.token}", **(headers or {})}
        return self.client.open(url, method=method, headers=headers, **more)

    def deploy(self, name, bundle, **more):
        return self.call("PUT", f"/v1/endpoints/{name}", json={"bundle": str(bundle), **more})

    def invoke(self, name, body, kind="application/json", **headers):
        return self.call(
            "POST",
            f"/endpoints/{name}/invocations",
            data=body,
            headers={"Content-Type": kind, **{key.replace("_", "-"): value for key, value in headers.items()}},
        )

    def until(self, holds, seconds=120):
        end = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < end, "it did not come about"
            time.sleep(0.02)

    def close(self):
        self.hosting.stop()
        self.app.extensions[INVOKING].stop()
        self.hosting.store.engine.dispose()


@pytest.fixture(scope="session")
def far(tmp_path_factory):
    """Another k-means than that of the other bundles."""
    path = tmp_path_factory.mktemp("far") / "far"
    write_bundle(KMeans([[30.0, 40.0]]), path)
    return path


@pytest.fixture
def open_api(tmp_path):
    opened = []

    def make(home=tmp_path / "home", **values):
        opened.append(Api(settings_for(home, **values)))
        return opened[-1]

    yield make
    for api in opened:
        api.close()


@pytest.fixture(scope="module")
def api(tmp_path_factory, bundles):
    """An app whose endpoints are called as their bundles, for tests that leave it as it was."""
    api = Api(settings_for(tmp_path_factory.mktemp("shared") / "home", max_body_bytes=2_000_000))
    for bundle in bundles.iterdir():
        assert api.deploy(bundle.name, bundle).status_code == 201
    yield api
    api.close()


@pytest.fixture(scope="module")
def mlflow_servers(tmp_path_factory, bundles):
    """An app per model, each started with `--format mlflow`."""
    made = {}
    for name in ("pca", "als"):
        made[name] = Api(settings_for(tmp_path_factory.mktemp(name) / "home", invocations_format="mlflow"))
        assert made[name].deploy("only", bundles / name).status_code == 201
    yield made
    for each in made.values():
        each.close()
