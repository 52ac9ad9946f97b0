"""The pages of the endpoints: what they show, to whom, and what their forms do."""

from __future__ import annotations

import re
import time

import pytest

from services.variants.tallies import LATENCIES, SLOT, Tally
from tests.services.visitor import Visitor, told

PAGE, TURN = "/dashboard?name=km", "/dashboard/rollouts"


@pytest.fixture
def km(api, bundles, far):
    """The shared app; its endpoint `km` has two variants and a shadow, and is gone afterwards."""
    variants = [
        {"name": "old", "bundle": str(bundles / "pipeline"), "part": "kmeans", "weight": 3},
        {"name": "new", "bundle": str(far), "weight": 1},
        {"name": "dark", "bundle": str(far), "shadow": True},
    ]
    assert api.call("PUT", "/v1/endpoints/km", json={"variants": variants}).status_code == 201
    yield api
    api.call("DELETE", "/v1/endpoints/km")


@pytest.fixture(scope="module")
def ann(api):
    return Visitor(api.app, "invoke", "endpoints")


def weights(api):
    return api.hosting.store.get("km").weights


def test_what_is_deployed_stands_on_the_first_page(km, ann, bundles):
    assert ann.browser.get("/").location == "/dashboard"
    page = ann.get("/dashboard")
    assert "km old pipeline (kmeans) 75.0 % new far 25.0 % dark far shadow" in told(page)
    assert str(bundles) not in page
    for path in ("/dashboard", PAGE):
        assert not re.search(r"<script|<style| style=| on\w+=", ann.get(path)), path
    ann.get("/dashboard?name=none", 404)


def test_who_may_only_ask_looks_and_moves_nothing(km):
    answer = km.app.test_client().get("/dashboard", headers={"Accept": "text/html"})
    assert (answer.status_code, answer.location.partition("?")[0]) == (303, "/sign-in")
    bob = Visitor(km.app, "invoke")
    page = bob.get(PAGE)
    assert "Moving them needs the scope endpoints" in told(page)
    assert "Begin the roll-out" not in page
    bob.post("/dashboard", 403, name="km", variant="new", weight="9")
    bob.post(TURN, 403, name="km", do="begin", variant="new")
    assert weights(km) == {"old": 3, "new": 1}


def test_how_the_variants_do_and_their_weights_moved(km, ann):
    store, slot = km.hosting.store, int(time.time() // SLOT)
    classes = [0] * (len(LATENCIES) + 1)
    classes[4] = 100
    tokens = {arm.name: arm.token for arm in store.arms("km")}
    store.add_tallies({(tokens["new"], slot - 3): Tally(100, 0, 2, 0, 0, tuple(classes))})
    page = ann.get(f"{PAGE}&span=hour")
    assert re.search(r"new .*25\.0 % 100 2\.00 % 2 ms 2 ms 2 ms dark", told(page))
    assert 'aria-label="Requests a minute of each variant' in page
    assert "takes features" in told(page)
    assert "Click" not in told(page)
    ann.post("/dashboard", name="km", variant=["old", "new"], weight=["1", "1"])
    assert weights(km) == {"old": 1, "new": 1}


def test_a_roll_out_is_begun_paused_resumed_stopped_and_undone(km, ann):
    store = km.hosting.store
    fields = dict(re.findall(r'<input name="(\w+)" type="number"[^>]*?(?: value="([^"]*)")?>', ann.get(PAGE)))
    fields.pop("weight")
    assert fields == {"share": "10", "minutes": "10", "errors": "1", "slow_ms": "", "slow": "5"}
    ann.post(TURN, name="km", do="begin", variant="new", kind="linear", **{**fields, "slow_ms": "50"})
    number, begun = store.rollouts("km", 1)[0]
    assert (begun.kind, begun.steps[:2], begun.seconds) == ("linear", (0.1, 0.2), 600)
    assert (begun.bounds.errors, begun.bounds.slow_ms, begun.bounds.slow) == (0.01, 50, 0.05)
    page = told(ann.get(PAGE))
    assert f"Roll-out {number} (linear) to new is running at 10.0 %, step 1 of 10." in page
    assert "The roll-out below moves them" in page
    assert f"roll-out {number} moves" in told(ann.get("/dashboard"))
    for do, standing in (("pause", "paused"), ("resume", "running")):
        ann.post(TURN, name="km", do=do, rollout=str(number))
        assert f"is {standing} at 10.0 %" in told(ann.get(PAGE))
    assert "moves the weights" in ann.post(TURN, 409, name="km", do="begin", variant="new")
    assert "moves the weights" in ann.post("/dashboard", 409, name="km", variant="new", weight="1")
    ann.post(TURN, name="km", do="stop", rollout=str(number))
    assert "Stopped by person invoke-endpoints." in told(ann.get(PAGE))
    ann.post(TURN, name="km", do="begin", variant="new", kind="blue-green", minutes="0.01")
    number = store.rollouts("km", 1)[0][0]
    store.look(number, time.time() + 100, 0.0)
    assert weights(km) == {"old": 0, "new": 1}
    ann.post(TURN, name="km", do="stop", rollout=str(number))
    assert "Undone by person invoke-endpoints." in told(ann.get(PAGE))
    assert weights(km) == {"old": 3, "new": 1}


def test_a_form_that_is_wrong_changes_nothing(km, ann):
    for wrong in ("none", "dark", ""):
        assert "no such variant to roll out" in ann.post(TURN, 422, name="km", do="begin", variant=wrong)
    for wrong in (
        {"share": "0"},
        {"errors": "100"},
        {"minutes": ""},
        {"click_through": "90"},
        {"kind": "sudden"},
        {"slow": "9"},
    ):
        ann.post(TURN, 422, name="km", do="begin", variant="new", **wrong)
    ann.post(TURN, 403, name="km", do="begin", variant="new", csrf_token="made up")
    ann.post(TURN, 404, name="none", do="begin", variant="new")
    ann.post(TURN, 404, name="km", do="pause", rollout="0")
    assert "no variant has any traffic" in ann.post(
        "/dashboard", 422, name="km", variant=["old", "new"], weight=["0", "0"]
    )
    assert "there is no variant" in ann.post("/dashboard", 422, name="km", variant="none", weight="1")
    ann.post("/dashboard", 404, name="none", variant="new", weight="1")
    ann.get(f"{PAGE}&span=century", 422)
    assert weights(km) == {"old": 3, "new": 1}
    assert km.hosting.store.running("km") is None
