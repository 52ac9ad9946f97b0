"""Images as tasks: folders and archives, what is no image, and who may see them."""

from __future__ import annotations

import io
import json
import zipfile

import pytest
from click.testing import CliRunner
from PIL import Image

from labeling.app import create
from labeling.cli import label
from labeling.service import Labeling
from labeling.settings import LabelingSettings
from labeling.store.definition import Definition, NewTask
from labeling.work import images
from palate.errors import ParameterError, SchemaError
from palate.store import Accounts

sqlite = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
"""For what both databases do alike: the tests without it run on both."""


def picture(form="PNG", size=(40, 30), mode="RGB", **more):
    file = io.BytesIO()
    Image.new(mode, size).save(file, form, **more)
    return file.getvalue()


@pytest.fixture
def folder(tmp_path):
    """Two images of two kinds in two folders, and what is none."""
    root = tmp_path / "pictures"
    (root / "cats").mkdir(parents=True)
    (root / "a.png").write_bytes(picture())
    (root / "cats" / "b.JPG").write_bytes(picture("JPEG", (64, 48)))
    (root / "notes.txt").write_text("not an image, and does not say so")
    (root / ".hidden.png").write_text("no image")
    return root


@pytest.fixture
def service(store):
    return Labeling(store.engine)


@pytest.fixture
def project(service):
    return service.create(Definition("Shapes", ("Cat", "Dog"), kind="boxes"))[0].id


def zipped(files):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return file.getvalue()


def taken_in(service, project, pictures):
    return images.import_pictures(service.engine, project, pictures, lambda *_: None)


def tasks(service, project):
    found = json.loads("".join(service.export(project, "json", every_task=True)))
    return {task["meta"]["external_id"]: task["data"] for task in found}


@sqlite
def test_a_folder_becomes_tasks_once_and_a_new_image_is_added(service, project, folder):
    assert taken_in(service, project, images.in_folder(folder)) == {"tasks": 2, "present": 0, "answers": 0}
    data = tasks(service, project)
    assert list(data) == ["a.png", "cats/b.JPG"]
    assert (data["cats/b.JPG"]["width"], data["cats/b.JPG"]["height"]) == (64, 48)
    (folder / "c.webp").write_bytes(picture("WEBP"))
    assert taken_in(service, project, images.in_folder(folder)) == {"tasks": 1, "present": 2, "answers": 0}


@sqlite
def test_sides_are_those_that_are_shown(service, project, folder):
    exif = Image.Exif()
    exif[0x0112] = 6  # a camera held upright
    (folder / "a.png").write_bytes(picture("JPEG", (64, 48), exif=exif))
    taken_in(service, project, images.in_folder(folder))
    data = tasks(service, project)["a.png"]
    assert (data["width"], data["height"]) == (48, 64)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", "is no image"),
        (b"<html><script>alert(1)</script></html>", "is no image"),
        (b"", "is no image"),
        (picture()[:60], "is no image"),
        (picture("JPEG", (400, 400))[:-400], "is no image"),
        (picture("BMP"), "is no image"),
        (picture(size=(9_000, 7_000), mode="1"), "pixels, too many"),
    ],
)
def test_what_is_no_image_is_told_by_its_content(content, said):
    with pytest.raises(SchemaError, match=said) as refused:
        images.look("z.png", content)
    assert refused.value.where == "z.png"


@sqlite
def test_one_that_is_no_image_changes_nothing(service, project, folder):
    (folder / "z.png").write_text("<svg/>")
    with pytest.raises(SchemaError, match="is no image"):
        taken_in(service, project, images.in_folder(folder))
    assert tasks(service, project) == {}


def test_a_link_out_of_the_folder_is_refused(folder, tmp_path):
    (tmp_path / "secret.png").write_bytes(picture())
    (folder / "inside.png").symlink_to(folder / "a.png")
    assert [each.path for each in images.in_folder(folder)] == ["a.png", "cats/b.JPG", "inside.png"]
    (folder / "out.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(SchemaError, match="leads out of the folder"):
        images.in_folder(folder)


@pytest.mark.parametrize("name", ["../a.png", "/etc/a.png", "a/../../b.png", "..\\a.png"])
def test_an_archive_whose_paths_leave_it_is_refused(name):
    with pytest.raises(SchemaError, match="leads out"):
        images.in_zip(zipped({name: picture()}))


@sqlite
def test_what_cannot_be_taken_in_says_why(service, folder):
    texts = service.create(Definition("Texts", ("A", "B")))[0].id
    with pytest.raises(ParameterError, match="shows no image"):
        taken_in(service, texts, images.in_folder(folder))
    with pytest.raises(SchemaError, match="is no ZIP archive"):
        images.in_zip(b"PK nothing")
    with pytest.raises(SchemaError, match="there is no image in it"):
        images.in_zip(zipped({"notes.txt": b"x", ".png": b"", "__MACOSX/a.png": b""}))


def test_an_archive_goes_through_the_api_and_its_images_are_for_members_alone(service, project, store, work, tmp_path):
    app = create(LabelingSettings(home=tmp_path, database_url=store.url))
    accounts = Accounts(service.engine)
    clients = {}
    for name, scopes in (("boss", ["label", "label:manage"]), ("ann", ["label"]), ("eve", ["label"])):
        client = clients[name] = app.test_client()
        token = accounts.create_key(name, scopes)[1]
        client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token}"
        clients[name].key = f"key:{accounts.check_token(token).id}"
    content = picture("JPEG", (64, 48))
    body = zipped({"cats/b.jpg": content, "readme.md": b"x"})
    job = clients["boss"].post(f"/v1/projects/{project}/imports?format=images", data=body)
    assert job.status_code == 202
    cut = {"CONTENT_LENGTH": str(len(body) + 1), "wsgi.input_terminated": True}
    half = clients["boss"].post(f"/v1/projects/{project}/imports?format=images", data=body, environ_overrides=cut)
    assert (half.status_code, "ended early" in half.json["detail"]) == (400, True)
    work()
    result = clients["boss"].get(f"/v1/projects/{project}/jobs/{job.json['id']}").json
    assert result["result"] == {"tasks": 1, "present": 0, "answers": 0}
    address = tasks(service, project)["cats/b.jpg"]["image"]
    shown = clients["ann"].get(address)
    assert (shown.status_code, shown.content_type, shown.data) == (200, "image/jpeg", content)
    assert "sandbox" in shown.headers["Content-Security-Policy"]
    assert "private" in shown.headers["Cache-Control"]
    service.set_members(project, {clients["ann"].key: "annotator"})
    assert clients["ann"].get(address).status_code == 200
    assert clients["boss"].get(address).status_code == 200
    assert clients["eve"].get(address).status_code == 403
    assert app.test_client().get(address).status_code == 401
    # Neither another project's images nor other files of the store are to be had that way.
    other = service.create(Definition("Other", ("Cat", "Dog"), kind="boxes"), [NewTask("1", {"image": address})])[0].id
    number = address.rpartition("/")[2]
    assert clients["boss"].get(f"/projects/{other}/images/{number}").status_code == 404
    exported = service.automation.export_file(project, "json")
    work()
    file = service.automation.job(project, exported.id).result["file"]
    assert clients["boss"].get(f"/projects/{project}/images/{file}").status_code == 404
    assert clients["boss"].get(f"/projects/{project}/images/{2**70}").status_code == 404
    app.extensions["labeling"].engine.dispose()


def test_the_commands_make_a_project_of_a_folder(tmp_path, folder, monkeypatch):
    monkeypatch.setenv("PALATE_HOME", str(tmp_path / "home"))

    def run(*arguments):
        told = CliRunner().invoke(label, arguments, catch_exceptions=False)
        assert told.exit_code == 0
        return told.output

    made = run("create", "--title", "Shapes", "--kind", "boxes", "--labels", "Cat,Dog")
    assert "Made project 1 'Shapes': 0 tasks added" in made
    assert "2 tasks and 0 answers added; 0 were there." in run("import", "1", str(folder))
    archive = tmp_path / "more.zip"
    archive.write_bytes(zipped({"a.png": picture(), "d.gif": picture("GIF")}))
    assert "1 tasks and 0 answers added; 1 were there." in run("import", "1", str(archive))
