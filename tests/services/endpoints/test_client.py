"""The clients of the server of model endpoints, against one that listens."""

from __future__ import annotations

import inspect

import pytest

from palate.client.hosted import AsyncEndpointsClient, EndpointsClient, Methods
from palate.client.twins import method
from palate.errors import ParameterError, RemoteError
from tests.services.listening import QUICK, House, as_blocking


@pytest.fixture(scope="module")
def house(api):
    with House(api) as made:
        yield made


@pytest.fixture(params=[EndpointsClient, as_blocking(AsyncEndpointsClient)], ids=["blocking", "awaited"])
def client(request, house):
    with request.param(house.url, house.api.token, policy=QUICK) as made:
        yield made


def test_deployed_weighed_rolled_out_and_taken_down(client, house, bundles, far):
    variants = [{"name": "old", "bundle": str(bundles / "kmeans"), "weight": 3.0}, {"name": "new", "bundle": str(far)}]
    made = client.deploy("km", variants)
    assert (made.kind, made.status, [each.share for each in made.variants]) == ("kmeans", "InService", [0.75, 0.25])
    assert [each.weight for each in client.weigh("km", {"new": 3}).variants] == [3, 3]
    assert client.endpoint("km").outputs == {"cluster": "int32", "distance": "float"}
    assert "km" in [each.name for each in client.endpoints()]
    assert [each.name for each in client.stats("km", 600).variants] == ["old", "new"]
    house.lose(1)
    with pytest.raises(RemoteError, match="may have been done"):
        client.start_rollout("km", "new", kind="linear", share=0.75, bounds={"slow_ms": 50})
    assert len(house.requests) == 1
    running = client.rollouts("km")[0]
    assert (running.endpoint, running.state, running.steps) == ("km", "running", [0.75, 1.0])
    assert (running.bounds["slow_ms"], client.endpoint("km").rollout) == (50, running.rollout)
    assert client.pause_rollout("km", running.rollout).state == "paused"
    assert client.resume_rollout("km", running.rollout).state == "running"
    assert client.stop_rollout("km", running.rollout).reason == "Stopped by key test."
    assert client.rollout("km", running.rollout).ended_at is not None
    client.delete_endpoint("km")
    with pytest.raises(RemoteError, match="no endpoint") as gone:
        client.rollouts("km")
    assert gone.value.code == 404


def test_what_is_refused_is_told_in_the_servers_words(client, tmp_path):
    with pytest.raises(RemoteError, match="Give a bundle, a model or variants"):
        client.deploy("km")
    with pytest.raises(RemoteError, match="not a bundle"):
        client.deploy("km", bundle=str(tmp_path))
    with pytest.raises(RemoteError, match="There is no such variant") as refused:
        client.start_rollout("pca", "none")
    assert (refused.value.code, refused.value.problem["errors"][0]["field"]) == (422, "variant")
    with pytest.raises(RemoteError, match="there is no roll-out 7"):
        client.pause_rollout("pca", 7)
    with pytest.raises(ParameterError, match="rollouts: 'seven' is no number of one"):
        client.pause_rollout("pca", "seven")
    with pytest.raises(RemoteError, match="input"):
        client.start_transform("pca", "none.csv", "out.csv")


def test_every_route_has_a_method(api):
    given = {"name": "n", "variant": "v", "weights": {"v": 1.0}, "rollout": 7, "job": 7, "input": "i", "output": "o"}
    routes = api.app.url_map.bind("localhost")
    client, asked = EndpointsClient("http://localhost"), set()
    for name in dir(Methods):
        each = inspect.getattr_static(Methods, name)
        if isinstance(each, method):
            names = [name for name in inspect.signature(each.plan).parameters if name in given]
            first = next(each.plan(client, **{name: given[name] for name in names}))
            asked.add(routes.match(first.path.split("?")[0], first.method)[0])
    assert {rule.endpoint for rule in api.app.url_map.iter_rules() if rule.endpoint.startswith("v1.")} == asked
