"""Deploying and taking down: what is deployed is what answers, and what cannot be loaded changes nothing."""

from __future__ import annotations

import shutil

import pytest

from palate.bundle import write_bundle
from palate.models.kmeans import KMeans
from palate.store import migrate, open_engine
from palate.store.engine import writing
from palate.store.migrate import differences
from services.endpoints.source import Source
from services.endpoints.store import Store, Variant
from services.endpoints.tables import metadata


def cluster(api, name="km", row="0,0"):
    return api.invoke(name, row, "text/csv").json["predictions"][0]


def damage(bundle):
    victim = next(bundle.rglob("*.npy"))
    whole = bytearray(victim.read_bytes())
    whole[-1] ^= 0xFF
    victim.chmod(0o644)
    victim.write_bytes(whole)


def test_a_deployment_from_beginning_to_end(open_api, bundles):
    api = open_api()
    assert api.call("GET", "/v1/endpoints").json == {"endpoints": []}
    made = api.deploy("km", bundles / "kmeans")
    assert made.status_code == 201
    told = made.json
    assert (told["name"], told["kind"], told["status"], told["problem"]) == ("km", "kmeans", "InService", None)
    assert told["inputs"] == {"features": "list<float>"}
    assert told["bundle"] == str(bundles / "kmeans")
    assert api.call("GET", "/v1/endpoints/km").json == told
    assert api.call("GET", "/v1/endpoints").json == {"endpoints": [told]}
    assert cluster(api)["distance_to_cluster"] == 0
    assert api.deploy("km", bundles / "pca").status_code == 200
    assert "projections" in api.invoke("km", "1,2,3", "text/csv").json
    assert api.call("DELETE", "/v1/endpoints/km").json["kind"] == "pca"
    assert api.invoke("km", "1,2,3", "text/csv").status_code == 404
    for method in ("GET", "DELETE"):
        assert api.call(method, "/v1/endpoints/km").status_code == 404


def test_endpoints_are_there_after_a_restart_and_in_every_worker(open_api, bundles, tmp_path):
    first, second = open_api(tmp_path / "home"), open_api(tmp_path / "home")
    first.deploy("km", bundles / "kmeans")
    assert second.invoke("km", "0,0", "text/csv", token=first.token).status_code == 200
    first.deploy("km", bundles / "pca")
    second.until(lambda: second.hosting.find("km").artifact.kind == "pca")
    first.call("DELETE", "/v1/endpoints/km")
    second.until(lambda: "km" not in second.hosting.hosted)
    first.deploy("again", bundles / "kmeans")
    third = open_api(tmp_path / "home")
    assert third.hosting.find("again").artifact.kind == "kmeans"


def test_a_damaged_bundle_is_refused_and_the_one_before_goes_on(open_api, bundles, tmp_path):
    api = open_api()
    api.deploy("km", bundles / "kmeans")
    shutil.copytree(bundles / "kmeans", tmp_path / "bad")
    damage(tmp_path / "bad")
    refused = api.deploy("km", tmp_path / "bad")
    assert (refused.status_code, refused.content_type) == (422, "application/problem+json")
    assert "content was changed" in refused.json["detail"]
    assert cluster(api)["distance_to_cluster"] == 0
    assert api.call("GET", "/v1/endpoints/km").json["bundle"] == str(bundles / "kmeans")


def test_another_bundle_at_the_place_of_the_deployed_one_is_not_taken_for_it(open_api, kmeans, tmp_path):
    """Every worker answers from the bundle that was deployed, to the byte, or not at all."""
    first = open_api(tmp_path / "home")
    write_bundle(kmeans, tmp_path / "bundle")
    first.deploy("km", tmp_path / "bundle")
    shutil.rmtree(tmp_path / "bundle")
    write_bundle(KMeans([[9.0, 9.0]]), tmp_path / "bundle")
    assert cluster(first)["distance_to_cluster"] == 0
    late = open_api(tmp_path / "home")
    refused = late.invoke("km", "0,0", "text/csv", token=first.token)
    assert (refused.status_code, refused.headers["x-amzn-ErrorType"]) == (503, "ServiceUnavailable")
    told = late.call("GET", "/v1/endpoints/km", token=first.token).json
    assert (told["status"], told["inputs"]) == ("Failed", None)
    assert "Deploy the endpoint again" in told["problem"]
    late.deploy("km", tmp_path / "bundle")
    assert cluster(late, row="9,9")["distance_to_cluster"] == 0
    first.until(lambda: cluster(first, row="9,9")["distance_to_cluster"] == 0)


def test_a_lost_bundle_is_served_while_it_is_mapped_and_taken_up_when_it_is_back(open_api, bundles, tmp_path):
    shutil.copytree(bundles / "kmeans", tmp_path / "bundle")
    first = open_api(tmp_path / "home")
    first.deploy("km", tmp_path / "bundle")
    first.deploy("other", bundles / "pca")
    (tmp_path / "bundle").rename(tmp_path / "aside")
    assert cluster(first)["distance_to_cluster"] == 0
    late = open_api(tmp_path / "home")
    assert late.invoke("other", "1,2,3", "text/csv", token=first.token).status_code == 200
    assert late.invoke("km", "0,0", "text/csv", token=first.token).status_code == 503
    (tmp_path / "aside").rename(tmp_path / "bundle")
    late.until(lambda: late.hosting.hosted.get("km"))
    assert late.hosting.problems == {}


@pytest.mark.parametrize(
    ("name", "body", "words"),
    [
        ("a_b", {"bundle": "/"}, "no name of an endpoint"),
        ("a" * 64, {"bundle": "/"}, "no name of an endpoint"),
        ("a", {}, "a bundle, a model or variants"),
        ("a", {"bundle": "/x", "model": "m", "version": "1"}, "either a bundle or a model"),
        ("a", {"model": "m"}, "version or an alias"),
        ("a", {"bundle": "/nowhere/at/all"}, "no bundle here"),
        ("a", {"bundle": "/x\0y"}, "no bundle here"),
        ("a", {"bundle": "models/digits"}, "must be absolute"),
        ("a", {"bundle": "PCA", "part": "x"}, "has no parts"),
        ("a", {"bundle": "PIPELINE", "part": "x"}, "It has: pca, kmeans"),
        ("a", {"bundle": "/x", "port": 1}, "no such field"),
    ],
)
def test_a_deployment_that_cannot_be_is_refused(api, bundles, name, body, words):
    if body.get("bundle") in ("PCA", "PIPELINE"):
        body = {**body, "bundle": str(bundles / body["bundle"].lower())}
    refused = api.call("PUT", f"/v1/endpoints/{name}", json=body)
    assert refused.status_code == 422, refused.text
    assert words in refused.json["detail"]


def test_deploying_needs_its_own_scope(api, bundles):
    caller = api.key("invoke")
    assert api.call("GET", "/v1/endpoints/pca", token=caller).status_code == 200
    for method in ("PUT", "DELETE"):
        refused = api.call(method, "/v1/endpoints/pca", token=caller, json={"bundle": str(bundles / "pca")})
        assert refused.status_code == 403


def test_a_registered_version_is_deployed_by_its_alias(open_api, kmeans, tmp_path):
    from palate.tracking import Tracker

    tracker = Tracker(f"sqlite:///{tmp_path / 'home' / 'mlflow.db'}")
    (tmp_path / "home").mkdir()
    api = open_api()
    made = tracker.log_model(kmeans, run_name="clusters", register_as="segments")
    tracker.promote("segments", made.version)
    told = api.call("PUT", "/v1/endpoints/km", json={"model": "segments", "version": "champion"}).json
    assert (told["model"], told["version"], told["status"]) == ("segments", made.version, "InService")
    assert cluster(api)["distance_to_cluster"] == 0
    refused = api.call("PUT", "/v1/endpoints/km", json={"model": "nobody", "version": "1"})
    assert (refused.status_code, "no registered model" in refused.json["detail"]) == (422, True)


@pytest.fixture(params=["sqlite", "postgresql"])
def endpoint_store(request, tmp_path):
    url = f"sqlite:///{tmp_path / 'endpoints.db'}"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgresql")
    engine = open_engine(url)
    if request.param == "postgresql":
        with writing(engine) as connection:
            for table in [*reversed(metadata.sorted_tables), "alembic_version_endpoints"]:
                connection.exec_driver_sql(f"DROP TABLE IF EXISTS {table}")
    migrate(engine, "endpoints", "services.endpoints:migrations")
    yield Store(engine)
    engine.dispose()


def test_what_was_deployed_before_there_were_variants_stays(tmp_path):
    engine = open_engine(f"sqlite:///{tmp_path / 'endpoints.db'}")
    migrate(engine, "endpoints", "services.endpoints:migrations")
    with writing(engine) as connection:
        for table in metadata.tables:
            connection.exec_driver_sql(f"DROP TABLE {table}")
        connection.exec_driver_sql("UPDATE alembic_version_endpoints SET version_num = '0001'")
        connection.exec_driver_sql(
            "CREATE TABLE endpoints (name VARCHAR(63) PRIMARY KEY, source JSON NOT NULL, digest VARCHAR(64) NOT NULL, "
            "kind VARCHAR(100) NOT NULL, revision VARCHAR(32) NOT NULL, deployed DATETIME NOT NULL)"
        )
        connection.exec_driver_sql(
            "INSERT INTO endpoints VALUES ('km', '{\"bundle\": \"/x\", \"part\": \"p\"}', 'dd', 'kmeans', 'rr', "
            "'2026-01-02 03:04:05.000000')"
        )
    migrate(engine, "endpoints", "services.endpoints:migrations")
    found = Store(engine).get("km")
    assert found.variants == (Variant("AllTraffic", Source(bundle="/x", part="p"), "dd", "kmeans"),)
    assert (found.revision, found.deployed.isoformat()) == ("rr", "2026-01-02T03:04:05+00:00")
    engine.dispose()


def test_both_databases_keep_what_is_deployed(endpoint_store):
    assert differences(endpoint_store.engine, metadata) == []
    variants = [Variant("x", Source(bundle="/x", part="y"), "d" * 64, "pca"), Variant("y", Source(), "", "", 0.0, True)]
    made, fresh = endpoint_store.put("b", variants)
    again, replaced = endpoint_store.put("b", [Variant("x", Source(model="m", version="3"), "e" * 64, "kmeans")])
    endpoint_store.put("a", variants)
    assert endpoint_store.weigh("a", {"x": 5.0}).variants[0].weight == endpoint_store.get("a").variants[0].weight == 5.0
    assert (fresh, replaced) == (True, False)
    assert again.revision != made.revision
    assert endpoint_store.get("b") == again
    assert [each.name for each in endpoint_store.all()] == ["a", "b"]
    endpoint_store.delete("b")
    assert [each.name for each in endpoint_store.all()] == ["a"]
