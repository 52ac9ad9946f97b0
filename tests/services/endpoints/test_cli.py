"""`palate endpoints` on the machine of the server, and the page that tells of it."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from palate.cli import palate
from palate.errors import BundleError, ParameterError, UnknownIdError


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
    assert run("deploy", "km", bundles / "pipeline", "--part", "kmeans") == "km serves a kmeans.\n"
    api = open_api(tmp_path / "home")
    assert api.invoke("km", "3,4", "text/csv").json["predictions"][0]["closest_cluster"] == 1.0
    assert run("deploy", "km", bundles / "pca") == "km serves another pca.\n"
    api.until(lambda: api.hosting.find("km").artifact.kind == "pca")
    name, kind, *_, place = run("list").split()
    assert (name, kind, place) == ("km", "pca", str(bundles / "pca"))
    assert run("delete", "km") == "km is taken down.\n"
    api.until(lambda: "km" not in api.hosting.hosted)


def test_what_cannot_be_deployed_is_refused(run, bundles, tmp_path):
    with pytest.raises(BundleError, match="no bundle here"):
        run("deploy", "km", tmp_path / "nowhere")
    with pytest.raises(ParameterError, match="no name of an endpoint"):
        run("deploy", "k m", bundles / "kmeans")
    with pytest.raises(UnknownIdError, match="no endpoint 'km'"):
        run("delete", "km")
    assert run("list") == ""
