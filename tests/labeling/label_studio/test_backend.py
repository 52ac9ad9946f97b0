"""What Label Studio calls: its own requests, as they were recorded, and what somebody else might send."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from labeling.label_studio.tables import links, models
from labeling.store.definition import Definition, NewTask
from labeling.store.forecasts import Prediction
from palate.store import Jobs, reading, writing
from tests.labeling.label_studio.conftest import TEXTS, Service, basic

CONFIG = (
    '<View><Text name="text" value="$text"/><Choices name="label" toName="text" choice="single">'
    '<Choice value="Positive"/><Choice value="Negative"/></Choices></View>'
)
CAPTURES = ["health", "predict_batch_image", "predict_batch_text", "predict_interactive", "setup", "versions"]
CAPTURES += [f"webhook_{what}" for what in ("ANNOTATIONS_DELETED", "ANNOTATION_CREATED", "ANNOTATION_UPDATED")]
CAPTURES += ["webhook_START_TRAINING"]
JSON = {"Content-Type": "application/json"}


class Backend:
    """Calls the backend of one project as Label Studio does."""

    def __init__(self, service, project):
        self.http = service.app.test_client()
        self.path = f"/ml/{project.id}"
        self.signed = basic(service.key("label:ml"))

    def get(self, route):
        return self.http.get(f"{self.path}{route}", headers=self.signed)

    def post(self, route, body):
        return self.http.post(f"{self.path}{route}", json=body, headers=self.signed)

    def predict(self, texts, config=CONFIG, **more):
        tasks = [{"id": number, "data": {"text": text}, **more} for number, text in enumerate(texts)]
        answer = self.post("/predict", {"tasks": tasks, "project": "7.1795206562", "label_config": config})
        assert answer.status_code == 200, answer.text
        return answer.json


@pytest.fixture
def films(service):
    return service.texts()


@pytest.fixture
def backend(service, films):
    return Backend(service, films)


def test_its_description_says_who_may_ask(service):
    document = service.app.test_client().get("/openapi.json").json
    asked = document["paths"]["/ml/{project_id}/predict"]["post"]
    assert asked["security"] == [{"password": []}, {"key": ["label:ml"]}]
    assert {"401", "403"} <= set(asked["responses"])
    assert document["components"]["securitySchemes"]["password"]["scheme"] == "basic"


@pytest.fixture
def captures():
    """The folder of requests that Label Studio 1.23.2 was seen to send."""
    folder = Path(os.environ.get("PALATE_TEST_DATA", "."), "..", "label-studio", "captures")
    if not folder.is_dir():
        pytest.skip("needs label-studio/captures beside the folder that PALATE_TEST_DATA names")
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A service whose project has a model, and its backend; nothing of it is changed."""
    service = Service(tmp_path_factory.mktemp("trained"))
    films = service.texts()
    service.answer(films)
    backend = Backend(service, films)
    backend.post("/webhook", {"action": "START_TRAINING"})
    service.work()
    yield service, backend
    service.engine.dispose()


@pytest.mark.parametrize("name", CAPTURES)
def test_what_label_studio_sends_is_answered(name, captures, trained):
    service, backend = trained
    sent = json.loads((captures / f"{name}.json").read_text(encoding="utf-8"))
    body = None if sent["body"] is None else json.dumps(sent["body"])
    path = backend.path + sent["path"]
    answer = backend.http.open(path, method=sent["method"], data=body, headers={**sent["headers"], **backend.signed})
    assert answer.status_code == 200, answer.text
    version = "palate-1-1"
    if name == "health":
        assert answer.json == {"status": "UP", "model_version": version}
    elif name == "setup":
        assert answer.json == {"model_version": version}
    elif name == "versions":
        assert answer.json == {"versions": [version]}
    elif name == "predict_batch_text":
        said = [each["result"][0] for each in answer.json["results"][:2]]
        region = {"from_name": "label", "to_name": "text", "type": "choices"}
        assert said == [{**region, "value": {"choices": [label]}} for label in ("Positive", "Negative")]
        assert len(answer.json["results"]) == len(sent["body"]["tasks"])
        assert {each["model_version"] for each in answer.json["results"] if each} == {version}
    elif name == "predict_interactive":
        assert isinstance(answer.json["results"][0]["result"], list)
    elif name == "predict_batch_image":
        assert answer.json["results"] == [[], [], []]
    elif name == "webhook_START_TRAINING":
        assert (answer.json["status"], Jobs(service.engine).get(answer.json["job"]).state) == ("queued", "queued")
    else:
        assert answer.json == {"status": "nothing to do", "job": None}


def test_training_makes_a_version_each_time_and_the_newest_answers(service, films, backend):
    assert backend.predict(["a good one"]) == {"results": [[]], "model_version": None}
    service.answer(films)
    first = backend.post("/webhook", {"action": "START_TRAINING"}).json["job"]
    assert backend.post("/webhook", {"action": "START_TRAINING"}).json["job"] == first  # it waits already
    done = service.work()
    assert (done.id, done.state) == (first, "done")
    assert done.result["answers"] == len(TEXTS)
    said = backend.predict(["a good one", "a bad one"])
    assert [each["result"][0]["value"] for each in said["results"]] == [
        {"choices": ["Positive"]},
        {"choices": ["Negative"]},
    ]
    assert all(0.5 < each["score"] < 1 for each in said["results"])
    for _ in range(2):
        backend.post("/webhook", {"action": "START_TRAINING"})
        service.work()
    assert backend.get("/versions").json == {"versions": ["palate-1-3", "palate-1-2", "palate-1-1"]}
    assert backend.get("/health").json["model_version"] == "palate-1-3"
    assert backend.predict(["a good one"])["results"][0]["model_version"] == "palate-1-3"
    with reading(service.engine) as db:
        kept = db.execute(models.select().order_by(models.c.id)).all()
    assert [row.kept is not None for row in kept] == [False, True, True]


def test_several_labels_are_those_that_most_people_gave(service):
    films = service.texts(kind="choices", overlap=3)
    both, good, bad = ["Positive", "Negative"], ["Positive"], ["Negative"]
    for person, said in (("ada", (good, both)), ("bob", (good, both)), ("cy", (both, bad))):
        for number in range(len(TEXTS)):
            task = service.labeling.next_task(films.id, person).task
            service.labeling.submit(films.id, person, task.task_id, {"choices": said[number % 2]})
    backend = Backend(service, films)
    backend.post("/webhook", {"action": "START_TRAINING"})
    assert service.work().result["answers"] == 3 * len(TEXTS)
    texts, config = ["a good one", "a bad one"], CONFIG.replace("single", "multiple")
    found = backend.predict(texts, config)["results"]
    assert [sorted(each["result"][0]["value"]["choices"]) for each in found] == [good, sorted(both)]
    assert all(0 < each["score"] < 1 for each in found)
    assert backend.predict(texts)["results"] == [[], []], "a question for one label is another one"


def test_what_there_is_nothing_to_learn_from_says_so(service, films, backend):
    backend.post("/webhook", {"action": "START_TRAINING"})
    failed = service.work()
    assert (failed.state, failed.attempt) == ("failed", 1)
    assert "nothing is labeled yet" in failed.error
    boxes, *_ = service.labeling.create(Definition("Boxes", ("Cat",), kind="boxes"))
    Backend(service, boxes).post("/webhook", {"action": "START_TRAINING"})
    assert "labels of a text" in service.work().error


def test_only_what_fits_the_other_interface_is_said(trained):
    _, backend = trained
    other = CONFIG.replace("Negative", "Neutral").replace('name="label"', 'name="mood"')
    said = backend.predict(["a good one", "a bad one"], other)["results"]
    assert said[0]["result"][0]["from_name"] == "mood"
    assert said[1] == []
    assert backend.predict(["a bad one"], other, drafts=[])["results"] == [
        {"result": [], "model_version": "palate-1-1"}
    ]


def test_other_projects_show_what_was_predicted_of_their_tasks(service):
    new = [NewTask(name, {"image": f"/{name}.png"}) for name in ("cat", "dog")]
    project, *_ = service.labeling.create(Definition("Boxes", ("Cat",), kind="boxes"), new)
    value = {"x": 1, "y": 2, "width": 3, "height": 4, "rectanglelabels": ["Cat"]}
    box = [{"from_name": "label", "to_name": "image", "type": "rectanglelabels", "value": value}]
    service.labeling.predict(project.id, "detector", [Prediction("cat", box, 0.5)])
    asked = [{"id": 9, "data": {"image": "a"}, "meta": {"external_id": name}} for name in ("cat", "dog", 5)]
    body = {"tasks": asked, "label_config": project.config, "project": 1}
    said = Backend(service, project).post("/predict", body).json["results"]
    assert said == [{"result": box, "score": 0.5, "model_version": "detector"}, [], []]


def test_a_change_there_has_a_linked_project_synchronised(service, films, backend):
    assert backend.post("/webhook", {"action": "ANNOTATION_CREATED"}).json["job"] is None
    url = "http://127.0.0.1:1"
    with writing(service.engine) as db:
        db.execute(links.insert().values(project_id=films.id, url=url, remote_id=1, mark="m"))
    assert backend.post("/webhook", {"action": "ANNOTATION_CREATED"}).json["job"] is None  # not with ours
    linked = {"label_studio_url": f"{url}/", "label_studio_token_file": service.settings.home / "token"}
    service.settings = service.app.extensions["palate"].settings = service.settings.model_copy(update=linked)
    job = backend.post("/webhook", {"action": "ANNOTATION_UPDATED"}).json["job"]
    assert backend.post("/webhook", {"action": "ANNOTATIONS_DELETED"}).json["job"] == job
    assert backend.post("/webhook", {"action": "PROJECT_UPDATED"}).json["job"] is None
    failed = service.work()
    assert (failed.id, failed.state, failed.attempt) == (job, "failed", 1)
    assert "PALATE_LABEL_STUDIO_TOKEN_FILE: cannot be read" in failed.error


def test_training_goes_on_without_the_label_studio_that_is_away(service, films, backend):
    service.answer(films)
    (service.settings.home / "token").write_text("0123456789abcdef\n")
    linked = {"label_studio_url": "http://127.0.0.1:1", "label_studio_token_file": service.settings.home / "token"}
    service.settings = service.settings.model_copy(update=linked)
    with writing(service.engine) as db:
        db.execute(links.insert().values(project_id=films.id, url="http://127.0.0.1:1", remote_id=1, mark="m"))
    backend.post("/webhook", {"action": "START_TRAINING"})
    done = service.work()
    assert (done.state, done.result["version"]) == ("done", "palate-1-1")
    assert "cannot be reached" in done.result["not_synchronised"]
    assert "0123456789abcdef" not in str(done)


@pytest.mark.parametrize(
    ("route", "method"),
    [("/health", "GET"), ("/setup", "POST"), ("/predict", "POST"), ("/webhook", "POST"), ("/versions", "GET")],
)
def test_nobody_gets_in_without_a_key_of_the_scope(route, method, service, films):
    http = service.app.test_client()

    def status(headers):
        return http.open(f"/ml/{films.id}{route}", method=method, headers=headers).status_code

    asked = http.open(f"/ml/{films.id}{route}", method=method)
    assert (asked.status_code, asked.mimetype) == (401, "application/problem+json")
    assert asked.headers["WWW-Authenticate"].startswith("Basic ")
    for wrong in ({"Authorization": "Basic ???"}, basic("palate_0_wrong"), basic(""), {"Authorization": "Bearer no"}):
        assert status(wrong) == 401
    assert status(basic(service.key("label", "label:manage"))) == 403
    right = service.key("label:ml")
    assert status(basic(right)) not in (401, 403)
    assert status({"Authorization": f"Bearer {right}"}) not in (401, 403)
    # And the key opens nothing else.
    assert http.get("/v1/projects", headers={"Authorization": f"Bearer {right}"}).status_code == 403


@pytest.mark.parametrize(
    ("route", "body", "status"),
    [
        ("/setup", {}, 422),
        ("/setup", {"schema": "<View>"}, 422),
        ("/setup", {"schema": CONFIG.replace("Choices", "Labels").replace("Choice ", "Label ")}, 422),
        ("/setup", {"schema": CONFIG.replace('name="label"', 'name="other"')}, 200),
        ("/predict", {}, 422),
        ("/predict", {"tasks": [], "label_config": "<!DOCTYPE a><View/>"}, 422),
        ("/predict", {"tasks": [{"data": "text"}], "label_config": CONFIG}, 422),
        ("/predict", {"tasks": [], "label_config": CONFIG, "project": "../1"}, 200),
        ("/webhook", {}, 422),
        ("/webhook", {"action": 3}, 422),
        ("/webhook", ["START_TRAINING"], 422),
    ],
)
def test_bad_input(route, body, status, trained):
    _, backend = trained
    answer = backend.post(route, body)
    assert answer.status_code == status, answer.text
    assert "Traceback" not in answer.text


def test_a_project_that_there_is_not(service, films, backend):
    backend.path = "/ml/99"
    answers = [backend.get("/health"), backend.get("/versions"), backend.post("/setup", {"schema": CONFIG})]
    answers += [backend.post("/webhook", {"action": "START_TRAINING"})]
    answers += [backend.post("/predict", {"tasks": [], "label_config": CONFIG})]
    assert [answer.status_code for answer in answers] == 5 * [404]
