"""Roll-outs of endpoints: they go on, wait, go back and are undone; who keeps their variant; how variants do."""

from __future__ import annotations

import time
from collections import Counter

import pytest

from services.variants.tallies import SLOT, Tally

SESSION = "X-Amzn-SageMaker-Session-Id"
TARGET = "X-Amzn-SageMaker-Target-Variant"


@pytest.fixture
def deploy(open_api, bundles, far):
    """Opens an app whose endpoint `km` has the variants `old`, `new` without traffic, and a shadow."""

    def make(old=1.0, new=0.0, **settings):
        api = open_api(**settings)
        dark = {"name": "dark", "bundle": str(far), "shadow": True}
        api.variants = [
            {"name": "old", "bundle": str(bundles / "kmeans"), "weight": old},
            {"name": "new", "bundle": str(far), "weight": new},
            dark,
        ]
        made = api.call("PUT", "/v1/endpoints/km", json={"variants": api.variants})
        assert made.status_code == 201, made.text
        return api

    return make


@pytest.fixture
def quiet(deploy):
    """Such an app that looks at roll-outs only when it is told to."""
    return deploy(rollout_seconds=60)


def begin(api, status=201, **body):
    answer = api.call("POST", "/v1/endpoints/km/rollouts", json={"variant": "new", **body})
    assert answer.status_code == status, answer.text
    return answer.json


def shown(api, number):
    return api.call("GET", f"/v1/endpoints/km/rollouts/{number}").json


def turn(api, number, state):
    return api.call("PATCH", f"/v1/endpoints/km/rollouts/{number}", json={"state": state})


def shares(api):
    told = api.call("GET", "/v1/endpoints/km").json["variants"]
    return {each["name"]: each["share"] for each in told if not each["shadow"]}


def answering(api, **headers):
    answer = api.invoke("km", "0,0", "text/csv", **headers)
    assert answer.status_code == 200, answer.text
    return answer.headers["x-Amzn-Invoked-Production-Variant"]


def test_it_goes_on_by_itself_in_every_worker_and_is_undone(deploy, open_api):
    api = deploy(old=3, rollout_seconds=0.1)
    follower = open_api()
    follower.token = api.token
    made = begin(api, kind="linear", share=0.5, seconds=0.2)
    assert (made["steps"], made["share"], made["endpoint"]) == ([0.5, 1.0], 0.5, "km")
    api.until(lambda: shown(api, made["rollout"])["state"] == "done")
    assert shares(api) == {"old": 0.0, "new": 1.0}
    follower.until(lambda: {answering(follower) for _ in range(9)} == {"new"})
    undone = api.call("DELETE", f"/v1/endpoints/km/rollouts/{made['rollout']}").json
    assert (undone["state"], undone["reason"]) == ("stopped", "Undone by key test.")
    assert {answering(api) for _ in range(9)} == {"old"}
    assert api.call("DELETE", f"/v1/endpoints/km/rollouts/{made['rollout']}").json == undone


def test_other_changes_wait_until_it_has_ended(quiet):
    number = begin(quiet, kind="blue-green")["rollout"]
    assert quiet.call("GET", "/v1/endpoints/km").json["rollout"] == number
    assert begin(quiet, 409)["type"] == "/problems/conflict"
    put = quiet.call("PUT", "/v1/endpoints/km", json={"variants": quiet.variants})
    patch = quiet.call("PATCH", "/v1/endpoints/km", json={"weights": {"old": 5}})
    assert (put.status_code, patch.status_code) == (409, 409)
    assert {answering(quiet) for _ in range(9)} == {"new"}
    assert quiet.call("DELETE", f"/v1/endpoints/km/rollouts/{number}").json["reason"] == "Stopped by key test."
    assert {answering(quiet) for _ in range(9)} == {"old"}
    assert quiet.call("GET", "/v1/endpoints/km").json["rollout"] is None
    number = begin(quiet)["rollout"]
    assert quiet.call("DELETE", "/v1/endpoints/km").status_code == 200
    ended = shown(quiet, number)
    assert (ended["state"], ended["reason"]) == ("stopped", "km was taken down.")
    assert ended["ended_at"] > ended["began_at"]
    assert quiet.call("PUT", "/v1/endpoints/km", json={"variants": quiet.variants}).status_code == 201
    assert quiet.call("GET", "/v1/endpoints/km/rollouts").json["rollouts"] == [], "those of the one before"


def test_what_is_done_is_not_undone_over_the_head_of_who_changed_it_since(quiet):
    number = begin(quiet, kind="blue-green", seconds=1)["rollout"]
    quiet.hosting.store.look(number, time.time() + 2, 1)
    assert shown(quiet, number)["state"] == "done"
    assert quiet.call("PATCH", "/v1/endpoints/km", json={"weights": {"old": 1}}).status_code == 200
    refused = quiet.call("DELETE", f"/v1/endpoints/km/rollouts/{number}")
    assert (refused.status_code, refused.json["type"]) == (409, "/problems/conflict")
    assert shares(quiet) == {"old": 0.5, "new": 0.5}


def test_a_paused_one_stays_at_its_step_until_it_is_resumed(quiet):
    number = begin(quiet, kind="linear", share=0.5, seconds=600)["rollout"]
    assert turn(quiet, number, "paused").json["state"] == "paused"
    later = time.time() + 700
    quiet.hosting.store.look(number, later, 1)
    assert (shown(quiet, number)["step"], shares(quiet)["new"]) == (0, 0.5)
    assert begin(quiet, 409)["type"] == "/problems/conflict"
    assert turn(quiet, number, "running").json["state"] == "running"
    quiet.hosting.store.look(number, later + 30, 1)
    assert (shown(quiet, number)["step"], shares(quiet)["new"]) == (1, 1.0)
    quiet.call("DELETE", f"/v1/endpoints/km/rollouts/{number}")
    for state in ("paused", "running"):
        assert turn(quiet, number, state).status_code == 409
    assert turn(quiet, number, "done").status_code == 422


@pytest.mark.parametrize(
    ("bad", "bounds", "reason"),
    [
        ({"errors": 20}, {}, "20 of 100 requests failed"),
        ({"latencies": (80, *[0] * 21, 20)}, {"slow_ms": 100}, "20 of 100 requests took longer than 100 ms"),
    ],
)
def test_a_broken_bound_rolls_back_even_a_paused_one(quiet, bad, bounds, reason):
    number = begin(quiet, share=0.5, bounds=bounds)["rollout"]
    turn(quiet, number, "paused")
    store, now = quiet.hosting.store, time.time()
    held = store.get("km")
    token = next(held.token(each) for each in held.variants if each.name == "new")
    store.add_tallies({(token, int(now // SLOT) + 2): Tally(100, **bad)})
    store.look(number, now + 40, 1)
    found = shown(quiet, number)
    assert found["state"] == "rolled-back"
    assert reason in found["reason"]
    assert shares(quiet) == {"old": 1.0, "new": 0.0}
    quiet.until(lambda: {answering(quiet) for _ in range(9)} == {"old"})


def test_who_says_the_same_session_keeps_their_variant(deploy):
    api = deploy(1, 1)
    first = {f"visitor-{n}": answering(api, **{SESSION: f"visitor-{n}"}) for n in range(40)}
    assert first == {name: answering(api, **{SESSION: name}) for name in first}
    assert set(first.values()) == {"old", "new"}
    assert answering(api, **{SESSION: "visitor-1", TARGET: "new"}) == "new"
    assert {answering(api, **{SESSION: "NEW_SESSION"}) for _ in range(60)} == {"old", "new"}
    api.call("PATCH", "/v1/endpoints/km", json={"weights": {"new": 4}})
    moved = {name: answering(api, **{SESSION: name}) for name in first}
    assert {(first[name], moved[name]) for name in first if first[name] != moved[name]} == {("old", "new")}


def test_how_the_variants_do(deploy):
    api = deploy(1, 1)
    found = Counter(answering(api) for _ in range(30))
    assert api.invoke("km", "a,b", "text/csv").status_code == 400  # no error of a variant

    def told():
        answer = api.call("GET", "/v1/endpoints/km/stats?seconds=600").json
        return {each["name"]: each for each in answer["variants"]}

    api.until(lambda: sum(each["requests"] for each in told().values()) == 60)
    assert {name: (each["requests"], each["errors"]) for name, each in told().items()} == {
        "old": (found["old"], 0),
        "new": (found["new"], 0),
        "dark": (30, 0),
    }
    assert 0 < told()["new"]["latency_ms"]["p50"] <= told()["new"]["latency_ms"]["p99"]


def test_what_cannot_be_rolled_out(quiet):
    for wrong, field in (
        ({"variant": "none"}, "variant"),
        ({"variant": "dark"}, "variant"),
        ({"share": 2}, "share"),
        ({"bounds": {"slow": 0.1}}, ""),
        ({"bounds": {"click_through": 0.9}}, "bounds.click_through"),
    ):
        assert begin(quiet, 422, **wrong)["errors"][0]["field"] == field
    for method, path in (("GET", ""), ("POST", ""), ("GET", "/1"), ("PATCH", "/1"), ("DELETE", "/1")):
        body = {"state": "paused"} if method == "PATCH" else {"variant": "new"} if method == "POST" else None
        gone = quiet.call(method, f"/v1/endpoints/none/rollouts{path}", json=body)
        assert gone.status_code == 404, (method, path)
        assert gone.json["detail"].startswith("there is no endpoint 'none'. GET /v1/endpoints"), (method, path)
    unknown = quiet.call("GET", f"/v1/endpoints/km/rollouts/{2**40}")
    assert unknown.status_code == 404
    assert "shows those there are" in unknown.json["detail"]
    assert quiet.call("GET", "/v1/endpoints/none/stats").status_code == 404
    token = quiet.key("invoke")
    assert quiet.call("POST", "/v1/endpoints/km/rollouts", json={"variant": "new"}, token=token).status_code == 403
    assert quiet.call("GET", "/v1/endpoints/km/rollouts", token=token).json == {"rollouts": []}
