"""Imports and exports as jobs: checked whole, taken up again, and the same as what goes through the API at once."""

from __future__ import annotations

import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from labeling.service import Labeling
from labeling.store.definition import Definition, NewTask
from labeling.work import files
from labeling.work.files import import_tasks
from labeling.work.reading import format_of_name, read_tasks
from palate.errors import InputError, ParameterError, UnknownIdError

ROWS = [{"item_id": f"t{i}", "text": f"Text {i}"} for i in range(5)]
CSV = b'\xef\xbb\xbfitem_id,text,priority\r\nt0,"Text, 0",3\r\n\r\nt1,Text 1,\r\n'


@pytest.fixture
def service(store):
    return Labeling(store.engine)


@pytest.fixture
def project(service):
    return service.create(Definition("Films", ("Drama", "War")))[0].id


def tasks(service, project):
    return json.loads("".join(service.export(project, "json", every_task=True)))


def test_a_file_is_taken_in_by_a_job(service, project, work):
    job = service.automation.import_file(project, CSV, "csv")
    work()
    assert service.automation.job(project, job.id).result == {"tasks": 2, "present": 0, "answers": 0}
    found = tasks(service, project)
    assert [task["data"] for task in found] == [
        {"item_id": "t0", "text": "Text, 0"},
        {"item_id": "t1", "text": "Text 1"},
    ]
    job = service.automation.import_file(project, "\n".join(map(json.dumps, ROWS)).encode(), "jsonl")
    work()
    done = service.automation.job(project, job.id)
    assert (done.result, done.message) == ({"tasks": 3, "present": 2, "answers": 0}, "5 of 5 tasks")


def test_answers_come_along_from_label_studio_and_go_out_as_a_file(service, project, work):
    service.add_tasks(project, [NewTask("t0", {"text": "x"})])
    task = service.next_task(project, "ann").task
    service.submit(project, "ann", task.task_id, {"choices": ["War"]})
    whole = "".join(service.export(project, "json"))
    job = service.automation.export_file(project, "json")
    with pytest.raises(UnknownIdError, match="has no file"):
        service.automation.exported(project, job.id)
    work()
    found, pieces = service.automation.exported(project, job.id)
    assert (b"".join(pieces).decode(), found["name"]) == (whole, f"project-{project}.json")
    assert service.automation.job(project, job.id).message == "1 of 1 tasks"
    other = service.create(Definition("Again", ("Drama", "War")))[0].id
    job = service.automation.import_file(other, whole.encode(), "label-studio")
    work()
    assert service.automation.job(other, job.id).result == {"tasks": 1, "present": 0, "answers": 1}
    assert tasks(service, other)[0]["annotations"][0]["completed_by"] == {"email": "ann"}


def test_only_the_latest_exports_are_kept(service, project, work):
    service.add_tasks(project, [NewTask("t0", {"text": "x"})])
    jobs = []
    for _ in range(files.KEPT + 1):
        jobs.append(service.automation.export_file(project, "labels", every_task=True).id)
        work()
    with pytest.raises(UnknownIdError):
        service.automation.exported(project, jobs[0])
    for job in jobs[1:]:
        assert b"t0" in b"".join(service.automation.exported(project, job)[1])


def test_an_import_that_was_broken_off_goes_on(service, store, project):
    arrivals = read_tasks("\n".join(json.dumps({"id": i, "text": "x"}) for i in range(4100)).encode(), "jsonl")

    def stop(share, _):
        if share > 0.4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_tasks(store.engine, project, arrivals, stop)
    assert service.project(project, "")[0].tasks == 2000
    outcome = import_tasks(store.engine, project, arrivals, lambda *_: None)
    assert outcome == {"tasks": 2100, "present": 2000, "answers": 0}


def test_parquet_is_read():
    table = pa.table({"item_id": ["a", "b"], "year": [1950, None], "score": [0.5, float("nan")]})
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    found = [each.task for each in read_tasks(buffer.getvalue(), "parquet")]
    assert [task.data for task in found] == [{"item_id": "a", "year": 1950, "score": 0.5}, {"item_id": "b"}]


@pytest.mark.parametrize(
    ("data", "form", "said"),
    [
        (b"id,text\n1,a,b\n", "csv", "line 2: has 3 cells"),
        (b"id,id\n1,2\n", "csv", "line 1"),
        (b'id,text\n1,"a"b\n', "csv", "is no CSV"),
        (b"text\nhello\n", "csv", "has no external_id"),
        (b"id,text\n", "csv", "no task"),
        (b"\xff\xfe1", "csv", "not UTF-8"),
        (b"id,priority\n1,much\n", "csv", "no whole number"),
        (b'{"id": 1}\n{"id": NaN}', "jsonl", "line 2: is no JSON"),
        (b"[1]", "jsonl", "line 1: is no object"),
        (b"PAR1", "parquet", "no Parquet"),
        (b'[{"data": 1}]', "label-studio", "not what Label Studio exports"),
        (b'[{"data": {}}]', "label-studio", "has neither an id"),
        (b"x", "xml", "is none"),
    ],
)
def test_what_cannot_be_read_says_where(data, form, said):
    with pytest.raises(InputError) as raised:
        read_tasks(data, form)
    assert said in str(raised.value)


def test_a_file_with_a_mistake_changes_nothing(service, project, work):
    for data in (CSV + b"t9\r\n", CSV + b"t0,twice,\r\n"):
        job = service.automation.import_file(project, data, "csv")
        work()
        failed = service.automation.job(project, job.id)
        assert failed.state == "failed"
        assert failed.error
    assert tasks(service, project) == []
    with pytest.raises(ParameterError, match="is empty"):
        service.automation.import_file(project, b"", "csv")
    with pytest.raises(ParameterError, match="is none"):
        service.automation.import_file(project, b"x", "xml")
    with pytest.raises(ParameterError, match="is no format"):
        service.automation.export_file(project, "xml")
    with pytest.raises(UnknownIdError):
        service.automation.import_file(99, CSV, "csv")
    with pytest.raises(ParameterError, match="does not say"):
        format_of_name("tasks.xyz")
