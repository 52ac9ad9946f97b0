"""The routes about Label Studio, and the command, as far as they need no Label Studio."""

from __future__ import annotations

from datetime import timedelta

import pytest
from click.testing import CliRunner

from labeling.label_studio.jobs import enqueue_due
from labeling.label_studio.tables import links
from palate.cli import palate
from palate.errors import ParameterError, RemoteError
from palate.store import clock, writing
from palate.store.tables import jobs

URL = "http://127.0.0.1:1"
"""Where nobody listens."""


@pytest.fixture
def films(service):
    return service.texts()


def call(service, method, path, *scopes):
    headers = {"Authorization": f"Bearer {service.key(*scopes)}"} if scopes else {}
    body = None if method == "GET" else {}
    return service.app.test_client().open(f"/v1{path}", method=method, headers=headers, json=body)


def test_what_there_is_between_a_project_and_label_studio(service, films):
    path = f"/projects/{films.id}/label-studio"
    nothing = {"url": None, "remote_project": None, "by_service": False, "synchronisation": None, "training": None}
    assert call(service, "GET", path, "label:manage", "label").json == {**nothing, "models": []}
    refused = call(service, "POST", f"{path}/sync", "label:manage", "label")
    assert (refused.status_code, "palate label sync" in refused.json["detail"]) == (409, True)

    with writing(service.engine) as db:
        db.execute(links.insert().values(project_id=films.id, url=URL, remote_id=3, mark="m"))
    named = service.settings.model_copy(update={"label_studio_url": f"{URL}/"})
    service.settings = service.app.extensions["palate"].settings = named
    begun = call(service, "POST", f"{path}/sync", "label:manage", "label")
    assert begun.status_code == 202
    service.work()
    now = call(service, "GET", path, "label:manage", "label").json
    assert (now["url"], now["remote_project"], now["by_service"]) == (URL, 3, True)
    assert (now["synchronisation"]["id"], now["synchronisation"]["state"]) == (begun.json["job"], "failed")
    assert now["synchronisation"]["error"] == "PALATE_LABEL_STUDIO_TOKEN_FILE: is not set."


def test_projects_are_synchronised_by_themselves_every_so_often(service, films):
    def at_work(**settings):
        named = service.settings.model_copy(update={"label_studio_url": URL, **settings})
        return enqueue_due(service.engine, named)

    assert at_work(label_studio_minutes=5) == 0  # it is linked with none
    with writing(service.engine) as db:
        db.execute(links.insert().values(project_id=films.id, url=URL, remote_id=3, mark="m"))
    assert at_work(label_studio_minutes=0) == 0
    assert at_work(label_studio_minutes=5, label_studio_url="http://127.0.0.1:2") == 0
    assert at_work(label_studio_minutes=5) == 1
    assert at_work(label_studio_minutes=5) == 0  # one waits
    service.work()
    assert at_work(label_studio_minutes=5) == 0  # it has just been tried
    with writing(service.engine) as db:
        db.execute(jobs.update().values(finished=clock(db) - timedelta(minutes=6)))
    assert at_work(label_studio_minutes=5) == 1


@pytest.mark.parametrize(("method", "end"), [("GET", ""), ("POST", "/sync")])
def test_they_are_for_administrators(method, end, service, films):
    path = f"/projects/{films.id}/label-studio{end}"
    assert call(service, method, path).status_code == 401
    assert call(service, method, path, "label").status_code == 403
    assert call(service, method, path, "label:ml").status_code == 403
    assert call(service, method, f"/projects/99/label-studio{end}", "label:manage", "label").status_code == 404


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (["--url", URL], ParameterError, "say which project"),
        (["1"], ParameterError, "PALATE_LABEL_STUDIO_URL"),
        (["1", "--url", URL], ParameterError, "--token-file: is missing"),
        (["1", "--url", URL, "--token-file", "no-such-file"], ParameterError, "cannot be read"),
        (["1", "--url", "http://169.254.169.254", "--token", "abc"], ParameterError, "is not called"),
        (["1", "--url", "gopher://host", "--token", "abc"], ParameterError, "no address of a web server"),
        (["--remote", "3", "--url", URL, "--token", "secret0"], RemoteError, "cannot be reached"),
    ],
)
def test_the_command_says_what_is_missing_or_wrong(arguments, error, message, tmp_path, monkeypatch):
    monkeypatch.setenv("PALATE_HOME", str(tmp_path))
    monkeypatch.delenv("LABEL_STUDIO_API_KEY", raising=False)
    done = CliRunner().invoke(palate, ["label", "sync", *arguments])
    assert isinstance(done.exception, error)
    assert message in str(done.exception)
    assert "secret0" not in done.output + str(done.exception)


def test_a_token_comes_by_standard_input_and_by_a_file(tmp_path, monkeypatch):
    monkeypatch.setenv("PALATE_HOME", str(tmp_path))
    (tmp_path / "token").write_text("a token\nwith two lines")
    with_file = CliRunner().invoke(
        palate, ["label", "sync", "1", "--url", URL, "--token-file", str(tmp_path / "token")]
    )
    assert "is no token" in str(with_file.exception)
    with_input = CliRunner().invoke(palate, ["label", "sync", "1", "--url", URL, "--token-file", "-"], input="abc\n")
    assert "there is no project 1" in str(with_input.exception)
