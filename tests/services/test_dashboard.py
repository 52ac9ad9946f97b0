"""The pages for people: what they show, to whom, and what their forms do."""

from __future__ import annotations

import re
import time

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from click.testing import CliRunner
from sqlalchemy import text

from palate.cli import palate
from palate.store.engine import reading, writing
from palate.store.migrate import differences
from services.recommender.deployments.store import DeploymentStore
from services.recommender.shares import KEY as SHARES
from services.recommender.store import Event
from services.recommender.tables import metadata
from services.variants.migrating import add_blocks
from services.variants.tallies import BLOCK, LATENCIES, SLOT, Tally
from tests.services.visitor import Visitor, told

TURN = "/dashboard/deployments/rollouts"
PAGES = ["", "/users", "/users?id=a0", "/items", "/items?id=comedy-1", "/deployments", "/models", "/events"]


@pytest.fixture(scope="module")
def ann(shared_api):
    return Visitor(shared_api.app, "recommend", "catalogue", "deployments")


@pytest.fixture
def shop(shared_api):
    """A deployment with two variants and a shadow; gone afterwards."""
    variants = [{"name": "old", "weight": 3}, {"name": "new", "weight": 1}, {"name": "watch", "shadow": True}]
    assert shared_api.call("PUT", "/v1/deployments/shop", {"variants": variants}).status_code == 201
    shared_api.until(lambda: "shop" in shared_api.live.traffic.plans)
    yield "shop"
    shared_api.call("DELETE", "/v1/deployments/shop")
    shared_api.until(lambda: "shop" not in shared_api.live.traffic.plans)


@pytest.mark.parametrize("path", PAGES)
def test_nobody_sees_a_page_without_signing_in(shared_api, path):
    answer = shared_api.app.test_client().get(f"/dashboard{path}", headers={"Accept": "text/html"})
    assert answer.status_code == 303
    assert answer.location.startswith("/sign-in?next=")


def test_who_may_only_recommend_sees_no_events_and_moves_nothing(shared_api, shop):
    bob = Visitor(shared_api.app, "recommend")
    for path in PAGES[:-1]:
        bob.get(f"/dashboard{path}")
    bob.get("/dashboard/events", 403)
    assert "Moving them needs the scope deployments" in told(bob.get("/dashboard/deployments?name=shop"))
    bob.post("/dashboard/deployments", 403, name="shop", variant="new", weight="9")
    Visitor(shared_api.app, "events").get("/dashboard", 403)


def test_no_page_needs_a_script_or_an_inline_style(ann, shop):
    for path in [*PAGES, "/deployments?name=shop"]:
        page = ann.get(f"/dashboard{path}")
        assert not re.search(r"<script|<style| style=| on\w+=", page), path


def test_the_start_leads_to_the_overview(ann):
    assert ann.browser.get("/").location == "/dashboard"


def test_the_overview_tells_the_share_of_cold_starts(shared_api, ann):
    shares = shared_api.app.extensions[SHARES]
    before = told(ann.get("/dashboard?span=day"))
    assert "lists this day" in before
    for user in ("a0", "a1", "a2", "stranger"):
        shared_api.get(f"/v1/users/{user}/recommendations")
    ann.get("/dashboard/users?id=stranger")  # looking counts for nothing
    shares.write()
    shared_api.until(lambda: "cold starts 25.0 %" in told(ann.get("/dashboard?span=day")))
    assert re.search(r"popular 1 25\.0 %", told(ann.get("/dashboard?span=day")))
    assert "Day" in ann.get("/dashboard?span=day")
    ann.get("/dashboard?span=century", 422)


def test_a_user_is_looked_up(shared_api, ann):
    page = told(ann.get("/dashboard/users?id=a0"))
    assert "known to the model" in page
    assert "In the training (7)" in page
    listed = shared_api.get("/v1/users/a0/recommendations?explain=true").json["items"]
    first = listed[0]
    assert f"{first['title']} {first['item']} personal" in page
    assert "Nothing to go by: fold-in" in page
    shared_api.store.add_events([Event("d1", "a0", "western-4", "purchase", 5.0, time.time())])
    shared_api.live.forget(["a0"])
    page = told(ann.get("/dashboard/users?id=a0"))
    assert "purchase Western 16 5" in page
    assert "Nothing to go by: personal" in page
    assert "purchase" not in told(Visitor(shared_api.app, "recommend").get("/dashboard/users?id=a0"))
    assert "Nothing is known of this user" in told(ann.get("/dashboard/users?id=nobody"))
    assert "a0" in told(ann.get("/dashboard/users"))


def test_an_item_is_looked_up_by_id_and_by_title(shared_api, ann):
    page = told(ann.get("/dashboard/items?id=comedy-1"))
    similar = shared_api.get("/v1/items/comedy-1/similar?limit=1").json["items"][0]
    assert "people laugh a lot" in page
    assert f"{similar['title']} {similar['item']}" in page
    assert "Western 16 western-4" in told(ann.get("/dashboard/items?q=western+16"))
    assert "No item is called so" in told(ann.get("/dashboard/items?q=none+such"))
    assert "No item is called so" in told(ann.get("/dashboard/items?q=%22%5C%00"))
    ann.get("/dashboard/items?id=none+such", 404)
    assert shared_api.call("PUT", "/v1/items/fresh", {"title": "<b>Fresh</b>", "attributes": {"price": 7}}).status_code
    shared_api.until(lambda: "new since the training" in told(ann.get("/dashboard/items?id=fresh")))
    page = ann.get("/dashboard/items?q=fresh")
    assert "&lt;b&gt;Fresh" in page
    assert "<b>Fresh" not in page
    shared_api.call("DELETE", "/v1/items/fresh")


def test_events_come_page_by_page(shared_api, ann):
    now = time.time()
    for n in range(60):
        shared_api.store.add_events([Event(f"p{n}", "pager", f"comedy-{n % 12}", f"kind{n}", None, now)])
    first = ann.get("/dashboard/events?user=pager")
    assert "kind59" in first
    assert "kind9 " not in told(first)
    older = re.search(r'href="([^"]*cursor=[^"]*)"', first)[1].replace("&amp;", "&")
    second = told(ann.get(older))
    assert "kind9 " in second
    assert "kind10 " not in second
    ann.get("/dashboard/events?cursor=nonsense", 422)
    shared_api.call("DELETE", "/v1/users/pager")


def test_the_variants_of_a_deployment_are_compared_and_their_weights_moved(shared_api, ann, shop):
    held = shared_api.live.traffic.store.get(shop)
    slot = int(time.time() // SLOT)
    classes = [0] * (len(LATENCIES) + 1)
    classes[4] = 100
    counts = {(each.token, slot - 3): Tally(100, 100, 2, 0, 0, tuple(classes)) for each in held.variants[:2]}
    shared_api.live.traffic.store.add_tallies(counts)
    new = held.variant("new").token
    shared_api.live.traffic.store.add_clicks([(f"list{n}", new, slot - 3) for n in range(30)])
    page = ann.get("/dashboard/deployments?name=shop&span=hour")
    text = told(page)
    assert re.search(r"old .*75\.0 % 100 2\.00 % 2 ms 2 ms 2 ms 100 0 0\.0 %", text)
    assert re.search(r"new .*25\.0 % 100 2\.00 % 2 ms 2 ms 2 ms 100 30 100\.0 %", text)
    assert "30.39 % (" in text
    assert 'aria-label="Requests a minute of each variant' in page
    ann.post("/dashboard/deployments", name="shop", span="hour", variant=["old", "new"], weight=["1", "3"])
    assert shared_api.live.traffic.store.get(shop).weights == {"old": 1.0, "new": 3.0}
    changed = told(ann.get("/dashboard/deployments?name=shop"))
    assert "person recommend-catalogue-deployments old has the weight 1; new has the weight 3" in changed
    assert "shop old" in told(ann.get("/dashboard/deployments"))


def test_a_form_that_is_wrong_changes_nothing(shared_api, ann, shop):
    path = "/dashboard/deployments"
    assert "No variant has any traffic" in ann.post(path, 422, name="shop", variant=["old", "new"], weight=["0", "0"])
    ann.post(path, 403, name="shop", variant="new", weight="9", csrf_token="made up")
    ann.post(path, 422, name="shop", variant="new", weight="many")
    ann.post(path, 422, name="shop", variant="new", weight="-1")
    assert "no such variant" in ann.post(path, 422, name="shop", variant="none", weight="1")
    ann.post(path, 404, name="none", variant="new", weight="1")
    ann.get(f"{path}?name=none", 404)
    assert shared_api.live.traffic.store.get(shop).weights == {"old": 3.0, "new": 1.0}


def test_a_roll_out_is_shown_and_stopped(shared_api, ann, shop):
    said = {"variant": "new", "kind": "linear", "share": 0.5, "seconds": 3600}
    number = shared_api.call("POST", "/v1/deployments/shop/rollouts", said).json["rollout"]
    page = told(ann.get("/dashboard/deployments?name=shop"))
    assert f"Roll-out {number} (linear) to new is running at 50.0 %, step 1 of 2." in page
    refused = ann.post("/dashboard/deployments", 409, name="shop", variant="new", weight="1")
    assert f"roll-out {number} moves the weights" in refused
    ann.post(TURN, name="shop", do="stop", rollout=str(number))
    assert shared_api.live.traffic.store.get(shop).weights == {"old": 3.0, "new": 1.0}
    assert "Move the traffic" in told(ann.get("/dashboard/deployments?name=shop"))


def test_a_roll_out_is_begun_paused_resumed_and_undone_on_the_page(shared_api, ann, shop):
    store = shared_api.live.traffic.store
    page = "/dashboard/deployments?name=shop"
    fields = dict(re.findall(r'<input name="(\w+)" type="number"[^>]*?(?: value="([^"]*)")?>', ann.get(page)))
    fields.pop("weight")
    assert fields == {
        "share": "10", "minutes": "10", "errors": "1", "slow_ms": "", "slow": "5", "click_through": "",
    }  # fmt: skip
    ann.post(TURN, name="shop", do="begin", variant="new", kind="linear", **{**fields, "click_through": "90"})
    number, begun = store.rollouts("shop", 1)[0]
    assert (begun.kind, begun.steps[:2], begun.seconds) == ("linear", (0.1, 0.2), 600)
    assert (begun.bounds.errors, begun.bounds.slow_ms, begun.bounds.click_through) == (0.01, None, 0.9)
    ann.post(TURN, name="shop", do="pause", rollout=str(number))
    assert "is paused at 10.0 %" in told(ann.get(page))
    ann.post(TURN, name="shop", do="resume", rollout=str(number))
    assert "is running at 10.0 %" in told(ann.get(page))
    assert "moves the weights" in ann.post(TURN, 409, name="shop", do="begin", variant="new")
    ann.post(TURN, name="shop", do="stop", rollout=str(number))
    ann.post(TURN, name="shop", do="begin", variant="new", kind="blue-green", minutes="0.01")
    number = store.rollouts("shop", 1)[0][0]
    store.look(number, time.time() + 100, 0.0)
    assert "done at" in told(ann.get(page))
    ann.post(TURN, name="shop", do="stop", rollout=str(number))
    assert "Undone by person recommend-catalogue-deployments." in told(ann.get(page))
    assert store.get(shop).weights == {"old": 3.0, "new": 1.0}


def test_a_roll_out_is_begun_and_stopped_at_the_shell(shared_api, ann, shop, monkeypatch):
    monkeypatch.setenv("PALATE_HOME", str(shared_api.app.extensions["palate"].settings.home))
    begun = CliRunner().invoke(palate, ["api", "rollout", "begin", "shop", "new", "--click-through", "0.9"])
    number, found = shared_api.live.traffic.store.rollouts("shop", 1)[0]
    assert f"{number} " in begun.stdout
    assert (found.standing, found.share, found.bounds.click_through) == ("running", 0.1, 0.9)
    assert CliRunner().invoke(palate, ["api", "rollout", "stop", "shop", str(number)]).exit_code == 0
    assert "Stopped by shell" in told(ann.get("/dashboard/deployments?name=shop"))


def test_a_roll_out_that_cannot_be_is_not_begun(shared_api, ann, shop):
    for wrong in ("none", "watch", ""):
        assert "no such variant to roll out" in ann.post(TURN, 422, name="shop", do="begin", variant=wrong)
    for wrong in ({"share": "0"}, {"errors": "100"}, {"minutes": ""}, {"click_through": "nan"}, {"kind": "sudden"}):
        ann.post(TURN, 422, name="shop", do="begin", variant="new", **wrong)
    ann.post(TURN, 404, name="none", do="begin", variant="new")
    ann.post(TURN, 404, name="shop", do="pause", rollout="0")
    Visitor(shared_api.app, "recommend").post(TURN, 403, name="shop", do="begin", variant="new")
    assert shared_api.live.traffic.store.running("shop") is None


def test_the_versions_of_the_model_stand_side_by_side(shared_api, ann, shop):
    page = told(ann.get("/dashboard/models"))
    assert re.search(r"000001 served shop: old", page)
    assert re.search(r"ndcg@10 000001 .*blend .* 0\.5$", page)


def test_counts_over_time_are_summed_in_blocks(store):
    kept = DeploymentStore(store.engine)
    tally = Tally(requests=5, lists=4, errors=1)
    kept.add_tallies({("aaaaaaaa", slot): tally for slot in (99, 100, 101, 103, 104)})
    kept.add_clicks([("one", "aaaaaaaa", 101), ("two", "bbbbbbbb", 101), ("three", "aaaaaaaa", 108)])
    found = kept.over_time(["aaaaaaaa"], 100, 4)
    assert {key: (each.requests, each.lists, each.errors, each.clicks) for key, each in found.items()} == {
        ("aaaaaaaa", 0): (15, 12, 3, 1),
        ("aaaaaaaa", 1): (5, 4, 1, 0),
        ("aaaaaaaa", 2): (0, 0, 0, 1),
    }
    classes = [0] * (len(LATENCIES) + 1)
    classes[0], classes[22] = 1, 4
    kept.add_tallies({("aaaaaaaa", slot): Tally(requests=5, latencies=tuple(classes)) for slot in (200, 201)})
    since = kept.counted(["aaaaaaaa", "bbbbbbbb"], 104 * SLOT)
    assert since["aaaaaaaa"] == Tally(15, 4, 1, 0, 1, (2, *classes[1:22], 8))
    assert since["bbbbbbbb"] == Tally()


def test_a_month_is_summed_from_blocks_that_outlive_their_slots(store):
    kept = DeploymentStore(store.engine)
    ours, now = ["aaaaaaaa", "bbbbbbbb"], 30 * 8640
    classes = (3, 1, *[0] * (len(LATENCIES) - 1))
    tally = Tally(requests=4, lists=3, errors=1, latencies=classes)
    slots = [BLOCK * n + n % BLOCK for n in range(0, 30 * 48, 40)] + [now - 1]
    for slot in slots:  # as two workers write them
        kept.add_tallies({(token, slot): tally for token in ours})
        kept.add_tallies({(ours[0], slot): tally})

    def expected(first, times):
        count = times * sum(slot >= first for slot in slots)
        return sum([tally] * count, Tally())

    for first in (0, 1, BLOCK + 1, now - 8640, now - 5):
        assert kept.counted(ours, first * SLOT) == {"aaaaaaaa": expected(first, 2), "bbbbbbbb": expected(first, 1)}
    week = 7 * 48 * BLOCK
    weekly = kept.over_time(ours, 0, week)
    counted = [4 * sum(slot // week == each for slot in slots) for each in range(5)]
    assert [weekly["bbbbbbbb", each].requests for each in range(5)] == counted
    month = kept.counted(ours)
    with writing(store.engine) as db, Operations.context(MigrationContext.configure(db)):
        db.execute(text("DROP TABLE recommender_tally_blocks"))
        add_blocks("recommender_tallies", "recommender_tally_blocks")  # as what an older version counted is taken over
    assert kept.counted(ours) == month
    kept.forget_counts(now * SLOT)
    assert kept.counted(ours) == month
    with reading(store.engine) as db:
        assert {slot for _, slot in kept.by_slot(db, ours, 0)} == {slot for slot in slots if slot >= now - 2 * 8640}
    kept.forget_counts((now + 29 * 8640) * SLOT)
    assert kept.counted(ours) == kept.counted(ours, (now - 8640) * SLOT)
    assert differences(store.engine, metadata) == []
