"""Labels flow into the catalogue of a running recommendation API, and make an item recommendable that had none."""

from __future__ import annotations

import threading
import time
from importlib import util
from pathlib import Path

import pytest
from click.testing import CliRunner
from werkzeug.serving import make_server

from labeling.service import Labeling
from labeling.settings import LabelingSettings
from labeling.store.definition import Definition, NewTask
from labeling.work.abreast import CONNECTIONS
from labeling.work.process import work_off
from labeling.work.publish import publish
from labeling.work.settings import RunSettings
from labeling.work.wanted import take_wanted
from palate.bundle import publish_bundle, set_current
from palate.cli import palate
from palate.client.calls import Policy
from palate.client.catalogue import KEY, Catalogue
from palate.errors import ParameterError, RemoteError
from palate.models import make_recommender
from palate.store import Accounts
from services.recommender.app import create
from services.recommender.settings import RecommenderSettings
from services.recommender.state import KEY as STATE

_spec = util.spec_from_file_location("published_world", Path(__file__).parents[1] / "services" / "world.py")
world = util.module_from_spec(_spec)
_spec.loader.exec_module(world)


class Api:
    """A recommendation API that listens; its items are known by their content."""

    def __init__(self, home, bundles):
        self.app = create(RecommenderSettings(home=home, bundle=bundles, catalogue_seconds=0.05, retry_seconds=0.5))
        self.live = self.app.extensions[STATE][0]
        scopes = ["recommend", "catalogue"]
        self.token = Accounts(self.live.store.engine).create_key("test", scopes)[1]
        self.asked = []
        self.server = make_server("127.0.0.1", 0, self._hear, threaded=True)
        self.url = f"http://127.0.0.1:{self.server.port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.catalogue = Catalogue(self.url, self.token, policy=Policy(retries=0))

    def _hear(self, environ, start_response):
        self.asked.append(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}")
        return self.app(environ, start_response)

    def put(self, item, **known):
        headers = {"Authorization": f"Bearer {self.token}"}
        answer = self.app.test_client().put(f"/v1/items/{item}", json=known, headers=headers)
        assert answer.status_code in (200, 201)

    def recommended(self, category):
        """By content, to somebody who likes a category."""
        headers = {"Authorization": f"Bearer {self.token}"}
        body = {"attributes": {"categories": [category]}, "limit": 30}
        answer = self.app.test_client().post("/v1/recommendations", json=body, headers=headers)
        return [place["item"] for place in answer.json["items"] if place["strategy"] == "content"]

    def close(self):
        self.catalogue.close()
        self.server.shutdown()
        self.live.stop()
        self.live.store.engine.dispose()


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    home = tmp_path_factory.mktemp("api")
    model = make_recommender("blend", {"parts": "content,popularity"}).fit(world.interactions(), world.items())
    set_current(home / "bundles", publish_bundle(model, home / "bundles", metrics={}))
    api = Api(home, home / "bundles")
    yield api
    api.close()


@pytest.fixture
def service(tmp_path):
    service = Labeling.open(LabelingSettings(home=tmp_path).database("labeling"))
    yield service
    service.engine.dispose()


def label(service, *answers, kind="choice", labels=("Comedy", "Western")):
    """A project about the items, each with its answer."""
    tasks = [NewTask(item, {"title": item}) for item, _ in answers]
    project = service.create(Definition("Genre?", labels, kind=kind), tasks)[0].id
    for _, value in answers:
        if value is not None:
            task = service.next_task(project, "ann").task
            service.submit(project, "ann", task.task_id, {"choices": value} if isinstance(value, list) else value)
    return project


def test_a_new_item_without_metadata_becomes_recommendable_by_one_label(service, api, tmp_path, monkeypatch):
    api.put("blank", available=True)
    assert "blank" not in api.recommended("Comedy")
    project = label(service, ("blank", ["Comedy"]), ("nowhere", ["Comedy"]))
    monkeypatch.setenv("PALATE_HOME", str(tmp_path))
    monkeypatch.setenv(KEY, api.token)
    done = CliRunner().invoke(palate, ["label", "publish", str(project), "--url", api.url, "--as", "genre"])
    assert done.output.startswith("1 items changed, 0 were so already, 0 lost a label"), done.output
    assert done.output.endswith("1 are not in the catalogue; 0 tasks have no sure label.\n")
    known = api.catalogue.item("blank")
    assert known["categories"] == ["Comedy"]
    assert known["attributes"] == {"genre": "Comedy", "genre_source": "people"}
    end = time.monotonic() + 20
    while "blank" not in api.recommended("Comedy") and time.monotonic() < end:
        time.sleep(0.05)
    assert "blank" in api.recommended("Comedy")


def test_a_new_item_without_metadata_becomes_recommendable_by_one_automatic_label(service, api, tmp_path):
    words = {"Comedy": "laugh joke fun", "Western": "horse dust sheriff"}
    truth = {f"auto-{i}": "Comedy" if i % 2 else "Western" for i in range(200)}
    tasks = [NewTask(item, {"text": f"{words[name]} {item}"}) for item, name in truth.items()]
    project = service.create(Definition("Auto", tuple(words)), tasks)[0].id
    service.automation.start(project, RunSettings(target=0.9, model="tfidf", seed_items=40), "boss")
    while service.automation.run(project).run.state == "running":
        work_off(service.engine, LabelingSettings(home=tmp_path))
        while (task := service.next_task(project, "ann").task) is not None:
            service.submit(project, "ann", task.task_id, {"choices": [truth[task.external_id]]})
    item = next(each for each in service.automation.labels(project) if each.label == "Comedy").external_id
    api.put(item, available=True)
    assert item not in api.recommended("Comedy")
    assert publish(*service.finals(project), api.catalogue, "genre").changed == 1
    assert api.catalogue.item(item)["attributes"]["genre_source"] == "model"
    end = time.monotonic() + 20
    while item not in api.recommended("Comedy") and time.monotonic() < end:
        time.sleep(0.05)
    assert item in api.recommended("Comedy")


def test_what_is_much_met_and_little_known_is_asked_for_first(service, api, tmp_path, monkeypatch):
    picture = {"image": "https://images.example.org/busy.jpg"}
    for item, known in (("dim", {}), ("busy", picture), ("known", {"categories": ["Comedy"], "tags": ["old"]})):
        api.put(item, **known)
    events = [{"user": f"u{i}", "item": item, "kind": "view"} for item in ("busy", "known") for i in range(20)]
    headers = {"Authorization": f"Bearer {Accounts(api.live.store.engine).create_key('e', ['events'])[1]}"}
    assert api.app.test_client().post("/v1/events", json={"events": events}, headers=headers).status_code == 201
    end = time.monotonic() + 20
    while api.catalogue.wanted("genre", 1)[0].item != "busy" and time.monotonic() < end:
        time.sleep(0.05)
    found = {each.item: each for each in api.catalogue.wanted("genre", 10_000)}
    assert (found["busy"].score, found["busy"].unknown, found["busy"].events) == (21, 1, 20)
    assert (found["known"].score, found["dim"].score) == (21 / 4, 1)
    project = service.create(Definition("Genres", ("Comedy", "Western")), [NewTask("dim", {"title": "dim"})])[0].id
    monkeypatch.setenv("PALATE_HOME", str(tmp_path))
    monkeypatch.setenv(KEY, api.token)

    def wanted(limit=10_000, project=project):
        asked = ["label", "wanted", str(project), "--url", api.url, "--as", "genre", "--limit", str(limit)]
        return CliRunner().invoke(palate, asked, catch_exceptions=False).output

    assert f"{len(found)} items are wanted, most of all busy: 2 tasks added, 1 moved; 3 of these" in wanted(2)
    assert f"{len(found)} items are wanted, most of all busy: {len(found) - 3} tasks added, 0 moved;" in wanted()
    told = wanted()
    assert f"{len(found)} items are wanted, most of all busy: 0 tasks added, 0 moved; {len(found)} of these" in told
    assert "until it is published" not in told
    task = service.next_task(project, "ann").task
    assert (task.external_id, task.data["image"]) == ("busy", picture["image"])
    service.submit(project, "ann", task.task_id, {"choices": ["Comedy"]})
    publish(*service.finals(project), api.catalogue, "genre")
    while any(each.item == "busy" for each in api.catalogue.wanted("genre", 10_000)) and time.monotonic() < end:
        time.sleep(0.05)
    assert "busy" not in [each.item for each in api.catalogue.wanted("genre", 10_000)]
    assert service.next_task(project, "ann").task.external_id == "known"
    # Somebody else says most of what there is to know about it: although it is none of the first, it goes back.
    api.catalogue.patch("known", {"attributes": {"genre": "Comedy", "genre_confidence": 0.99}})
    while api.catalogue.wanted("genre", 1)[0].item == "known" and time.monotonic() < end:
        time.sleep(0.05)
    assert "0 tasks added, 2 moved" in wanted(1)  # busy, too, which is wanted no more
    task = service.next_task(project, "bob").task
    assert task.external_id == "dim"
    service.skip(project, "bob", task.task_id)
    # And what is wanted no more goes behind all that is.
    api.catalogue.patch("dim", {"attributes": {"genre": "Comedy"}})
    while any(each.item == "dim" for each in api.catalogue.wanted("genre", 10_000)) and time.monotonic() < end:
        time.sleep(0.05)
    assert "0 tasks added, 1 moved" in wanted(1)
    assert service.next_task(project, "cy").task.external_id not in ("busy", "dim")
    # Where all of them are answered there is something else to do.
    answered = label(service, (str(api.catalogue.wanted("genre", 1)[0].item), ["Comedy"]))
    told = wanted(1, answered)
    assert "0 tasks added, 1 moved; 0 of these items wait for an answer." in told
    assert "until it is published" in told


def test_new_wanted_items_are_asked_for_several_at_a_time(service, api, monkeypatch):
    ask, meet = Catalogue.item, threading.Barrier(CONNECTIONS, timeout=10)

    def one(catalogue, item):
        meet.wait()
        return ask(catalogue, item)

    monkeypatch.setattr(Catalogue, "item", one)
    project = service.create(Definition("Genres", ("Comedy", "Western")), [])[0].id
    found = api.catalogue.wanted("genre", 1_000)[:CONNECTIONS]
    assert take_wanted(service.engine, project, found, api.catalogue, 1_000).added == CONNECTIONS
    tasks = [service.next_task(project, f"p{place}").task for place in range(CONNECTIONS)]
    assert {task.external_id for task in tasks} == {each.item for each in found}
    titles = {task.external_id: task.data["title"] for task in tasks}
    assert titles == {item: ask(api.catalogue, item).get("title") or item for item in titles}


@pytest.mark.parametrize("many", [1_000, 0], ids=["asked one by one", "listed"])
def test_publishing_again_changes_only_what_changed(service, api, monkeypatch, many):
    monkeypatch.setattr("labeling.work.publish.MANY", many)
    api.put("one", categories=["Classic"], attributes={"year": 1950})
    api.put("two")
    project = label(service, ("one", ["Comedy"]), ("two", ["Western"]))

    def again(**more):
        found, finals = service.finals(project)
        done = publish(found, finals, api.catalogue, "genre", **more)
        return done.changed, done.same, done.taken_out

    assert again() == (2, 0, 0)
    assert again() == (0, 2, 0)
    back = service.undo(project, "ann").task
    service.submit(project, "ann", back.task_id, {"choices": ["Comedy"]})
    assert again() == (1, 1, 0)
    assert api.catalogue.item("two")["categories"] == ["Comedy"]
    assert api.catalogue.item("one")["categories"] == ["Comedy", "Classic"]
    service.skip(project, "ann", back.task_id)
    assert again() == (0, 1, 1)
    assert api.catalogue.item("two")["categories"] == []
    assert api.catalogue.item("two")["attributes"] == {}
    assert api.catalogue.item("one")["attributes"] == {"year": 1950, "genre": "Comedy", "genre_source": "people"}
    assert again(into="tags") == (1, 0, 0)
    assert api.catalogue.item("one")["tags"] == ["Comedy"]


def test_of_many_tasks_only_those_that_need_it_are_asked_for(service, api, monkeypatch):
    monkeypatch.setattr("labeling.work.publish.MANY", 10)
    monkeypatch.setattr("palate.client.catalogue._PAGE", 3)
    for item in ("told", "untold", "taken"):
        api.put(item, tags=["kept"])
    api.catalogue.patch("taken", {"attributes": {"genre": "Western"}, "tags": ["Western", "kept"]})
    without = [(each, None) for each in ("untold", "taken", *(f"nowhere-{i}" for i in range(40)))]
    project = label(service, ("told", ["Comedy"]), ("absent", ["Comedy"]), *without)

    def again():
        api.asked.clear()
        done = publish(*service.finals(project), api.catalogue, "genre", "tags")
        return done, sorted(each for each in api.asked if each != "GET /v1/items")

    done, asked = again()
    assert (done.changed, done.taken_out, done.missing, done.same, done.unlabeled) == (1, 1, 1, 0, 41)
    changed = [f"{verb} /v1/items/{item}" for verb in ("GET", "PATCH") for item in ("taken", "told")]
    assert asked == sorted(["GET /v1/items/absent", *changed])
    done, asked = again()
    assert (done.changed, done.taken_out, done.missing, done.same, done.unlabeled) == (0, 0, 1, 1, 42)
    assert asked == ["GET /v1/items/absent"]
    assert len(api.asked) > 2  # the catalogue has more than one page of three
    assert api.catalogue.item("taken")["tags"] == ["kept"]


def test_no_more_is_read_ahead_than_is_under_way(service, api):
    found, finals = service.finals(label(service, *((f"n-{i}", None) for i in range(60))))
    read = []
    finals = (read.append(final) or final for final in finals)
    ahead = []
    publish(found, finals, api.catalogue, "genre", told=lambda done: ahead.append(len(read) - done))
    assert len(ahead) == 60
    assert max(ahead) < 20


def test_several_labels_and_how_sure_they_are(service, api):
    api.put("many")
    project = label(service, ("many", ["Comedy", "Western"]), kind="choices")
    found, finals = service.finals(project)
    assert publish(found, finals, api.catalogue, "genres").changed == 1
    assert api.catalogue.item("many")["attributes"]["genres"] == ["Comedy", "Western"]
    assert api.catalogue.item("many")["categories"] == ["Comedy", "Western"]


def test_bad_input_is_refused(service, api):
    found, finals = service.finals(label(service, ("one", ["Comedy"])))
    for wrong in ({"name": ""}, {"into": "title"}, {"least": 2.0}):
        with pytest.raises(ParameterError):
            publish(found, finals, api.catalogue, **{"name": "genre", **wrong})
    text = service.create(Definition("Text", kind="text"))[0]
    with pytest.raises(ParameterError, match="no labels to publish"):
        publish(text, [], api.catalogue, "genre")
    refused = Catalogue(api.url, "no-such-key", policy=Policy(retries=0))
    with pytest.raises(RemoteError) as raised:
        publish(found, finals, refused, "genre")
    assert raised.value.code == 401
    with pytest.raises(RemoteError, match="404: Nothing is found at this address"):
        publish(*service.finals(found.id), Catalogue(f"{api.url}/elsewhere", api.token), "genre")
    with pytest.raises(RemoteError, match="cannot be reached"):
        publish(*service.finals(found.id), Catalogue("http://127.0.0.1:9", policy=Policy(retries=0)), "genre")
