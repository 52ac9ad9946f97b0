"""`palate endpoints` on the machine of the server, and the page that tells of it."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from palate.cli import palate
from palate.errors import BundleError, ConflictError, ParameterError, UnknownIdError
from palate.web import FieldErrors


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PALATE_HOME", str(tmp_path / "home"))

    def call(*arguments):
        done = CliRunner().invoke(palate, ["endpoints", *map(str, arguments)])
        if done.exception is not None:
            raise done.exception
        return done.stdout

    return call


def test_what_the_command_deploys_the_server_serves(run, open_api, bundles, tmp_path):
    assert run("list") == ""
    assert run("deploy", "km", bundles / "pipeline", "--part", "kmeans") == "km serves a model of kind kmeans.\n"
    api = open_api(tmp_path / "home")
    assert api.invoke("km", "3,4", "text/csv").json["predictions"][0]["closest_cluster"] == 1.0
    assert run("deploy", "km", bundles / "pca") == "km serves another model of kind pca.\n"
    api.until(lambda: api.hosting.find("km").artifact.kind == "pca")
    name, kind, *_, place = run("list").split()
    assert (name, kind, place) == ("km", "pca", str(bundles / "pca"))
    assert run("delete", "km") == "km is taken down.\n"
    api.until(lambda: "km" not in api.hosting.hosted)


def test_a_roll_out_is_begun_paused_resumed_and_stopped_at_the_shell(run, open_api, bundles, far, tmp_path):
    api = open_api(tmp_path / "home", rollout_seconds=60)
    variants = [{"name": "old", "bundle": str(bundles / "kmeans")}, {"name": "new", "bundle": str(far), "weight": 0}]
    assert api.call("PUT", "/v1/endpoints/km", json={"variants": variants}).status_code == 201
    assert run("rollout", "list", "km") == ""
    begun = run("rollout", "begin", "km", "new", "--kind", "linear", "--share", "0.4", "--slow-ms", "50")
    assert "linear to new  running at 40 %, step 1 of 3" in begun
    number = begun.split()[0]
    told = api.call("GET", f"/v1/endpoints/km/rollouts/{number}").json
    assert (told["steps"], told["seconds"]) == ([0.4, 0.8, 1.0], 600)
    assert told["bounds"] == {"errors": 0.01, "slow_ms": 50, "slow": 0.05, "risk": 0.05}
    api.until(lambda: api.hosting.hosted["km"].endpoint.weights == {"old": 0.6, "new": 0.4})
    assert "paused at 40 %" in run("rollout", "pause", "km", number)
    assert "running at 40 %" in run("rollout", "resume", "km", number)
    with pytest.raises(ConflictError, match="moves the weights"):
        run("rollout", "begin", "km", "new")
    assert "stopped at 0 %, step 1 of 3. Stopped by shell" in run("rollout", "stop", "km", number)
    assert len(run("rollout", "list", "km").splitlines()) == 1
    api.until(lambda: api.hosting.hosted["km"].endpoint.weights == {"old": 1.0, "new": 0.0})
    for wrong in (("km", "none"), ("km", "new", "--share", "2"), ("km", "new", "--errors", "nan")):
        with pytest.raises(FieldErrors):
            run("rollout", "begin", *wrong)
    for wrong in (("list", "none"), ("begin", "none", "new"), ("stop", "km", "99")):
        with pytest.raises(UnknownIdError):
            run("rollout", *wrong)
    with pytest.raises(ConflictError, match="the roll-out is stopped"):
        run("rollout", "pause", "km", number)


def test_what_cannot_be_deployed_is_refused(run, bundles, tmp_path):
    with pytest.raises(BundleError, match="no bundle here"):
        run("deploy", "km", tmp_path / "nowhere")
    with pytest.raises(ParameterError, match="no name of an endpoint"):
        run("deploy", "k m", bundles / "kmeans")
    with pytest.raises(UnknownIdError, match="no endpoint 'km'"):
        run("delete", "km")
    assert run("list") == ""
