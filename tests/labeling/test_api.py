"""The routes under /v1: what they answer, to whom, and what they say of bad input."""

from __future__ import annotations

import csv
import io
import json
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from labeling.app import create
from labeling.settings import LabelingSettings
from palate.store import Accounts, reading

PROJECT = {"title": "Films", "labels": ["Comedy", "Drama", "War"], "instructions": "Look twice."}
TASKS = [{"external_id": f"film-{i}", "data": {"title": f"Film {i}", "text": "A film."}} for i in range(3)]
PICK = {"value": {"choices": ["Drama"]}}
DRAMA = {"value": {"choices": ["Drama"]}, "seconds": 1.5}


class Client:
    """Calls the app as one key holder."""

    def __init__(self, app, *scopes):
        self.http = app.test_client()
        if scopes:
            _, token = Accounts(app.extensions["labeling"].engine).create_key("test", scopes)
            self.http.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token}"

    def __call__(self, method, path, body=None, **options):
        if body is not None:
            options["json"] = body
        return self.http.open(f"/v1{path}", method=method, **options)


@pytest.fixture
def app(tmp_path):
    app = create(LabelingSettings(home=tmp_path))
    yield app
    app.extensions["labeling"].engine.dispose()


@pytest.fixture
def manager(app):
    return Client(app, "label", "label:manage")


@pytest.fixture
def ann(app):
    return Client(app, "label")


@pytest.fixture
def films(manager):
    return made(manager)


def made(manager):
    answer = manager("POST", "/projects", PROJECT | {"tasks": TASKS})
    assert answer.status_code == 201
    return answer.json["id"]


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """(manager, annotator, project) of one app for all the calls that must be refused; at the end nothing of it has
    changed, so none of them did anything."""
    app = create(LabelingSettings(home=tmp_path_factory.mktemp("refusing")))
    manager, ann = Client(app, "label", "label:manage"), Client(app, "label")
    films = made(manager)
    before = state(app)
    yield manager, ann, films
    assert state(app) == before
    app.extensions["labeling"].engine.dispose()


def state(app):
    """How every table of the app's store is filled, but for when its keys were last used."""
    tables = sa.MetaData()
    with reading(app.extensions["labeling"].engine) as connection:
        tables.reflect(connection)
        return {
            name: connection.execute(table.select()).all()
            for name, table in tables.tables.items()
            if name != "palate_keys"
        }


def problem(answer, status):
    """The problem, after checking that it is one."""
    assert answer.status_code == status, answer.text
    assert answer.mimetype == "application/problem+json"
    assert answer.json["status"] == status
    assert "Traceback" not in answer.text
    return answer.json


def test_from_project_to_export(manager, ann, films):
    for i in range(3):
        task = ann("POST", f"/projects/{films}/next", {}).json["task"]
        assert task["data"]["title"] == f"Film {i}"
        answer = ann("PUT", f"/projects/{films}/tasks/{task['id']}/annotation", DRAMA)
        assert answer.status_code == 201
    assert answer.json["progress"] | {} == {
        "tasks": 3,
        "done": 3,
        "remaining": 0,
        "answers": 3,
        "needed": 3,
        "mine": 3,
        "skipped": 0,
        "to_review": 0,
        "automatic": 0,
    }
    assert ann("POST", f"/projects/{films}/next", {}).json["task"] is None
    exported = manager("GET", f"/projects/{films}/export?format=json")
    assert [task["annotations"][0]["result"][0]["value"] for task in exported.json] == [{"choices": ["Drama"]}] * 3
    as_csv = manager("GET", f"/projects/{films}/export?format=csv")
    assert as_csv.content_type == "text/csv; charset=utf-8"
    assert [row["label"] for row in csv.DictReader(io.StringIO(as_csv.text, newline=""))] == ["Drama"] * 3


def test_a_project_of_label_studios_xml_is_worked_on_in_its_form(manager, ann):
    config = '<View><Text name="t" value="$text"/><Labels name="n" toName="t"><Label value="Who"/></Labels></View>'
    asked = {"title": "Names", "config": config, "tasks": [{"external_id": "a", "data": {"text": "Ada met Bob."}}]}
    made = manager("POST", "/projects", asked).json
    assert (made["kind"], made["labels"], made["editor"], made["config"]) == ("spans", ["Who"], "own", config)
    assert made["controls"][0] | {"required": None} == {
        "name": "n",
        "type": "labels",
        "kind": "spans",
        "to": ["t"],
        "labels": ["Who"],
        "required": None,
    }
    assert manager("POST", "/projects", asked).status_code == 200
    one = f"/projects/{made['id']}"
    task = ann("POST", f"{one}/next", {}).json["task"]["id"]
    region = {"id": "x", "from_name": "n", "to_name": "t", "type": "labels"}
    beyond = {"value": [region | {"value": {"start": 8, "end": 99, "labels": ["Who"]}}]}
    found = problem(ann("PUT", f"{one}/tasks/{task}/annotation", beyond), 422)
    assert found["errors"][0]["field"] == "value[0].value.end"
    answer = {"value": [region | {"value": {"start": 8, "end": 11, "text": "Bob", "labels": ["Who"]}}]}
    assert ann("PUT", f"{one}/tasks/{task}/annotation", answer).status_code == 201
    assert ann("POST", f"{one}/undo", {}).json["task"]["value"] == answer["value"]
    spacy = manager("GET", f"{one}/export?format=spacy").text
    assert json.loads(spacy) == ["Ada met Bob.", {"entities": [[8, 11, "Who"]]}]
    problem(manager("GET", f"{one}/export?format=coco"), 422)
    page = ann.http.get(f"/projects/{made['id']}", headers={"Accept": "text/html"})
    assert page.status_code == 200


@pytest.mark.parametrize("config", ["<View>", "<View/>", "x", "<!DOCTYPE v><View/>"])
def test_broken_xml_is_refused_with_its_place(manager, config):
    found = problem(manager("POST", "/projects", {"title": "x", "config": config}), 422)
    assert found["errors"][0]["field"] == "config"
    assert "line 1, column" in found["errors"][0]["message"]


def test_projects_show_their_progress(manager, ann, films):
    listed = ann("GET", "/projects").json["projects"]
    assert [project["title"] for project in listed] == ["Films"]
    assert listed[0] == ann("GET", f"/projects/{films}").json
    assert listed[0]["progress"] == ann("GET", f"/projects/{films}/progress").json


def test_making_a_project_again_changes_nothing(manager, films):
    again = manager("POST", "/projects", PROJECT | {"tasks": TASKS})
    assert (again.status_code, again.json["id"], again.json["progress"]["tasks"]) == (200, films, 3)
    problem(manager("POST", "/projects", PROJECT | {"labels": ["a", "b"]}), 409)


def test_tasks_are_added_all_or_none(manager, films):
    path = f"/projects/{films}/tasks"
    answer = manager("POST", path, {"tasks": [*TASKS, {"data": {"item_id": 7, "title": "Seven"}}]})
    assert answer.json == {"project": films, "added": 1, "present": 3}
    found = problem(manager("POST", path, {"tasks": [{"external_id": "new"}, {"data": {"title": "no id"}}]}), 422)
    assert found["errors"][0]["field"] == "tasks[1].external_id"
    assert manager("GET", f"/projects/{films}/progress").json["tasks"] == 4


@pytest.mark.parametrize("item", [None, True, 1.5, {"a": 1}, ["a"]])
def test_an_item_id_that_is_no_id_is_no_external_id(manager, films, item):
    answer = manager("POST", f"/projects/{films}/tasks", {"tasks": [{"data": {"item_id": item}}]})
    assert problem(answer, 422)["errors"][0]["field"] == "tasks[0].data.item_id"


def test_a_double_submit_is_one_answer(manager, ann, films):
    task = ann("POST", f"/projects/{films}/next", {}).json["task"]["id"]
    path = f"/projects/{films}/tasks/{task}/annotation"
    assert [ann("PUT", path, DRAMA).status_code for _ in range(3)] == [201, 200, 200]
    assert len(manager("GET", f"/projects/{films}/export").json[0]["annotations"]) == 1


def test_a_whole_turn_is_one_call(manager, ann, films):
    first = ann("POST", f"/projects/{films}/next", {}).json["task"]["id"]
    path = f"/projects/{films}/tasks/{first}/annotation"
    turn = ann("PUT", path, DRAMA | {"holding": []})
    second = turn.json["task"]["id"]
    assert (turn.status_code, turn.json["progress"]["mine"], first != second) == (201, 1, True)
    assert ann("PUT", path, DRAMA | {"holding": []}).json["task"]["id"] == second, "sent again it is the same turn"
    assert ann("PUT", path, DRAMA | {"holding": [second]}).json["task"]["id"] not in (first, second)
    assert ann("PUT", path, DRAMA).json["task"] is None, "nobody asked for one"
    assert manager("PATCH", f"/projects/{films}", {"paused": True}).status_code == 200
    last = ann("PUT", f"/projects/{films}/tasks/{second}/annotation", DRAMA | {"holding": []})
    assert (last.status_code, last.json["task"], last.json["progress"]["mine"]) == (201, None, 2)


def test_a_stale_lease_is_a_conflict_that_says_what_to_do(app, films, ann):
    service = app.extensions["labeling"]
    task = ann("POST", f"/projects/{films}/next", {}).json["task"]["id"]
    other = Client(app, "label")
    found = problem(other("PUT", f"/projects/{films}/tasks/{task}/annotation", DRAMA), 409)
    assert found["type"] == "/problems/conflict"
    assert "Ask for the next task" in found["detail"]
    problem(other("POST", f"/projects/{films}/tasks/{task}/skip", {}), 409)
    assert service.project(films, "")[1].answers == 0


def test_skip_undo_and_taking_up_again(ann, films):
    first = ann("POST", f"/projects/{films}/next", {}).json["task"]["id"]
    assert ann("POST", f"/projects/{films}/tasks/{first}/skip", {}).json["progress"]["skipped"] == 1
    current = ann("POST", f"/projects/{films}/next", {}).json["task"]["id"]
    assert ann("POST", f"/projects/{films}/undo", {"task": current}).json["task"]["id"] == first
    ann("PUT", f"/projects/{films}/tasks/{first}/annotation", DRAMA)
    back = ann("POST", f"/projects/{films}/undo", {"task": current}).json["task"]
    assert (back["id"], back["value"]) == (first, {"choices": ["Drama"]})
    ann("POST", f"/projects/{films}/tasks/{current}/skip", {})
    assert ann("DELETE", f"/projects/{films}/skips").json["progress"]["skipped"] == 0


def test_a_projects_life_over_http(manager, ann, films):
    one = f"/projects/{films}"
    assert manager("PATCH", one, {"paused": True}).json["paused"] is True
    assert "paused" in problem(ann("POST", f"{one}/next", {}), 409)["detail"]
    changed = manager("PATCH", one, {"paused": False, "deadline": "2999-01-01T00:00:00Z", "instructions": "x"}).json
    assert (changed["deadline"], changed["instructions"]) == ("2999-01-01T00:00:00Z", "x")
    task = ann("POST", f"{one}/next", {}).json["task"]["id"]
    ann("PUT", f"{one}/tasks/{task}/annotation", DRAMA)
    assert manager("GET", f"{one}/tasks/{task}").json["done"] is True
    said = ann("POST", f"{one}/tasks/{task}/comments", {"text": "Hm?", "flag": True})
    assert said.status_code == 201
    assert manager("GET", f"{one}/tasks/{task}").json["flagged"] is True
    assert manager("GET", f"{one}/comments?flag=true&resolved=false").json["comments"] == [said.json]
    assert manager("PUT", f"{one}/comments/{said.json['id']}", {"resolved": True}).json["resolved"] is True
    assert ann("GET", f"{one}/tasks/{task}/comments").json["comments"][0]["resolved"] is True
    problem(manager("PUT", f"{one}/interface", {"labels": ["Comedy", "War"]}), 409)
    answer = manager("PUT", f"{one}/interface", {"labels": ["Comedy", "War"], "map": {"label": {"Drama": "War"}}})
    assert (answer.json["mapped"], answer.json["project"]["labels"]) == (1, ["Comedy", "War"])
    assert manager("DELETE", one).json == {"project": films, "title": "Films", "tasks": 3}
    problem(manager("GET", one), 404)


def test_members_and_reviews_over_http(app, manager, films):
    accounts = Accounts(app.extensions["labeling"].engine)
    people = {}
    for name in ("ann", "rob", "sue", "tim"):
        key, token = accounts.create_key(name, ["label"])
        people[name] = Client(app)
        people[name].http.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token}"
        people[name].id = f"key:{key}"
    one = f"/projects/{films}"
    roles = {"ann": "annotator", "rob": "reviewer", "sue": "administrator"}
    asked = {"members": {people[name].id: role for name, role in roles.items()}}
    assert manager("PUT", f"{one}/members", asked).json == asked
    assert people["sue"]("PATCH", one, {"review": "open"}).json["review"] == "open"
    problem(people["tim"]("POST", f"{one}/next", {}), 403)
    problem(people["rob"]("PATCH", one, {"review": "none"}), 403)
    problem(people["sue"]("DELETE", one), 403)
    problem(people["ann"]("POST", f"{one}/reviews"), 403)
    task = people["ann"]("POST", f"{one}/next", {}).json["task"]["id"]
    people["ann"]("PUT", f"{one}/tasks/{task}/annotation", DRAMA)
    step = people["rob"]("POST", f"{one}/reviews").json
    assert (step["to_review"], step["review"]["value"]) == (1, PICK["value"])
    path = f"{one}/reviews/{step['review']['id']}"
    assert people["rob"]("PUT", path, {"verdict": "return", "note": "Look again."}).json == {"verdict": "returned"}
    back = people["ann"]("POST", f"{one}/next", {}).json["task"]
    assert (back["id"], back["value"], back["note"]) == (task, PICK["value"], "Look again.")
    assert people["ann"]("PUT", f"{one}/tasks/{task}/annotation", DRAMA).status_code == 200
    step = people["rob"]("POST", f"{one}/reviews").json
    corrected = {"verdict": "correct", "value": {"choices": ["War"]}}
    assert people["rob"]("PUT", path, corrected).json == {"verdict": "corrected"}
    problem(people["rob"]("PUT", path, {"verdict": "accept"}), 409)
    (person,) = people["rob"]("GET", f"{one}/people").json["people"]
    assert (person["person"], person["reviewed"]) == (people["ann"].id, {"total": 1, "right": 0, "accuracy": 0.0})
    assert people["rob"]("GET", f"{one}/agreement").json["controls"][0]["overall"]["tasks"] == 0
    assert "War" in people["sue"]("GET", f"{one}/export?format=csv").text


def test_suggestions_and_drafts_come_with_the_task(manager, ann, films):
    one = f"/projects/{films}"
    new = [{"external_id": f"film-{i}", "score": 0.9 - i / 10} | PICK for i in range(3)]
    assert manager("PUT", f"{one}/predictions", {"model": "m1", "predictions": new}).json == {"stored": 3}
    assert manager("PATCH", one, {"order": "uncertainty"}).json["order"] == "uncertainty"
    task = ann("POST", f"{one}/next", {}).json["task"]
    assert (task["external_id"], task["draft"]) == ("film-2", None)
    assert task["suggestion"] == {"value": PICK["value"], "score": 0.7, "model": "m1"}
    begun = {"value": {"choices": ["War"]}}
    assert ann("PUT", f"{one}/tasks/{task['id']}/draft", begun).json == {"kept": True}
    assert ann("POST", f"{one}/next", {}).json["task"]["draft"] == begun["value"]
    problem(manager("PUT", f"{one}/tasks/{task['id']}/draft", begun), 409)
    lost = [*new, {"external_id": "film-9", "score": 1} | PICK]
    problem(manager("PUT", f"{one}/predictions", {"model": "m2", "predictions": lost}), 404)
    assert ann("POST", f"{one}/next", {}).json["task"]["suggestion"]["model"] == "m1"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", "", {"deadline": "2999-01-01T00:00:00"}),
        ("PATCH", "", {"budget": {"price": 2}}),
        ("PATCH", "", {"budget": {"money": "much"}}),
        ("PATCH", "", {"budget": {"answers": 2.5}}),
        ("PATCH", "", {"paused": "yes"}),
        ("PATCH", "", {"instructions": "\0"}),
        ("PATCH", "", {"overlap": 2}),
        ("PUT", "/interface", {}),
        ("PUT", "/interface", {"labels": ["a", "b"], "config": "<View/>"}),
        ("PUT", "/interface", {"config": "<View>"}),
        ("PUT", "/interface", {"labels": ["a", "b"], "map": {"label": {"Western": "a"}}}),
        ("PUT", "/interface", {"labels": ["a", "b"], "map": {"label": {"Drama": "c"}}}),
        ("PUT", "/interface", {"labels": ["a", "b"], "map": {"other": {"Drama": "a"}}}),
        ("PATCH", "", {"order": "alphabet"}),
        ("POST", "/label-studio", {"tasks": [{"data": {}}]}),
        ("POST", "/label-studio", {"tasks": [{"id": 1, "data": {}, "annotations": [{"result": [{}]}]}]}),
        ("POST", "/label-studio", {"tasks": [{"id": 1, "data": {}, "predictions": [{"result": [{}], "score": 1}]}]}),
        ("PATCH", "", {"review": "twice"}),
        ("PUT", "/members", {"members": {"ann": "boss"}}),
        ("PUT", "/members", {"members": {" ": "annotator"}}),
        ("PUT", "/reviews/1", {"verdict": "maybe"}),
        ("PATCH", "", {"gold_rate": 1.5}),
        ("PATCH", "", {"seed": -1}),
        ("PUT", "/predictions", {"model": "", "predictions": [{"external_id": "film-0", "score": 1} | PICK]}),
        ("PUT", "/predictions", {"model": "m", "predictions": [{"external_id": "film-0", "score": 2} | PICK]}),
        ("PUT", "/predictions", {"model": "m", "predictions": [{"external_id": "film-0", "score": 1} | PICK] * 2}),
        ("PUT", "/predictions", {"model": "m", "predictions": [{"external_id": "film-0", "score": 1, "value": 3}]}),
        ("POST", "/tasks", {"tasks": [{"external_id": "x", "gold": {"choices": ["Western"]}}]}),
        ("POST", "/tasks", {"tasks": [{"external_id": "x", "priority": 10**9}]}),
        ("PUT", "/tasks/1/draft", {"value": {"choices": ["Western"]}}),
        ("POST", "/tasks/1/comments", {"text": " "}),
        ("POST", "/tasks/1/comments", {"text": "x" * 5001}),
        ("POST", "/tasks/1/skip", {"reason": ""}),
    ],
)
def test_changes_that_do_not_fit_are_refused(house, method, path, body):
    manager, _, films = house
    before = manager("GET", f"/projects/{films}").json
    problem(manager(method, f"/projects/{films}{path}", body), 422)
    assert manager("GET", f"/projects/{films}").json == before


ROUTES = [
    ("GET", "/projects", None),
    ("POST", "/projects", PROJECT),
    ("GET", "/projects/{}", None),
    ("POST", "/projects/{}/tasks", {"tasks": TASKS}),
    ("GET", "/projects/{}/progress", None),
    ("POST", "/projects/{}/next", {}),
    ("PUT", "/projects/{}/tasks/1/annotation", DRAMA),
    ("POST", "/projects/{}/tasks/1/skip", {}),
    ("POST", "/projects/{}/undo", {}),
    ("DELETE", "/projects/{}/skips", None),
    ("GET", "/projects/{}/export", None),
    ("PATCH", "/projects/{}", {"paused": True}),
    ("DELETE", "/projects/{}", None),
    ("PUT", "/projects/{}/interface", {"labels": PROJECT["labels"]}),
    (
        "PUT",
        "/projects/{}/predictions",
        {"model": "m", "predictions": [{"external_id": "film-0", "score": 1, "value": []}]},
    ),
    ("POST", "/projects/{}/label-studio", {"tasks": [{"id": 1, "data": {"title": "New"}}]}),
    ("GET", "/projects/{}/members", None),
    ("PUT", "/projects/{}/members", {"members": {}}),
    ("POST", "/projects/{}/reviews", None),
    ("PUT", "/projects/{}/reviews/1", {"verdict": "accept"}),
    ("GET", "/projects/{}/agreement", None),
    ("GET", "/projects/{}/people", None),
    ("GET", "/projects/{}/tasks/1", None),
    ("PUT", "/projects/{}/tasks/1/draft", {"value": None}),
    ("GET", "/projects/{}/tasks/1/comments", None),
    ("POST", "/projects/{}/tasks/1/comments", {"text": "Look."}),
    ("GET", "/projects/{}/comments", None),
    ("PUT", "/projects/{}/comments/1", {"resolved": True}),
    ("POST", "/projects/{}/consensus", {}),
    ("GET", "/projects/{}/consensus", None),
    ("GET", "/projects/{}/consensus/tasks", None),
    ("POST", "/projects/{}/autolabel", {}),
    ("GET", "/projects/{}/autolabel", None),
    ("PATCH", "/projects/{}/autolabel", {"action": "stop"}),
    ("GET", "/projects/{}/autolabel/labels", None),
    ("POST", "/projects/{}/autolabel/withdraw", {}),
    ("POST", "/projects/{}/autolabel/restore", None),
    ("POST", "/projects/{}/imports", None),
    ("POST", "/projects/{}/exports", {}),
    ("GET", "/projects/{}/exports/1", None),
    ("GET", "/projects/{}/jobs", None),
    ("GET", "/projects/{}/jobs/1", None),
    ("DELETE", "/projects/{}/jobs/1", None),
    ("GET", "/projects/{}/label-studio", None),
    ("POST", "/projects/{}/label-studio/sync", {}),
    ("GET", "/projects/{}/webhooks", None),
    ("POST", "/projects/{}/webhooks", {"url": "https://8.8.8.8/hook"}),
    ("DELETE", "/projects/{}/webhooks/1", None),
    ("POST", "/projects/{}/webhooks/1/ping", None),
    ("GET", "/projects/{}/webhooks/1/deliveries", None),
    ("POST", "/projects/{}/webhooks/1/deliveries/1/send", None),
]


def test_every_route_is_tried_here(app):
    rules = {(method, rule.rule) for rule in app.url_map.iter_rules() for method in rule.methods - {"HEAD", "OPTIONS"}}
    known = {(method, f"/v1{path}") for method, path, _ in ROUTES}
    plain = {
        (method, re.sub(r"<int:\w+>", "1", rule.replace("<int:project_id>", "{}")))
        for method, rule in rules
        if rule.startswith("/v1")
    }
    assert plain == known


def test_nobody_gets_in_without_credentials_or_scope(app, films):
    nobody, other = Client(app), Client(app, "recommend")
    for method, path, body in ROUTES:
        problem(nobody(method, path.format(films), body), 401)
        problem(other(method, path.format(films), body), 403)


MANAGING = ["POST /projects", "POST /projects/{}/tasks", "GET /projects/{}/export", "PATCH /projects/{}"]
MANAGING += ["DELETE /projects/{}", "PUT /projects/{}/interface", "PUT /projects/{}/predictions"]
MANAGING += [
    "POST /projects/{}/label-studio",
    "GET /projects/{}/members",
    "PUT /projects/{}/members",
    "POST /projects/{}/reviews",
]
MANAGING += ["PUT /projects/{}/reviews/1", "GET /projects/{}/agreement", "GET /projects/{}/people"]
MANAGING += ["GET /projects/{}/tasks/1"]
WORK = re.compile("/(consensus|autolabel|.*ports|jobs|webhooks)")
MANAGING += [f"{method} {path}" for method, path, _ in ROUTES if WORK.search(path)]


def test_annotators_manage_nothing(ann, films):
    for route in MANAGING:
        method, path = route.split()
        problem(ann(method, path.format(films), PROJECT), 403)


@pytest.mark.parametrize(("method", "path", "body"), [route for route in ROUTES if "{}" in route[1]])
@pytest.mark.parametrize("project", ["999", "0", str(2**70)])
def test_unknown_projects_are_404(house, method, path, body, project):
    manager, _, _ = house
    problem(manager(method, path.format(project), body), 404)


@pytest.mark.parametrize(("method", "path", "body"), [route for route in ROUTES if route[2] is not None])
@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b" ", 400),
        (b"{", 400),
        (b"\xff\xfe", 400),
        (b"[]", 422),
        (b"3", 422),
        (b'{"nothing": 1}', 422),
        (b'{"tasks": NaN}', 400),
        (b"[" * 5000, 400),
        (b'{"title": "\\ud800"}', 400),
    ],
)
def test_broken_bodies_are_told_apart(house, method, path, body, data, status):
    manager, _, films = house
    answer = manager(method, path.format(films), data=data, headers={"Content-Type": "application/json"})
    problem(answer, status)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"title": 3}, "title"),
        ({"title": "x" * 201}, "title"),
        ({"labels": "Comedy"}, "labels"),
        ({"labels": ["one"]}, "labels"),
        ({"labels": ["a", 3]}, "labels.1"),
        ({"labels": ["a", "a"]}, "labels[1]"),
        ({"overlap": "2"}, "overlap"),
        ({"overlap": 0}, "overlap"),
        ({"overlap": True}, "overlap"),
        ({"instructions": "x" * 20_001}, "instructions"),
        ({"kind": "boxen"}, "kind"),
        ({"tasks": [{"external_id": "x" * 301}]}, "tasks[0].external_id"),
        ({"tasks": [{"external_id": "a", "data": []}]}, "tasks.0.data"),
        ({"tasks": [{"external_id": "a", "data": {"text": "x" * 200_000}}]}, "tasks[0].data"),
    ],
)
def test_a_project_that_does_not_fit_names_its_field(manager, change, field):
    found = problem(manager("POST", "/projects", PROJECT | change), 422)
    assert field in [error["field"] for error in found["errors"]]
    assert manager("GET", "/projects").json["projects"] == []


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"value": None},
        {"value": {"choices": ["Western"]}},
        {"value": {"choices": ["Drama", "War"]}},
        {"value": {"choices": "Drama"}},
        {"value": {"choices": ["x" * 100_000]}},
        DRAMA | {"seconds": -1},
        DRAMA | {"seconds": "2"},
        DRAMA | {"seconds": 1e300},
    ],
)
def test_an_answer_that_is_none_is_refused(ann, films, body):
    task = ann("POST", f"/projects/{films}/next", {}).json["task"]["id"]
    problem(ann("PUT", f"/projects/{films}/tasks/{task}/annotation", body), 422)


def test_each_field_at_fault_is_named_once(ann, films):
    found = problem(ann("PUT", f"/projects/{films}/tasks/1/annotation", DRAMA | {"seconds": "2", "holding": 1}), 422)
    assert found["detail"] == "seconds: Input should be a valid number. holding: Input should be a valid list."


@pytest.mark.parametrize("body", [{"holding": 3}, {"holding": ["1"]}, {"holding": [True]}, {"holding": [1] * 1001}])
def test_holding_is_a_list_of_ids(ann, films, body):
    problem(ann("POST", f"/projects/{films}/next", body), 422)


def test_ids_beyond_the_database_do_no_harm(ann, films):
    assert ann("POST", f"/projects/{films}/next", {"holding": [2**70, -5]}).status_code == 200
    assert ann("POST", f"/projects/{films}/undo", {"task": 2**70}).status_code == 200
    problem(ann("PUT", f"/projects/{films}/tasks/{2**70}/annotation", DRAMA), 404)


def test_a_body_of_details_may_be_left_out_and_no_other(app, manager, ann, films):
    task = ann("POST", f"/projects/{films}/next").json["task"]["id"]
    assert ann("POST", f"/projects/{films}/tasks/{task}/skip").json["progress"]["skipped"] == 1
    assert ann("POST", f"/projects/{films}/undo").json["task"]["id"] == task
    manager("PATCH", f"/projects/{films}", {"consensus": "mace"})
    assert manager("POST", f"/projects/{films}/consensus").status_code == 202
    problem(ann("POST", f"/projects/{films}/next", data=b" ", content_type="application/json"), 400)
    problem(ann("POST", f"/projects/{films}/next", data=b"{}", content_type="text/plain"), 415)
    problem(manager("POST", f"/projects/{films}/autolabel"), 415)
    paths = app.test_client().get("/openapi.json").json["paths"]
    bodies = {
        path: of["post"]["requestBody"]["required"] for path, of in paths.items() if "requestBody" in of.get("post", {})
    }
    mine = {path.removeprefix("/v1/projects/{project_id}/") for path, required in bodies.items() if not required}
    assert mine == {"next", "tasks/{task_id}/skip", "undo", "consensus", "label-studio/sync"}


def test_export_in_an_unknown_form_is_refused(manager, films):
    problem(manager("GET", f"/projects/{films}/export?format=xml"), 422)
    problem(manager("GET", f"/projects/{films}/export?color=red"), 422)


def test_every_route_is_documented(app):
    document = app.test_client().get("/openapi.json").json
    assert document["openapi"].startswith("3.1")
    paths = [path for path in document["paths"] if path.startswith("/v1")]
    assert len(paths) == len({path for _, path, _ in ROUTES})
    assert all("summary" in operation for path in paths for operation in document["paths"][path].values())


def test_pages_escape_what_they_show_and_send_strangers_to_sign_in(app, manager):
    manager("POST", "/projects", PROJECT | {"title": "<script>alert(1)</script>", "labels": ["<b>x", '"y']})
    stranger = app.test_client().get("/", headers={"Accept": "text/html"})
    assert (stranger.status_code, stranger.location.split("?")[0]) == (303, "/sign-in")
    page = manager.http.get("/", headers={"Accept": "text/html"})
    assert page.status_code == 200
    assert "<script>alert" not in page.text
    work = manager.http.get("/projects/1", headers={"Accept": "text/html"})
    assert "<script>alert" not in work.text
    assert "<b>x" not in work.text
    assert manager.http.get("/projects/99", headers={"Accept": "text/html"}).status_code == 404


def test_many_people_at_once_over_http(app, manager):
    tasks = [{"external_id": str(i), "data": {"title": str(i)}} for i in range(40)]
    project = manager("POST", "/projects", PROJECT | {"overlap": 2, "tasks": tasks}).json["id"]

    def work(client):
        done = []
        while (task := client("POST", f"/projects/{project}/next", {}).json["task"]) is not None:
            answer = client("PUT", f"/projects/{project}/tasks/{task['id']}/annotation", DRAMA)
            assert answer.status_code == 201, answer.text
            done.append(task["id"])
        return done

    clients = [Client(app, "label") for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        done = [task for tasks in pool.map(work, clients) for task in tasks]
    exported = manager("GET", f"/projects/{project}/export").json
    assert len(done) == 80
    assert {len(task["annotations"]) for task in exported} == {2}
