"""Consensus as the service keeps it: computed by a job, kept per task, shown, exported."""

from __future__ import annotations

import csv
import io
import json

import pytest

from labeling.service import Labeling
from labeling.store import agreed, projects
from labeling.store.definition import Definition, NewTask
from labeling.store.forecasts import Prediction
from labeling.work.planner import Planner
from labeling.work.together import together
from palate.errors import ParameterError, UnknownIdError

SAID = {
    "ann": ["Drama", "Drama", "War", "War", "Drama"],
    "bob": ["Drama", "Drama", "War", "War", "War"],
    "eve": ["War", "War", "Drama", "Drama", "Drama"],
}


@pytest.fixture
def service(store):
    return Labeling(store.engine)


def make(service, said=SAID, kind="choice", labels=("Drama", "War"), data=None, **changes):
    """A project that these people have answered; each list is by task."""
    n = len(next(iter(said.values())))
    new = [NewTask(f"t{i}", (data or {"title": f"T{i}"})) for i in range(n)]
    project = service.create(Definition("Films", labels, kind=kind, overlap=len(said)), new)[0]
    service.change(project.id, changes)
    for person, values in said.items():
        for value in values:
            task = service.next_task(project.id, person).task
            service.submit(project.id, person, task.task_id, {"choices": [value]} if isinstance(value, str) else value)
    return project.id


def labels(service, project):
    return {row.external_id: row.value[0]["value"]["choices"] for row in service.automation.consensus(project)}


def test_a_job_computes_it_and_everybody_s_skill(service, work):
    project = make(service)
    assert service.automation.consolidated(project) is None
    job = service.automation.consolidate(project, "dawid-skene")
    work()
    assert service.automation.job(project, job.id).result == {"tasks": 5, "answers": 15}
    found = service.automation.consolidated(project)
    assert (found.method, found.stale, found.tasks) == ("dawid-skene", False, 5)
    skill = {each["person"]: each["skill"] for each in found.skills}
    assert skill["ann"] > skill["eve"]
    assert skill["bob"] > 0.75
    rows = service.automation.consensus(project, limit=3)
    assert [row.value[0]["value"] for row in rows] == [{"choices": ["Drama"]}] * 2 + [{"choices": ["War"]}]
    for row in rows:
        assert row.posterior["label"][row.value[0]["value"]["choices"][0]] == row.confidence
        assert sum(row.posterior["label"].values()) == pytest.approx(1, abs=0.01)
    assert len(service.automation.consensus(project, after=rows[-1].task_id)) == 2


def test_a_project_keeps_it_up_to_date_by_itself(service, store, work):
    project = make(service, {"ann": ["Drama", "War"]}, consensus="Majority")
    work()
    assert labels(service, project) == {"t0": ["Drama"], "t1": ["War"]}
    eager, patient = Planner(store.engine, kept_fresh=0), Planner(store.engine)
    assert eager.look() == 0  # nothing has come since
    back = service.undo(project, "ann").task
    service.submit(project, "ann", back.task_id, {"choices": ["Drama"]})
    assert service.automation.consolidated(project).stale
    assert (patient.look(), eager.look()) == (0, 1)
    work()
    assert labels(service, project) == {"t0": ["Drama"], "t1": ["Drama"]}
    service.skip(project, "ann", back.task_id)  # withdraws the answer
    service.automation.consolidate(project)
    work()
    assert labels(service, project) == {"t0": ["Drama"]}


def test_what_a_reviewer_corrected_stands(service, work):
    project = make(service, review="open")
    first = service.next_review(project, "rob")[1]
    service.judge(project, "rob", first.id, "correct", value={"choices": ["War"]})
    service.automation.consolidate(project, "majority")
    work()
    row = service.automation.consensus(project)[0]
    assert (row.value[0]["value"], row.confidence, row.decided) == ({"choices": ["War"]}, 1.0, True)
    # Skill is about what people said themselves: ann was with the majority on all five tasks before the correction.
    skill = {each["person"]: each["skill"] for each in service.automation.consolidated(project).skills}
    assert skill["ann"] == max(skill.values())


def test_exports_carry_it(service, work):
    project = make(service)
    service.automation.consolidate(project, "majority")
    work()
    first = json.loads("".join(service.export(project, "json")))[0]
    (prediction,) = first["predictions"]
    assert prediction["model_version"] == "consensus"
    assert prediction["score"] == pytest.approx(2 / 3, abs=1e-3)
    assert prediction["result"][0]["value"] == {"choices": ["Drama"]}
    line = next(csv.DictReader(io.StringIO("".join(service.export(project, "csv")))))
    assert (line["consensus"], float(line["consensus_confidence"])) == ("Drama", prediction["score"])
    final = list(csv.DictReader(io.StringIO("".join(service.export(project, "labels")))))
    assert [row["label"] for row in final] == ["Drama", "Drama", "War", "War", "Drama"]
    assert {(row["source"], row["answers"]) for row in final} == {("people", "3")}


def test_each_kind_of_question_has_its_way(service):
    def of(kind, *results, **more):
        project = service.create(Definition(kind, more.pop("labels", ()), kind=kind))[0]
        control = project.interface.controls[0]
        about = {"from_name": control.name, "to_name": ",".join(control.to), "type": control.type}
        given = [
            (1, f"p{number}", [{**about, "value": value} for value in (said if isinstance(said, list) else [said])])
            for number, said in enumerate(results)
        ]
        found = together(project.interface, given, "majority").tasks[1]
        return [region["value"] for region in found.value], found.confidence

    third = pytest.approx(2 / 3, abs=1e-3)
    assert of("rating", {"rating": 4}, {"rating": 4}, {"rating": 1}) == ([{"rating": 4}], third)
    assert of("pairwise", {"selected": "left"}, {"selected": "right"}, {"selected": "left"})[0] == [
        {"selected": "left"}
    ]
    several = [{"choices": ["a", "b"]}, {"choices": ["a"]}, {"choices": ["a", "b", "c"]}]
    assert of("choices", *several, labels=("a", "b", "c")) == (
        [{"choices": ["a", "b"]}],
        pytest.approx(4 / 9, abs=1e-3),
    )
    marks = [[{"start": 0, "end": 4, "labels": ["N"]}], [{"start": 0, "end": 4, "labels": ["N"]}], []]
    assert of("spans", *marks, labels=("N",)) == ([{"start": 0, "end": 4, "labels": ["N"]}], third)
    box = {"x": 0, "y": 0, "width": 10, "height": 10, "rectanglelabels": ["N"]}
    assert of("boxes", [box], [box], labels=("N",)) == ([box], 1.0)
    assert of("text", {"text": ["x"]}, {"text": ["y"]}) == ([], None)


def test_crowdlab_takes_what_a_model_says(service, work):
    project = make(service, {"ann": ["Drama", "Drama", "War"], "eve": ["War", "Drama", "War"]})
    job = service.automation.consolidate(project, "crowdlab")
    work()
    failed = service.automation.job(project, job.id)
    assert failed.state == "failed"
    assert failed.error.startswith("method: the method 'crowdlab' needs a model's predictions")
    said = [Prediction(f"t{i}", {"choices": [name]}, 0.99) for i, name in enumerate(["War", "Drama", "War"])]
    service.predict(project, "m", said)
    service.automation.consolidate(project, "crowdlab")
    work()
    assert labels(service, project)["t0"] == ["War"]  # two people disagree, and the model decides


def test_bad_input_is_refused(service, store):
    project = make(service, {"ann": ["Drama"]})
    with pytest.raises(ParameterError, match="no method 'best'"):
        service.change(project, {"consensus": "best"})
    with pytest.raises(ParameterError, match="has no method"):
        service.automation.consolidate(project)
    for missing in (0, 99, 2**70):
        with pytest.raises(UnknownIdError):
            service.automation.job(project, missing)
        with pytest.raises(UnknownIdError):
            service.automation.consolidate(missing, "majority")
    with store.read() as db:
        assert agreed.listed(db, projects.get(db, project)) == []
