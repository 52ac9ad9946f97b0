"""Several models behind one endpoint: traffic by weight, a target, shadows, weights that change live."""

from __future__ import annotations

import re
from collections import Counter

import pytest

TARGET = "X-Amzn-SageMaker-Target-Variant"


@pytest.fixture
def two(open_api, bundles, far):
    """An app with an endpoint of two variants and a shadow, of which the first two share the traffic."""
    api = open_api()
    api.near, api.far = {"name": "near", "bundle": str(bundles / "kmeans")}, {"name": "far", "bundle": str(far)}
    dark = {"name": "dark", "bundle": str(bundles / "pca"), "shadow": True}
    api.put = lambda *variants: api.call("PUT", "/v1/endpoints/km", json={"variants": list(variants)})
    made = api.put({**api.near, "weight": 3}, api.far, dark)
    assert made.status_code == 201, made.text
    return api


def ask(api, times=60, **headers):
    """How often each variant answered."""
    found = Counter()
    for _ in range(times):
        answer = api.invoke("km", "0,0", "text/csv", **headers)
        assert answer.status_code == 200, answer.text
        variant = answer.headers["x-Amzn-Invoked-Production-Variant"]
        assert answer.json["predictions"][0]["distance_to_cluster"] == (50 if variant == "far" else 0)
        found[variant] += 1
    return found


def outcomes(api):
    found = re.findall(
        r'palate_endpoint_requests_total\{endpoint="km",outcome="(\w+)",variant="(\w+)"\} (\S+)',
        api.call("GET", "/metrics").text,
    )
    return {(variant, outcome): float(count) for outcome, variant, count in found}


def test_traffic_follows_the_weights_and_a_target_overrides_them(two):
    told = two.call("GET", "/v1/endpoints/km").json
    assert [(each["name"], each["share"], each["loaded"]) for each in told["variants"]] == [
        ("near", 0.75, True),
        ("far", 0.25, True),
        ("dark", 0.0, True),
    ]
    found = ask(two, 200)
    assert 120 < found["near"] < 180
    assert found["near"] + found["far"] == 200
    assert ask(two, 5, **{TARGET: "far"}) == {"far": 5}
    refused = two.invoke("km", "0,0", "text/csv", **{TARGET: "none"})
    assert (refused.status_code, refused.headers["x-amzn-ErrorType"]) == (400, "ValidationError")
    assert "near, far, dark" in refused.json["message"]


def test_weights_change_live_in_every_worker(two, open_api, tmp_path):
    follower = open_api()
    follower.token = two.token
    assert ask(follower, 30)["near"]
    moved = two.call("PATCH", "/v1/endpoints/km", json={"weights": {"near": 0}})
    assert moved.json["variants"][1]["share"] == 1
    assert ask(two, 20) == {"far": 20}
    follower.until(lambda: ask(follower, 20) == {"far": 20})
    for wrong in ({"none": 1}, {"dark": 1}, {"far": 0}, {"far": -1}, {}):
        refused = two.call("PATCH", "/v1/endpoints/km", json={"weights": wrong})
        assert (refused.status_code, refused.content_type) == (422, "application/problem+json")
    assert two.call("PATCH", "/v1/endpoints/none", json={"weights": {"a": 1}}).status_code == 404
    caller = two.key("invoke")
    assert two.call("PATCH", "/v1/endpoints/km", json={"weights": {"near": 1}}, token=caller).status_code == 403


def test_a_shadow_is_asked_and_never_answers(two, bundles):
    shadows = [{"name": "dark", "bundle": str(bundles / "pca"), "shadow": True}, {**two.far, "shadow": True}]
    two.put(two.near, *shadows)
    assert ask(two, 20) == {"near": 20}
    # Rows of two numbers are refused by the PCA of three: no failure of it, but it was asked.
    wanted = {("near", "answered"): 20, ("far", "answered"): 20, ("dark", "answered"): 20}
    two.until(lambda: outcomes(two) == wanted)


def test_models_are_not_loaded_again_when_weights_change(two):
    before = {name: two.hosting.find("km", name).artifact for name in ("near", "far")}
    assert two.call("PATCH", "/v1/endpoints/km", json={"weights": {"near": 1}}).status_code == 200
    assert {name: two.hosting.find("km", name).artifact for name in ("near", "far")} == before


def test_a_variant_that_cannot_be_loaded_or_answers_otherwise_refuses_the_deployment(two, bundles, tmp_path):
    refused = two.put(two.near, {"name": "bad", "bundle": str(tmp_path / "nowhere")})
    assert (refused.status_code, refused.json["errors"][0]["field"]) == (422, "variants")
    refused = two.put(two.near, two.far, {"name": "odd", "bundle": str(bundles / "pca")})
    assert (refused.status_code, refused.json["errors"][0]["field"]) == (422, "variants")
    assert "'near' (kmeans) and 'odd' (pca) do not take and give the same" in refused.json["detail"]
    assert ask(two, 3, **{TARGET: "far"}) == {"far": 3}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"variants": [{"name": "a", "bundle": "/x"}], "bundle": "/x"}, "either one model or variants"),
        ({"variants": [{"name": "a", "bundle": "/x"}] * 2}, "the same name"),
        ({"variants": [{"name": "a", "bundle": "/x", "weight": 0}]}, "any traffic"),
        ({"variants": [{"name": "a", "bundle": "/x", "shadow": True}]}, "any traffic"),
        ({"variants": [{"name": "a", "bundle": "/x", "shadow": True, "weight": 1}]}, "no weight"),
        ({"variants": [{"name": "a"}]}, "either a bundle or a model"),
        ({"variants": [{"name": "a b", "bundle": "/x"}]}, "variants.0.name: A name is letters, digits"),
        ({"variants": [{"name": "a", "bundle": "/x", "weight": True}]}, "variants.0.weight: Input should be a"),
    ],
)
def test_variants_that_cannot_be_are_refused(api, body, words):
    refused = api.call("PUT", "/v1/endpoints/x", json=body)
    assert refused.status_code == 422
    assert words in refused.json["detail"]


def test_bare_invocations_ask_the_only_endpoint_or_the_one_that_is_named(open_api, api, two, bundles, tmp_path):
    def bare(of):
        return of.call("POST", "/invocations", data="0,0", headers={"Content-Type": "text/csv", TARGET: "far"})

    assert bare(two).json["predictions"][0]["distance_to_cluster"] == 50
    unsaid = api.call("POST", "/invocations", data="0,0", headers={"Content-Type": "text/csv"})
    assert (unsaid.status_code, unsaid.headers["x-amzn-ErrorType"]) == (404, "ValidationError")
    two.deploy("other", bundles / "pca")
    assert bare(two).status_code == 404
    named = open_api(invocations_endpoint="km")
    named.token = two.token
    assert bare(named).headers["x-Amzn-Invoked-Production-Variant"] == "far"
