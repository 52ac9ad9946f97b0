"""Webhooks: what is told, signed, tried again and sent again; and whom nobody calls."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from datetime import timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import sqlalchemy as sa

from labeling.app import create
from labeling.hooks import send
from labeling.hooks.collect import collect
from labeling.hooks.service import Hooks
from labeling.outward import outward, target
from labeling.service import Labeling
from labeling.settings import LabelingSettings
from labeling.store import projects, runs
from labeling.store.definition import Definition, NewTask
from labeling.work.process import work_off
from palate.errors import ConflictError, ParameterError, UnknownIdError
from palate.store import Accounts
from palate.store.tables import jobs

now = partial(collect, settled=timedelta(0))

sqlite = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
"""For what both databases do alike: the tests without it run on both."""


class Listener:
    """A service that is told: `heard` are the requests, `status` what it answers."""

    def __init__(self):
        self.heard = []
        self.status = 204
        listener = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                listener.heard.append((self.path, dict(self.headers), body))
                self.send_response(listener.status)
                self.send_header("Location", "/elsewhere")
                self.end_headers()

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self._server.server_port}"
        self.url = f"http://{self.host}/hook?a=b"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def listener():
    listener = Listener()
    yield listener
    listener.close()


@pytest.fixture
def service(store):
    return Labeling(store.engine)


@pytest.fixture
def project(service):
    tasks = [NewTask(f"t{i}", {"text": f"Text {i}"}) for i in range(3)]
    return service.create(Definition("Films", ("Drama", "War")), tasks)[0].id


@pytest.fixture
def hooks(store, listener):
    return Hooks(store.engine, [listener.host])


@pytest.fixture
def deliver(store, listener, tmp_path):
    """Writes down what is new and sends it, as a worker would, without the pauses."""
    settings = LabelingSettings(home=tmp_path, webhook_hosts=(listener.host,))

    def run():
        now(store.engine)
        with store.write() as db:
            db.execute(sa.update(jobs).values(not_before=jobs.c.created))
        work_off(store.engine, settings)

    return run


def answer(service, project, person="ann", label="War"):
    task = service.next_task(project, person).task
    service.submit(project, person, task.task_id, {"choices": [label]})
    return task.task_id


def verified(secret, headers, body):
    """What a library for Standard Webhooks does."""
    signed = b".".join((headers["webhook-id"].encode(), headers["webhook-timestamp"].encode(), body))
    digest = hmac.new(base64.b64decode(secret.removeprefix("whsec_")), signed, hashlib.sha256).digest()
    assert abs(time.time() - int(headers["webhook-timestamp"])) < 300
    return headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"


def test_answers_are_told_once_signed_and_in_order(service, project, hooks, listener, deliver):
    answer(service, project, label="Drama")  # before the webhook: not told
    hook = hooks.add(project, listener.url, ["answers.created"], "boss")
    given = [answer(service, project), answer(service, project)]
    deliver()
    deliver()
    [(path, headers, body)] = listener.heard
    assert path == "/hook?a=b"
    assert headers["Host"] == listener.host
    assert verified(hook.secret, headers, body)
    assert not verified(hook.secret, headers, body + b" ")
    told = json.loads(body)
    assert (told["type"], told["project"]) == ("answers.created", {"id": project, "title": "Films"})
    assert [each["task"] for each in told["answers"]] == given
    assert told["answers"][0]["value"] == {"choices": ["War"]}
    assert told["answers"][0]["person"] == "ann"
    [delivery] = hooks.deliveries(project, hook.id)
    assert (delivery.state, delivery.tries, delivery.status) == ("delivered", 1, 204)


def test_changed_answers_and_verdicts_are_told_as_they_are_at_last(service, project, hooks, listener, deliver):
    before = answer(service, project)
    service.submit(project, "ann", before, {"choices": ["Drama"]})  # before the webhook: not told
    hooks.add(project, listener.url, ["answers.changed"], "boss")
    task = answer(service, project)
    deliver()
    assert listener.heard == [], "a first answer is no change"
    service.submit(project, "ann", task, {"choices": ["Drama"]})
    service.submit(project, "ann", task, {"choices": ["War"]})
    service.submit(project, "ann", task, {"choices": ["War"]})
    service.change(project, {"review": "open"})
    review = service.next_review(project, "rev")[1]
    service.judge(project, "rev", review.id, "return", note="look again")
    deliver()
    deliver()
    [(_, _, body)] = listener.heard
    one, other = json.loads(body)["answers"]
    assert (one["task"], one["value"], one["verdict"]) == (task, {"choices": ["War"]}, None)
    assert (other["task"], other["verdict"], other["note"]) == (before, "returned", "look again")
    assert (other["value"], other["person"], other["reviewer"]) == ({"choices": ["Drama"]}, "ann", "rev")
    service.submit(project, "ann", before, {"choices": ["War"]})
    deliver()
    [again] = json.loads(listener.heard[1][2])["answers"]
    assert (again["value"], again["verdict"], again["reviewer"]) == ({"choices": ["War"]}, None, None)


def test_what_is_done_to_many_labels_at_once_is_told_by_one_message(service, project, hooks, listener, deliver, store):
    hooks.add(project, listener.url, ["answers.withdrawn", "labels.withdrawn", "labels.restored"], "boss")
    hooks.add(project, f"{listener.url}&only", ["interface.changed"], "boss")
    task = answer(service, project, label="Drama")
    answer(service, project)
    service.relabel(project, labels=("Serious", "War"), mapping={"label": {"Drama": "Serious"}})
    with pytest.raises(ConflictError):  # which leaves War without a successor: nothing happened, and nothing is told
        service.relabel(project, labels=("Serious", "Other"))
    service.skip(project, "ann", task)
    service.skip(project, "ann", service.next_task(project, "ann").task.task_id)  # no answer yet: none is withdrawn
    with store.write() as db:
        run = runs.begin(db, projects.get(db, project), {}, "boss")
        runs.write(db, run, 0, [(number, "War", 0.9) for number in (1, 2, 3)])
        runs.change(db, run, state=runs.DONE)
    assert service.automation.withdraw(project, [2]) == 1
    assert service.automation.withdraw(project) == 2
    assert service.automation.withdraw(project) == 0  # nothing is left to take back, and nothing is told
    restored = service.automation.restore(project)
    deliver()
    heard = sorted((json.loads(body) for _, _, body in listener.heard), key=lambda told: told["type"])
    for told in heard:
        assert told.pop("project") == {"id": project, "title": "Films"}
    gone = {"id": 1, "task": task, "external_id": "t0", "person": "ann"}
    withdrawn = [{"type": "labels.withdrawn", "run": 1, "labels": 1, "tasks": [2]}]
    withdrawn.append({"type": "labels.withdrawn", "run": 1, "labels": 2, "tasks": None})
    assert sorted(heard[3:], key=lambda told: told["labels"]) == withdrawn
    assert heard[:3] == [
        {"type": "answers.withdrawn", "answers": [gone]},
        {
            "type": "interface.changed",
            "labels": ["Serious", "War"],
            "map": {"label": {"Drama": "Serious"}},
            "answers": 1,
        },
        {"type": "labels.restored", "run": 1, "labels": restored},
    ]


@sqlite
def test_an_answer_is_told_only_when_all_before_it_are_seen(service, project, hooks, listener, store):
    hook = hooks.add(project, listener.url, ["answers.created"], "boss")
    answer(service, project)
    collect(store.engine)
    assert hooks.deliveries(project, hook.id) == []
    now(store.engine)
    now(store.engine)
    assert len(hooks.deliveries(project, hook.id)) == 1


@sqlite
def test_the_end_of_a_project_is_told_and_told_again_when_it_is_reached_again(
    service, project, hooks, listener, deliver
):
    hooks.add(project, listener.url, ["project.done"], "boss")
    answer(service, project)
    deliver()
    assert listener.heard == []
    answer(service, project)
    answer(service, project)
    deliver()
    service.add_tasks(project, [NewTask("new", {"text": "x"})])
    deliver()
    answer(service, project)
    deliver()
    assert [json.loads(body)["tasks"] for _, _, body in listener.heard] == [3, 4]


@pytest.mark.parametrize("status", [500, 404, 302])
@sqlite
def test_what_is_not_taken_is_tried_again(service, project, hooks, listener, deliver, status):
    hook = hooks.add(project, listener.url, [], "boss")
    hooks.ping(project, hook.id)
    listener.status = status
    deliver()
    [delivery] = hooks.deliveries(project, hook.id)
    assert (delivery.state, delivery.tries, delivery.status) == ("waiting", 1, status)
    with pytest.raises(ConflictError, match="on its way"):
        hooks.again(project, hook.id, delivery.id)
    listener.status = 200
    deliver()
    [delivery] = hooks.deliveries(project, hook.id)
    assert (delivery.state, delivery.tries, delivery.status) == ("delivered", 2, 200)
    assert {path for path, _, _ in listener.heard} == {"/hook?a=b"}  # a redirection is not followed
    assert len({headers["webhook-id"] for _, headers, _ in listener.heard}) == 1


def test_what_has_failed_can_be_sent_again(store, project, hooks, listener, deliver):
    hook = hooks.add(project, listener.url, [], "boss")
    hooks.ping(project, hook.id)
    listener.status = 500
    deliver()
    with store.write() as db:
        db.execute(sa.update(jobs).values(attempt=jobs.c.max_attempts - 1))
    deliver()
    deliver()
    [delivery] = hooks.deliveries(project, hook.id)
    assert (delivery.state, delivery.tries) == ("failed", 2)
    listener.status = 200
    assert hooks.again(project, hook.id, delivery.id).state == "waiting"
    deliver()
    assert hooks.deliveries(project, hook.id)[0].state == "delivered"
    with pytest.raises(UnknownIdError):
        hooks.again(project, hook.id, delivery.id + 1)
    hooks.remove(project, hook.id)
    assert hooks.listed(project) == []


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1/", "http://localhost:9/", "http://10.1.2.3/", "http://192.168.0.1/", "http://169.254.169.254/",
     "http://[::1]/", "http://[::ffff:10.0.0.1]/", "http://[fd00::1]/", "http://0.0.0.0/", "http://224.0.0.1/",
     "http://100.64.0.1/", "http://2130706433/"],
)  # fmt: skip
def test_nobody_inward_is_called(url):
    with pytest.raises(ParameterError, match="leads inward"):
        outward(target(url))


@pytest.mark.parametrize(
    "url",
    ["", "example.org", "ftp://8.8.8.8/", "http://", "http://a b/", "http://8.8.8.8:99999/", "http://u:p@8.8.8.8/",
     "http://8.8.8.8/#x", "http://8.8.8.8/\r\nX: y", "http://[::1", "http://8.8.8.8/" + 500 * "a"],
)  # fmt: skip
def test_no_address(url):
    with pytest.raises(ParameterError):
        target(url)


@sqlite
def test_a_name_that_turns_inward_later_is_not_followed(service, project, listener, store, monkeypatch):
    places = {"first": "93.184.216.34", "then": "127.0.0.1"}
    turn = iter(["first", "then"])
    real = send.outward.__globals__["socket"].getaddrinfo

    def looked_up(host, port, **options):
        return real(places[next(turn)] if host == "rebound.example" else host, port, **options)

    monkeypatch.setattr("labeling.outward.socket.getaddrinfo", looked_up)
    hooks = Hooks(store.engine)
    hook = hooks.add(project, f"http://rebound.example:{listener.host.rpartition(':')[2]}/", [], "boss")
    hooks.ping(project, hook.id)
    work_off(store.engine, LabelingSettings())
    [delivery] = hooks.deliveries(project, hook.id)
    assert (delivery.state, delivery.status) == ("failed", None)
    assert "leads inward" in delivery.error
    assert listener.heard == []


def test_the_page_adds_tries_and_removes(listener, tmp_path):
    app = create(LabelingSettings(home=tmp_path, webhook_hosts=(listener.host,)))
    service = app.extensions["labeling"]
    project = service.create(Definition("Films <b>", ("Drama", "War")))[0].id
    Accounts(service.engine).add_person("boss", "correct horse battery", ["label", "label:manage"])
    client = app.test_client()
    with client.session_transaction() as session:
        session["csrf"] = "x"
    client.post("/sign-in", data={"name": "boss", "password": "correct horse battery", "csrf_token": "x"})
    with client.session_transaction() as session:
        token = session["csrf"]

    def post(**fields):
        return client.post(f"/projects/{project}/webhooks", data={"csrf_token": token, **fields})

    refused = post(do="add", url="http://127.0.0.1:1/", event="project.done")
    assert (refused.status_code, "PALATE_WEBHOOK_HOSTS" in refused.text) == (422, True)
    made = post(do="add", url=listener.url, event=["project.done", "run.changed"])
    assert "whsec_" in made.text
    hook = Hooks(service.engine).listed(project)[0]
    assert hook.events == ("project.done", "run.changed")
    assert post(do="ping", hook=hook.id).status_code == 303
    work_off(service.engine, app.extensions["palate"].settings)
    page = client.get(f"/projects/{project}/webhooks").text
    assert "delivered" in page
    assert "whsec_" not in page
    assert post(do="again", hook=hook.id, delivery=1).status_code == 303
    work_off(service.engine, app.extensions["palate"].settings)
    assert len(listener.heard) == 2
    assert post(do="remove", hook=hook.id).status_code == 303
    assert post(do="remove", hook=hook.id).status_code == 404
    service.engine.dispose()
