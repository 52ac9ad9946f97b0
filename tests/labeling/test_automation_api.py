"""The routes of consensus, automatic labels and jobs: what they answer, to whom, and what they say of bad input."""

from __future__ import annotations

import io

import pyarrow.parquet as pq
import pytest

from labeling.app import create
from labeling.settings import LabelingSettings
from labeling.work.process import work_off
from palate.store import Accounts

LABELS = ["Sea", "Snow"]
TASKS = [
    {"external_id": f"t{i}", "data": {"text": f"{'sun sand wave' if i % 2 else 'ski cold ice'} {i}"}}
    for i in range(150)
]


@pytest.fixture
def house(tmp_path):
    """A function that calls the app, as the manager unless told, and one that does the jobs."""
    settings = LabelingSettings(home=tmp_path)
    app = create(settings)
    service = app.extensions["labeling"]
    tokens = {
        "boss": Accounts(service.engine).create_key("boss", ["label", "label:manage"])[1],
        "ann": Accounts(service.engine).create_key("ann", ["label"])[1],
    }

    def call(method, path, body=None, who="boss"):
        options = {} if body is None else {"json": body}
        headers = {"Authorization": f"Bearer {tokens[who]}"}
        return app.test_client().open(f"/v1/projects{path}", method=method, headers=headers, **options)

    yield call, lambda: work_off(service.engine, settings)
    service.engine.dispose()


def answer_all(call, who="ann"):
    while (task := call("POST", "/1/next", {}, who).json["task"]) is not None:
        label = LABELS[1 - int(task["external_id"][1:]) % 2]
        call("PUT", f"/1/tasks/{task['id']}/annotation", {"value": {"choices": [label]}}, who)


def test_a_run_from_start_to_withdrawal(house):
    call, work = house
    call("POST", "", {"title": "Films", "labels": LABELS, "tasks": TASKS})
    assert call("GET", "/1/autolabel").status_code == 404
    begun = call("POST", "/1/autolabel", {"target": 0.9, "model": "tfidf", "seed_items": 40})
    assert (begun.status_code, begun.json["state"], begun.json["settings"]["target"]) == (201, "running", 0.9)
    assert call("POST", "/1/autolabel", {}).status_code == 409
    work()
    assert call("GET", "/1/autolabel").json["job"]["state"] == "done"
    for _ in range(20):
        answer_all(call)
        work()
        if (state := call("GET", "/1/autolabel").json)["state"] == "done":
            break
    assert (state["state"], state["error"], state["audits"][-1]["passed"]) == ("done", None, True)
    progress = call("GET", "/1/progress").json
    assert (progress["remaining"], progress["automatic"]) == (0, state["labels"])
    first = call("GET", "/1/autolabel/labels?limit=1").json
    assert {"label", "model", "round", "threshold", "confidence"} < set(first["labels"][0])
    rest = call("GET", f"/1/autolabel/labels?after={first['next']}&limit=1000").json
    assert (len(rest["labels"]), rest["next"]) == (state["labels"] - 1, None)
    table = pq.read_table(io.BytesIO(call("GET", "/1/export?format=parquet").data)).to_pylist()
    assert [row["label"] for row in table] == [LABELS[1 - i % 2] for i in range(150)]
    assert {row["source"] for row in table} == {"people", "model"}
    assert call("POST", "/1/autolabel/withdraw", {"tasks": [first["labels"][0]["task_id"]]}).json == {"labels": 1}
    assert call("POST", "/1/autolabel/withdraw", {}).json == {"labels": state["labels"] - 1}
    assert call("POST", "/1/autolabel/restore").json == {"labels": state["labels"]}
    kinds = {job["kind"] for job in call("GET", "/1/jobs").json["jobs"]}
    assert kinds == {"labeling.autolabel"}


def test_consensus_is_computed_and_read(house):
    call, work = house
    call("POST", "", {"title": "Films", "labels": LABELS, "tasks": TASKS[:4]})
    assert call("GET", "/1/consensus").json["computed"] is None
    assert call("PATCH", "/1", {"consensus": "ds"}).json["consensus"] == "dawid-skene"
    answer_all(call)
    job = call("POST", "/1/consensus", {})
    assert (job.status_code, job.json["state"]) == (202, "queued")
    work()
    assert call("GET", f"/1/jobs/{job.json['id']}").json["state"] == "done"
    found = call("GET", "/1/consensus").json
    assert (found["method"], found["tasks"], found["stale"]) == ("dawid-skene", 4, False)
    assert [each["answers"] for each in found["skills"]] == [4]
    page = call("GET", "/1/consensus/tasks?limit=3").json
    assert [each["value"] for each in page["tasks"]] == [{"choices": [LABELS[1 - i % 2]]} for i in range(3)]
    assert len(call("GET", f"/1/consensus/tasks?after={page['next']}").json["tasks"]) == 1
    waiting = call("POST", "/1/consensus", {"method": "mace"}).json["id"]
    assert call("DELETE", f"/1/jobs/{waiting}").json["state"] == "cancelled"


def test_bad_input_and_who_may(house):
    call, _ = house
    call("POST", "", {"title": "Films", "labels": LABELS, "tasks": TASKS})
    for body in ({"target": 1}, {"target": "x"}, {"budget": 0}, {"model": "gpt"}, {"seed_items": 0}, {"nonsense": 1}):
        assert call("POST", "/1/autolabel", body).status_code == 422, body
    for body in ({"action": "explode"}, {}, {"action": 1}):
        assert call("PATCH", "/1/autolabel", body).status_code in (404, 422), body
    assert call("POST", "/1/consensus", {}).status_code == 422
    assert call("POST", "/1/consensus", {"method": "best"}).status_code == 422
    for path in ("/1/jobs/99", "/9/jobs", "/9/autolabel", "/9/consensus", f"/1/jobs/{2**70}"):
        assert call("GET", path).status_code == 404, path
    assert call("GET", "/1/consensus/tasks?limit=0").status_code == 422
    for method, path in (
        ("POST", "/1/autolabel"),
        ("PATCH", "/1/autolabel"),
        ("POST", "/1/autolabel/withdraw"),
        ("POST", "/1/autolabel/restore"),
        ("POST", "/1/consensus"),
        ("GET", "/1/consensus"),
        ("GET", "/1/autolabel"),
        ("GET", "/1/jobs"),
    ):
        body = None if method == "GET" else {}
        assert call(method, path, body, "ann").status_code == 403, path
