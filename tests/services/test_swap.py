"""Another model while serving: good ones are swapped in, broken ones change nothing but what /ready says."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pytest

from palate.bundle import publish_bundle, set_current
from palate.errors import RegistryError
from palate.models.pca import PCA
from palate.store import Accounts
from services.recommender.app import create
from services.recommender.deployments.records import ModelSource
from services.recommender.state import KEY


def version(api):
    return api.get("/v1/users/b1/recommendations").json["model_version"]


def damage(bundle):
    victim = max((bundle / "parts").rglob("*.npy"), key=lambda file: file.stat().st_size)
    whole = bytearray(victim.read_bytes())
    whole[-1] ^= 0xFF
    victim.chmod(0o644)
    victim.write_bytes(whole)


def test_a_new_current_version_is_served_with_the_live_items_still_there(api, bundles, als):
    api.call("PUT", "/v1/items/dawn", {"title": "Western", "categories": ["Western"]})
    set_current(bundles, publish_bundle(als, bundles))
    api.until(lambda: version(api) == "000002")
    assert api.get("/v1/model").json["kind"] == "als"
    wanted = {"attributes": {"categories": ["Western"]}, "limit": 50}
    api.until(
        lambda: "dawn" in [place["item"] for place in api.call("POST", "/v1/recommendations", wanted).json["items"]]
    )
    set_current(bundles, 1)
    api.until(lambda: version(api) == "000001")


def test_a_damaged_bundle_leaves_the_old_one_and_is_told(api, bundles, als, blend):
    bad = publish_bundle(blend, bundles)
    damage(bad)
    set_current(bundles, bad)
    api.until(lambda: api.get("/ready").status_code == 503)
    assert version(api) == "000001"
    assert "model" in api.get("/ready").text
    assert "model" in api.get("/v1/model").json["problems"]
    set_current(bundles, publish_bundle(als, bundles))
    api.until(lambda: version(api) == "000003")
    api.until(lambda: api.get("/ready").status_code == 200)
    assert api.get("/v1/model").json["problems"] == {}


def test_going_back_from_a_damaged_bundle_is_well_at_once(api, bundles, blend):
    bad = publish_bundle(blend, bundles)
    damage(bad)
    set_current(bundles, bad)
    api.until(lambda: api.live.problems)
    set_current(bundles, 1)
    api.until(lambda: not api.live.problems)
    assert version(api) == "000001"


def test_a_bundle_that_ranks_nothing_is_refused(api, bundles):
    set_current(bundles, publish_bundle(PCA(np.eye(2, 4, dtype=np.float32)), bundles))
    api.until(lambda: "does not rank items" in api.live.problems.get("model", ""))
    assert version(api) == "000001"


def test_a_lost_pointer_leaves_what_is_served(api, bundles):
    (bundles / "current").write_text("no version at all")
    api.until(lambda: api.live.problems)
    assert version(api) == "000001"


def test_what_is_told_of_a_problem_names_no_place_on_this_machine(api, bundles, caplog, monkeypatch):
    monkeypatch.setattr("services.recommender.live.log.propagate", True)
    shutil.rmtree(bundles)
    api.until(lambda: "model" in api.live.problems)
    ready = api.client.get("/ready")
    assert ready.status_code == 503
    assert str(bundles.parent) not in ready.text + api.get("/v1/model").text
    assert f"the model cannot be refreshed, what was served before stays: {bundles}" in caplog.text


def test_a_lost_database_leaves_what_is_served(api):
    for user in ("a1", "b1"):
        api.items(f"/v1/users/{user}/recommendations")
    served = api.live.served
    api.live.store.changes = lambda: 1 / 0
    api.until(lambda: "store" in api.live.problems)
    assert api.live.served is served
    del api.live.store.changes
    api.until(lambda: "store" not in api.live.problems)


def test_without_any_model_it_starts_says_so_and_serves_once_there_is_one(
    settings, bundles, open_api, caplog, monkeypatch
):
    monkeypatch.setattr("services.recommender.live.log.propagate", True)
    aside = bundles.with_name("aside")
    shutil.move(bundles, aside)
    api = open_api(settings)
    assert api.client.get("/health").status_code == 200
    assert api.client.get("/ready").status_code == 503
    assert f"the model cannot be loaded yet, and will be tried again: {bundles}" in caplog.text
    refused = api.get("/v1/users/b1/recommendations")
    assert (refused.status_code, refused.content_type) == (503, "application/problem+json")
    assert api.call("PUT", "/v1/items/early", {"title": "Early"}).status_code == 201
    shutil.move(aside, bundles)
    api.until(lambda: api.client.get("/ready").status_code == 200)
    assert version(api) == "000001"
    assert "early" in api.live.served.live


def test_the_registry_says_which_version_is_champion(settings, blend, als, tmp_path):
    from palate.tracking import Tracker

    tracker = Tracker(settings)
    metrics = {"recall@10": 0.375}
    first = tracker.log_model(blend, run_name="blend", metrics=metrics, register_as=settings.model_name)
    tracker.promote(settings.model_name, first.version, "champion")
    app = create(settings.model_copy(update={"bundle": None}))
    live = app.extensions[KEY][0]
    try:
        assert live.served.version == f"{settings.model_name}/{first.version}"
        second = tracker.log_model(als, run_name="als", register_as=settings.model_name)
        assert live.served.version.endswith(f"/{first.version}")
        tracker.promote(settings.model_name, second.version, "champion")
        live.follow_model()
        assert live.served.version == f"{settings.model_name}/{second.version}"
        for version in (first.version, "champion"):
            found = live.ready(ModelSource(model=settings.model_name, version=version))
            assert (
                found.version == f"{settings.model_name}/{first.version if version != 'champion' else second.version}"
            )
        with pytest.raises(RegistryError):
            live.ready(ModelSource(model=settings.model_name, version="99"))
        token = Accounts(live.store.engine).create_key("test", ["recommend"])[1]
        page = app.test_client().get("/dashboard/models", headers={"Authorization": f"Bearer {token}"}).text
        rows = [" ".join(re.sub("<[^>]*>", " ", row).split()) for row in page.split("<tr>")[2:]]
        assert rows[0].startswith(f"{settings.model_name}/{second.version} served champion als")
        assert rows[1].startswith(f"{settings.model_name}/{first.version} blend")
        assert rows[1].endswith(" 0.375")
    finally:
        live.stop()
        live.store.engine.dispose()
