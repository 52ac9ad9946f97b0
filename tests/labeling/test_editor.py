"""Label Studio's editor before it is fetched, and what is no such editor."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from labeling import editor
from labeling.app import create
from labeling.cli import label
from labeling.settings import LabelingSettings
from labeling.store.definition import Definition
from palate.errors import InputError, ParameterError, RemoteError
from palate.store import Accounts

MIXED = """<View><Text name="t" value="$text"/><Rating name="r" toName="t"/>
<Choices name="c" toName="t"><Choice value="A"/><Choice value="B"/></Choices></View>"""


@pytest.fixture
def client(tmp_path, monkeypatch):
    """Signed in by a key, on a machine where nothing was fetched."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    app = create(LabelingSettings(home=tmp_path, image_hosts=("https://images.example.org",)))
    service = app.extensions["labeling"]
    service.create(Definition("Mixed", config=MIXED))
    service.create(Definition("Plain", ("A", "B")))
    client = app.test_client()
    token = Accounts(service.engine).create_key("test", ["label", "label:manage"])[1]
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token}"
    yield client
    service.engine.dispose()


def test_a_page_that_needs_it_names_the_command(client, tmp_path):
    page = client.get("/projects/1").text
    assert editor.COMMAND in page
    assert "work.js" not in page
    assert editor.COMMAND not in client.get("/projects/2").text
    # What lies there by another hand than that command's is not served.
    there = editor.folder(tmp_path / "cache" / "palate")
    there.mkdir(parents=True)
    for name in editor.FILES:
        (there / name).write_text("alert(1)")
        answer = client.get(f"/editor/{editor.VERSION}/{name}")
        assert answer.status_code == 501
        assert editor.COMMAND in answer.json["detail"]
    assert client.get(f"/editor/{editor.VERSION}/secret.key").status_code == 404
    assert editor.COMMAND in client.get("/projects/1").text


def test_the_frame_may_do_nothing_but_run_the_editor(client):
    policy = client.get("/editor").headers["Content-Security-Policy"]
    assert "sandbox allow-scripts" in policy
    assert "allow-same-origin" not in policy
    assert "connect-src data: blob:;" in policy
    assert "script-src 'self';" in policy


def test_only_the_package_itself_is_taken(tmp_path, monkeypatch):
    wheel = tmp_path / "label_studio-1.13.1-py3-none-any.whl"
    wheel.write_bytes(b"PK")
    with pytest.raises(InputError, match="its hash differs"):
        editor.fetch(tmp_path, wheel)
    with pytest.raises(InputError, match="cannot be read"):
        editor.fetch(tmp_path, tmp_path / "none.whl")
    told = CliRunner().invoke(label, ["editor", "--wheel", str(wheel)])
    assert isinstance(told.exception, InputError)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nothing"))
    with pytest.raises(RemoteError, match="pip cannot fetch") as refused:
        editor.fetch(tmp_path)
    assert "--wheel FILE" in refused.value.hint
    assert not editor.folder(tmp_path).exists()


@pytest.mark.parametrize("host", ["images.example.org", "https://x.org/path", "https://x.org; script-src *", "*"])
def test_a_host_of_images_is_an_origin(host, monkeypatch):
    with pytest.raises(ParameterError) as refused:
        LabelingSettings.read(image_hosts=(host,))
    assert refused.value.where.startswith("PALATE_IMAGE_HOSTS")


def test_hosts_of_images_enter_the_policies_of_the_page_and_of_the_frame(client):
    for page in ("/editor", "/projects/2"):
        policy = client.get(page).headers["Content-Security-Policy"].split("; ")
        [images] = [part for part in policy if part.startswith("img-src")]
        assert "https://images.example.org" in images.split()
        [scripts] = [part for part in policy if part.startswith("script-src")]
        assert scripts == "script-src 'self'"
