"""Deployments: traffic by weight, sticky; shadows; counts; roll-outs; damaged models; each through the API."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace

import pytest
from services_world import ITEMS, WESTERNS

from palate.bundle import publish_bundle, set_current
from palate.store.migrate import differences
from services.recommender.deployments.records import Deployment, ModelSource, Variant, list_id, made_by
from services.recommender.deployments.store import DeploymentStore
from services.recommender.tables import metadata
from services.variants import ticker
from services.variants.drawing import draw
from services.variants.rollouts import Bounds, begun
from services.variants.tallies import SLOT, Tally

USERS = [f"u{number}" for number in range(400)]


@pytest.fixture
def other(tmp_path, als):
    """A folder of bundles with another model than the service's own."""
    root = tmp_path / "other"
    set_current(root, publish_bundle(als, root))
    return root


@pytest.fixture
def put(api):
    def call(name="shop", status=201, **body):
        answer = api.call("PUT", f"/v1/deployments/{name}", body)
        assert answer.status_code == status, answer.text
        if status < 300:
            told = api.store.changes()["deployments"]
            api.until(lambda: api.live._changes["deployments"] >= told)
        return answer.json

    return call


def two(other, old=1.0, new=1.0, **more):
    return [{"name": "old", "weight": old}, {"name": "new", "bundle": str(other), "weight": new}, *more.get("also", [])]


def asked(api, user, **more):
    answer = api.call("POST", "/v1/recommendations", {"user": user, "deployment": "shop", "limit": 3, **more})
    assert answer.status_code == 200, answer.text
    return answer.json


def stats(api, name="shop"):
    return {each["name"]: each for each in api.get(f"/v1/deployments/{name}/stats").json["variants"]}


# -- who gets which ----------------------------------------------------------------------------------------------------


def test_traffic_follows_the_weights_and_raising_one_moves_users_to_it_alone():
    weights = [("a", 1.0), ("b", 2.0), ("c", 1.0), ("off", 0.0)]
    before = [draw("shop", user, weights) for user in USERS * 1]
    assert before == [draw("shop", user, weights) for user in USERS]
    counts = Counter(before)
    assert counts[3] == 0
    assert counts[1] == pytest.approx(200, abs=35)
    assert Counter(draw("shop", None, weights) for _ in range(400))[1] == pytest.approx(200, abs=50)
    after = [draw("shop", user, [("a", 3.0), *weights[1:]]) for user in USERS]
    assert {now for was, now in zip(before, after, strict=True) if was != now} == {0}
    assert before != [draw("other", user, weights) for user in USERS]


def test_an_id_of_a_list_says_who_made_it():
    name = list_id("0a1b2c3d")
    assert len(name) == 32
    assert made_by(name) == ("0a1b2c3d", pytest.approx(time.time() // SLOT, abs=1))
    assert made_by(list_id("")) is None
    assert made_by("p" + "x" * 31) is None


def test_a_deployment_answers_with_its_variants(api, other, put):
    made = put(variants=two(other, 1, 3))
    assert [(each["name"], each["share"]) for each in made["variants"]] == [("old", 0.25), ("new", 0.75)]
    found = {user: asked(api, user)["variant"] for user in USERS[:80]}
    assert found == {user: asked(api, user)["variant"] for user in USERS[:80]}
    assert 40 < Counter(found.values())["new"] < 76
    chosen = asked(api, "b1", variant="new")
    assert (chosen["variant"], chosen["deployment"], chosen["model_version"]) == ("new", "shop", "000001")
    batch = api.call("POST", "/v1/recommendations/batch", {"users": USERS[:20] * 2, "deployment": "shop"}).json
    assert [each["variant"] for each in batch["answers"]] == [found[user] for user in USERS[:20] * 2]
    for url in (
        "users/b1/recommendations",
        "items/popular",
        "items/latest",
        "items/trending",
        "items/comedy-1/similar",
    ):
        assert api.get(f"/v1/{url}?deployment=shop&variant=old").json["variant"] == "old"
    ranked = api.call("POST", "/v1/rank", {"items": ITEMS[:4], "deployment": "shop", "variant": "new"}).json
    assert (len(ranked["items"]), ranked["variant"]) == (4, "new")
    assert "variant" not in api.get("/v1/users/b1/recommendations").json
    paged = api.get("/v1/users/b1/recommendations?deployment=shop&paging=true&limit=2").json
    assert api.get(paged["next"]).json["recommendation_id"] == paged["recommendation_id"]


def test_the_deployment_called_default_answers_who_names_none(api, other, put):
    assert api.get("/v1/users/b1/recommendations?deployment=default").status_code == 200
    put("default", variants=two(other, 0, 1))
    assert api.get("/v1/users/b1/recommendations").json["variant"] == "new"
    assert api.call("DELETE", "/v1/deployments/default").status_code == 200
    api.until(lambda: "variant" not in api.get("/v1/users/b1/recommendations").json)


def test_weights_change_live_and_rules_stand_behind_each_deployment(api, other, put):
    put(variants=two(other, 1, 0), rules={"filter": 'category = "Western"'})
    assert {place["item"] for place in asked(api, "a1", limit=50)["items"]} <= set(WESTERNS)
    assert api.call("PATCH", "/v1/deployments/shop", {"weights": {"old": 0, "new": 1}}).status_code == 200
    api.until(lambda: asked(api, "a1")["variant"] == "new")
    api.call("PATCH", "/v1/deployments/shop", {"rules": {"exclude": WESTERNS[:10]}})
    api.until(lambda: {place["item"] for place in asked(api, "b1", limit=200)["items"]} == {*ITEMS} - {*WESTERNS[:10]})
    changes = api.get("/v1/deployments/shop/changes").json["changes"]
    told = ["other rules", "new has the weight 1; old has the weight 0", "made"]
    assert [(each["who"], each["what"]) for each in changes] == [("key test", what) for what in told]


def test_what_is_new_in_the_catalogue_is_new_in_every_variant(api, other, put):
    put(variants=two(other))
    api.call("PUT", "/v1/items/dawn", {"title": "Western", "categories": ["Western"]})
    for name in ("old", "new"):
        wanted = {"variant": name, "attributes": {"categories": ["Western"]}, "limit": 200}
        api.until(lambda wanted=wanted: "dawn" in str(asked(api, None, **wanted)["items"]))


# -- counts ------------------------------------------------------------------------------------------------------------


def test_lists_and_clicks_are_counted_by_variant(api, other, put):
    put(variants=two(other), clicks=["click", "buy"])
    wanted = asked(api, "u1", variant="new")  # of one that was asked for, neither list nor click counts
    click = {"user": "u", "item": "comedy-1", "kind": "click", "recommendation_id": wanted["recommendation_id"]}
    assert api.call("POST", "/v1/events", click).status_code == 201
    answers = [asked(api, user) for user in USERS[:60]]
    shown = Counter(answer["variant"] for answer in answers)
    clicked = [answer for answer in answers if answer["variant"] == "new"][:5]
    for answer in clicked:
        for kind in ("click", "buy", "view"):
            event = {"user": "u", "item": "comedy-1", "kind": kind, "recommendation_id": answer["recommendation_id"]}
            assert api.call("POST", "/v1/events", event).status_code == 201
    stranger = {"user": "u", "item": "comedy-1", "kind": "click", "recommendation_id": list_id("00000000")}
    assert api.call("POST", "/v1/events", stranger).status_code == 201
    api.until(lambda: sum(each["requests"] for each in stats(api).values()) == 61)
    found = stats(api)
    assert {name: (each["lists"], each["clicks"]) for name, each in found.items()} == {
        "old": (shown["old"], 0),
        "new": (shown["new"], 5),
    }
    assert found["new"]["probability_best"] > 0.9
    assert found["new"]["click_through"]["low"] < 5 / shown["new"] < found["new"]["click_through"]["high"]
    assert 0 < found["new"]["latency_ms"]["p50"] <= found["new"]["latency_ms"]["p99"]
    assert found["new"]["errors"] == 0
    put(status=200, variants=[{"name": "new", "bundle": str(other)}, {"name": "old", "bundle": str(other)}])
    kept = stats(api)
    assert (kept["new"]["clicks"], kept["old"]["requests"]) == (5, 0)


def test_a_shadow_is_asked_and_counted_and_never_answers(api, other, put):
    put(variants=[{"name": "old"}, {"name": "dark", "bundle": str(other), "shadow": True}])
    assert {asked(api, user)["variant"] for user in USERS[:20]} == {"old"}
    api.until(lambda: stats(api)["dark"]["requests"] == 20)
    found = stats(api)["dark"]
    assert (found["lists"], found["errors"], found["probability_best"]) == (0, 0, None)
    assert found["latency_ms"]["p50"] > 0
    assert asked(api, "b1", variant="dark")["variant"] == "dark"


def test_requests_that_are_wrong_are_no_errors_of_the_variant(api, other, put):
    put(variants=two(other))
    refused = api.call("POST", "/v1/recommendations", {"deployment": "shop", "filter": "colour = 3"})
    assert refused.status_code == 422
    asked(api, "u1")
    api.until(lambda: sum(each["requests"] for each in stats(api).values()) == 1)
    assert sum(each["errors"] for each in stats(api).values()) == 0


# -- models that come and go -------------------------------------------------------------------------------------------


def damaged(root, model):
    """A version of which one byte is another."""
    bundle = publish_bundle(model, root)
    victim = max(bundle.rglob("*.npy"), key=lambda file: file.stat().st_size)
    whole = bytearray(victim.read_bytes())
    whole[-1] ^= 0xFF
    victim.chmod(0o644)
    victim.write_bytes(whole)
    return bundle


def test_a_variant_whose_model_cannot_be_used_is_refused_and_the_old_one_serves_on(api, other, put, als, tmp_path):
    put(variants=two(other, 0, 1))
    bad = damaged(tmp_path / "bad", als)
    refused = put(status=422, variants=two(bad, 0, 1))
    assert "variants.1.bundle" in refused["detail"]
    assert put(status=422, variants=two(tmp_path / "nowhere"))["errors"][0]["field"] == "variants.1.bundle"
    assert asked(api, "u1")["model_version"] == "000001"


def test_a_variant_follows_its_folder_and_keeps_what_it_has_when_the_next_is_damaged(api, other, put, als):
    put(variants=two(other, 0, 1))
    set_current(other, publish_bundle(als, other))
    api.until(lambda: asked(api, "u1")["model_version"] == "000002")
    set_current(other, damaged(other, als))
    api.until(lambda: api.get("/v1/deployments/shop").json["variants"][1]["problem"])
    assert asked(api, "u1")["model_version"] == "000002"
    told = api.get("/v1/deployments/shop").text
    assert "its content was changed" in told
    assert any(name.startswith("variant ") for name in api.get("/v1/model").json["problems"])
    set_current(other, 2)
    api.until(lambda: not api.get("/v1/deployments/shop").json["variants"][1]["problem"])


def test_a_worker_that_starts_without_one_variants_model_serves_the_others(api, open_api, settings, other, put):
    put(variants=two(other, 0, 1))
    other.rename(other.with_name("away"))
    late = open_api(settings)
    found = [late.call("POST", "/v1/recommendations", {"user": user, "deployment": "shop"}).json for user in USERS[:9]]
    assert {each["variant"] for each in found} == {"old"}
    other.with_name("away").rename(other)
    late.until(lambda: late.get("/v1/deployments/shop").json["variants"][1]["model_version"] == "000001")


def test_another_worker_follows_weights_and_models(api, open_api, settings, other, put):
    follower = open_api(settings)
    put(variants=two(other, 0, 1))
    follower.until(
        lambda: follower.call("POST", "/v1/recommendations", {"deployment": "shop"}).json.get("variant") == "new"
    )


# -- roll-outs ---------------------------------------------------------------------------------------------------------


def begin(api, status=201, **body):
    answer = api.call("POST", "/v1/deployments/shop/rollouts", {"variant": "new", **body})
    assert answer.status_code == status, answer.text
    return answer.json


def weights(api):
    return {each["name"]: each["share"] for each in api.get("/v1/deployments/shop").json["variants"]}


def test_a_linear_roll_out_goes_on_by_itself(api, other, put):
    put(variants=two(other, 4, 0))
    made = begin(api, kind="linear", share=0.5, seconds=0.2)
    assert (made["steps"], made["state"], made["share"]) == ([0.5, 1.0], "running", 0.5)
    assert weights(api) == {"old": 0.5, "new": 0.5}
    refused = api.call("PATCH", "/v1/deployments/shop", {"weights": {"old": 1}})
    assert (refused.status_code, begin(api, 409)["type"]) == (409, "/problems/conflict")
    api.until(lambda: api.get(f"/v1/deployments/shop/rollouts/{made['rollout']}").json["state"] == "done")
    assert weights(api) == {"old": 0.0, "new": 1.0}
    assert asked(api, "u1")["variant"] == "new"
    told = [each["what"] for each in api.get("/v1/deployments/shop/changes").json["changes"]]
    assert told[0] == f"roll-out {made['rollout']} done at 1"


def test_a_slow_variant_is_rolled_back_by_itself(api, other, put):
    put(variants=two(other, 1, 0))
    bounds = {"errors": None, "slow_ms": 0.1, "slow": 0.01}  # no list takes less than a tenth of a millisecond
    made = begin(api, kind="blue-green", seconds=600, bounds=bounds)

    def back():
        asked(api, "u1")
        return api.get(f"/v1/deployments/shop/rollouts/{made['rollout']}").json["state"] == "rolled-back"

    api.until(back)
    api.until(lambda: weights(api) == {"old": 1.0, "new": 0.0})
    api.until(lambda: asked(api, "u1")["variant"] == "old")
    found = api.get("/v1/deployments/shop/rollouts").json["rollouts"][0]
    assert "took longer than 0.1 ms" in found["reason"]
    assert found["evidence"]["latency"] >= 1


def test_a_roll_out_can_be_stopped(api, other, put):
    put(variants=two(other, 3, 1))
    made = begin(api, share=0.5)
    stopped = api.call("DELETE", f"/v1/deployments/shop/rollouts/{made['rollout']}").json
    assert stopped["state"] == "stopped"
    assert weights(api) == {"old": 0.75, "new": 0.25}
    assert api.call("DELETE", f"/v1/deployments/shop/rollouts/{made['rollout']}").json == stopped
    assert api.get("/v1/deployments/shop/rollouts/99").status_code == 404
    assert api.call("DELETE", "/v1/deployments/shop").status_code == 200
    put(variants=two(other, 3, 1))
    assert api.get("/v1/deployments/shop/rollouts").json["rollouts"] == [], "those of the one before"


def test_a_roll_out_is_paused_and_what_is_done_is_undone(api, other, put):
    put(variants=two(other, 3, 1))
    number = begin(api, kind="blue-green", seconds=600)["rollout"]
    path = f"/v1/deployments/shop/rollouts/{number}"
    assert api.call("PATCH", path, {"state": "paused"}).json["state"] == "paused"
    assert begin(api, 409)["type"] == "/problems/conflict"
    assert api.call("PATCH", path, {"state": "running"}).json["state"] == "running"
    api.live.traffic.store.look(number, time.time() + 700, 0)
    assert api.get(path).json["state"] == "done"
    assert api.call("PATCH", path, {"state": "paused"}).status_code == 409
    assert weights(api) == {"old": 0.0, "new": 1.0}
    undone = api.call("DELETE", path).json
    assert (undone["state"], undone["reason"]) == ("stopped", "Undone by key test.")
    assert weights(api) == {"old": 0.75, "new": 0.25}
    told = [each["what"] for each in api.get("/v1/deployments/shop/changes").json["changes"]]
    assert told[0] == f"roll-out {number} stopped at 0.25: Undone by key test."
    assert told[1:4] == [f"roll-out {number} {what} at 1" for what in ("done", "running", "paused")]


@pytest.fixture
def deployed(store):
    """The deployments of an empty database, with one in which `new` has a tenth of the traffic by a roll-out."""
    held = DeploymentStore(store.engine)
    variants = (Variant("old", ModelSource(), 1.0), Variant("new", ModelSource(bundle="/b"), 0.0))
    made, _ = held.put(Deployment("shop", variants), "ada")
    return held, {each.name: each.token for each in made.variants}


def test_migrations_and_declarations_of_deployments_agree(store):
    assert differences(store.engine, metadata) == []


def test_one_of_all_workers_advances_a_roll_out(deployed):
    held, tokens = deployed
    bounds = Bounds(click_through=0.9)
    number, _ = held.begin("shop", "ada", lambda weights: begun("x", "new", (0.1, 1.0), 50, bounds, weights, 1000))
    held.look(number, 1060, 1)
    held.look(number, 1060.5, 1)
    assert held.rollout("shop", number).step == 1
    assert held.due(1060) == [number]
    for slot in range(106, 116):
        for _ in range(2):  # two workers
            held.add_tallies({(tokens["new"], slot): Tally(50, 50), (tokens["old"], slot): Tally(100, 100)})
        held.add_clicks([(f"p{slot}{place}", tokens["old"], slot) for place in range(40)] * 2)
    assert held.counted([tokens["old"]])[tokens["old"]] == replace(Tally(), requests=2000, lists=2000, clicks=400)
    ticker.tick(held, 1090, 1)
    assert held.rollout("shop", number).state == "running"  # clicks may still come
    ticker.tick(held, 1250, 1)
    found = held.rollout("shop", number)
    assert (found.state, found.loss.lists) == ("rolled-back", 1000)
    assert "0 of 1000 lists were clicked, of the others' 400 of 2000" in found.reason
    assert held.get("shop").weights == {"old": 1.0, "new": 0.0}
    assert held.due(2000) == []
    held.forget_counts(1250 + 40 * 86_400)
    assert held.counted([tokens["old"]])[tokens["old"]] == Tally()


# -- bad input ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "variants"),
        ({"variants": []}, "variants"),
        ({"variants": [{"name": "a"}, {"name": "a"}]}, "variants"),
        ({"variants": [{"name": "a", "weight": 0}]}, "variants"),
        ({"variants": [{"name": "a", "weight": -1}]}, "variants.0.weight"),
        ({"variants": [{"name": "a b"}]}, "variants.0.name"),
        ({"variants": [{"name": "a", "bundle": "relative"}]}, "variants.0"),
        ({"variants": [{"name": "a", "bundle": "/nowhere"}]}, "variants.0.bundle"),
        ({"variants": [{"name": "a", "bundle": "/b", "model": "m", "version": "1"}]}, "variants.0"),
        ({"variants": [{"name": "a", "model": "m"}]}, "variants.0"),
        ({"variants": [{"name": "a", "shadow": True}]}, "variants"),
        ({"variants": [{"name": "a"}], "rules": {"filter": "colour = 3"}}, "rules.filter"),
        ({"variants": [{"name": "a"}], "filters": {"f": "price <"}}, "filters"),
    ],
)
def test_what_is_no_deployment_is_refused(shared_api, body, field):
    answer = shared_api.call("PUT", "/v1/deployments/bad", body)
    assert answer.status_code == 422, answer.text
    assert answer.json["errors"][0]["field"].startswith(field)
    assert "no version is current" not in answer.text  # said of a folder of bundles, not of what is not there
    assert shared_api.get("/v1/deployments").json == {"deployments": []}


def test_names_that_are_not_there(shared_api):
    assert shared_api.get("/v1/deployments/none").status_code == 404
    assert shared_api.get("/v1/deployments/none/stats").status_code == 404
    assert shared_api.get("/v1/deployments/none/changes").status_code == 404
    assert shared_api.call("DELETE", "/v1/deployments/none").status_code == 404
    assert shared_api.call("PATCH", "/v1/deployments/none", {}).status_code == 404
    assert shared_api.call("POST", "/v1/deployments/none/rollouts", {"variant": "a"}).status_code == 404
    assert shared_api.call("PUT", "/v1/deployments/a--b", {"variants": [{"name": "a"}]}).status_code == 422
    told = shared_api.get("/v1/deployments/none/rollouts/1").json["detail"]
    assert told == "name: there is no deployment 'none'. GET /v1/deployments lists those there are."
    for wanted in ({"deployment": "none"}, {"variant": "none"}):
        assert shared_api.call("POST", "/v1/recommendations", wanted).status_code == 422


def test_changing_deployments_needs_a_scope_of_its_own(shared_api):
    token = shared_api.key("recommend", "catalogue", "events")
    put = shared_api.call("PUT", "/v1/deployments/shop", {"variants": [{"name": "a"}]}, token=token)
    assert put.status_code == 403
    assert shared_api.get("/v1/deployments", token=token).status_code == 200


def test_weights_and_roll_outs_of_variants_that_are_not_there(api, other, put):
    put(variants=[*two(other), {"name": "dark", "shadow": True}])
    for wrong in ({"none": 1}, {"dark": 1}, {"old": 0, "new": 0}):
        assert api.call("PATCH", "/v1/deployments/shop", {"weights": wrong}).status_code == 422
    for wrong in ({"variant": "none"}, {"variant": "dark"}, {"seconds": 0}, {"share": 2}, {"bounds": {"risk": 1}}):
        assert "errors" in begin(api, 422, **wrong)
    assert api.call("POST", "/v1/recommendations", {"deployment": "shop", "variant": "none"}).status_code == 422
