"""Exports of each kind of project, and a database from before there were kinds."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations

from labeling.api.label_studio import LabelStudioTasks
from labeling.config import generate
from labeling.exports import FORMATS
from labeling.service import Labeling
from labeling.store import MIGRATIONS
from labeling.store.definition import Definition, NewTask
from labeling.store.migrations.versions import v0001_projects
from palate.errors import ConflictError, ParameterError
from palate.store import migrate, open_engine

BOX = {"x": 10, "y": 20, "width": 50, "height": 25, "rotation": 0, "rectanglelabels": ["Car"]}


@pytest.fixture
def service(tmp_path):
    service = Labeling.open(f"sqlite:///{tmp_path / 'labeling.db'}")
    yield service
    service.engine.dispose()


def answered(service, kind, data, *answers, labels=()):
    """A project of one task, with each answer somebody's."""
    definition = Definition(kind, labels, kind=kind, overlap=len(answers))
    project = service.create(definition, [NewTask("one", data)])[0]
    for number, value in enumerate(answers):
        task = service.next_task(project.id, f"p{number}").task
        service.submit(project.id, f"p{number}", task.task_id, value)
    return project.id


def exported(service, project, form):
    pieces = list(service.export(project, form))
    return b"".join(pieces) if form == "parquet" else "".join(pieces)


def marked(start, end, label="Name"):
    value = {"start": start, "end": end, "labels": [label]}
    return [{"from_name": "label", "to_name": "text", "type": "labels", "value": value}]


def boxed(**more):
    return [{"from_name": "label", "to_name": "image", "type": "rectanglelabels", "value": BOX, **more}]


def test_spans_for_spacy_are_what_most_people_marked(service):
    text = {"text": "Ada met Bob."}
    project = answered(service, "spans", text, marked(0, 3), marked(0, 3), marked(8, 11), labels=("Name",))
    assert json.loads(exported(service, project, "spacy")) == ["Ada met Bob.", {"entities": [[0, 3, "Name"]]}]


def test_boxes_for_coco_are_in_pixels(service):
    more = {"original_width": 640, "original_height": 480, "image_rotation": 0}
    project = answered(service, "boxes", {"image": "a.png"}, boxed(**more), labels=("Bus", "Car"))
    coco = json.loads(exported(service, project, "coco"))
    assert coco["images"] == [{"id": 1, "file_name": "a.png", "width": 640, "height": 480}]
    assert coco["categories"] == [{"id": 1, "name": "Bus"}, {"id": 2, "name": "Car"}]
    (mark,) = coco["annotations"]
    assert (mark["bbox"], mark["area"], mark["category_id"]) == ([64, 96, 320, 120], 38_400, 2)


def test_boxes_on_an_image_of_unknown_size_say_that_they_are_in_percent(service):
    coco = json.loads(exported(service, answered(service, "boxes", {"image": "a"}, boxed(), labels=("Car",)), "coco"))
    assert coco["annotations"][0]["bbox"] == [10, 20, 50, 25]
    assert coco["annotations"][0]["percent"] is True


def test_json_lines_are_the_tasks_of_the_json(service):
    project = answered(service, "rating", {"text": "x"}, {"rating": 4}, {"rating": 2})
    lines = [json.loads(line) for line in exported(service, project, "jsonl").splitlines()]
    assert lines == json.loads(exported(service, project, "json"))
    assert [each["result"][0]["value"] for each in lines[0]["annotations"]] == [{"rating": 4}, {"rating": 2}]
    assert exported(service, project, "csv").splitlines()[1].split(",")[4] == "4"


def test_what_comes_out_can_be_answered_again_unchanged(service):
    first = answered(
        service, "boxes", {"image": "a"}, boxed(id="r1", original_width=4, original_height=4), labels=("Car",)
    )
    result = json.loads(exported(service, first, "json"))[0]["annotations"][0]["result"]
    config = service.project(first, "")[0].config
    second = service.create(Definition("again", config=config), [NewTask("one", {"image": "a"})])[0].id
    service.submit(second, "ann", service.next_task(second, "ann").task.task_id, result)
    assert json.loads(exported(service, second, "json"))[0]["annotations"][0]["result"] == result


def taken_in(service, project, tasks):
    arrivals = LabelStudioTasks(tasks=tasks).tasks
    return service.take_in(project, [task.arrival(number) for number, task in enumerate(arrivals)])


def test_what_label_studio_exports_comes_back_unchanged(store_url):
    service = Labeling.open(store_url)
    values = [boxed(id=name, original_width=4, original_height=4) for name in ("r1", "r2")]
    first = answered(service, "boxes", {"image": "a"}, *values, labels=("Car",))
    tasks = json.loads(exported(service, first, "json"))
    tasks[0]["predictions"] = [{"result": values[0], "score": 0.5, "model_version": "m1"}]
    second = service.create(Definition("again", ("Car",), kind="boxes", overlap=2))[0].id
    assert taken_in(service, second, tasks) == (1, 2)
    assert taken_in(service, second, tasks) == taken_in(service, first, tasks) == (0, 0)

    def said(project):
        found = json.loads(exported(service, project, "json"))[0]
        kept = ("result", "completed_by", "lead_time")
        return found["data"], found["meta"], [{name: each[name] for name in kept} for each in found["annotations"]]

    assert said(second) == said(first)
    assert service.next_task(second, "p2").task is None
    third = service.create(Definition("one place", ("Car",), kind="boxes"))[0].id
    with pytest.raises(ConflictError, match="no place left"):
        taken_in(service, third, tasks)
    assert service.project(third, "")[0].tasks == 0
    service.engine.dispose()


def test_annotations_of_label_studios_own_users_are_kept_apart(service):
    region = {"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": ["Positive"]}}
    given = {"id": 1, "result": [region], "was_cancelled": False, "lead_time": 1.5, "completed_by": 1, "task": 1}
    cancelled = given | {"was_cancelled": True, "result": []}
    task = {"id": 7, "data": {"text": "good film"}, "meta": {}, "is_labeled": True, "annotations": [given, cancelled]}
    project = service.create(Definition("films", ("Positive", "Negative"), overlap=2))[0].id
    assert taken_in(service, project, [task]) == (1, 1)
    (out,) = json.loads(exported(service, project, "json"))
    assert out["meta"] == {"external_id": "7"}
    assert out["annotations"][0]["completed_by"] == {"email": "label-studio:1"}


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_a_format_says_which_projects_it_is_for(service, form):
    project = answered(service, "rating", {"text": "x"}, {"rating": 1})
    if FORMATS[form].kind is None:
        assert exported(service, project, form)
        return
    with pytest.raises(ParameterError, match=form):
        service.export(project, form)


@pytest.mark.parametrize(
    ("kind", "data"), [("spans", {"title": "x"}), ("boxes", {"image": None}), ("pairwise", {"left": "x"})]
)
def test_tasks_without_what_people_work_on_are_refused(service, kind, data):
    labels = () if kind == "pairwise" else ("a",)
    with pytest.raises(ParameterError, match="has no"):
        service.create(Definition("x", labels, kind=kind), [NewTask("one", data)])


def test_a_database_from_before_there_were_kinds_keeps_its_answers(store_url):
    engine = open_engine(store_url)
    migrate(engine, "palate")
    with engine.begin() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": "alembic_version_labeling"})
        with Operations.context(context):
            v0001_projects.upgrade()
        context._ensure_version_table()
        connection.execute(sa.text("INSERT INTO alembic_version_labeling VALUES ('0001')"))
        old, now = sa.MetaData(), datetime(2026, 1, 1, tzinfo=UTC).replace(tzinfo=None)
        old.reflect(connection)
        rows = {
            "projects": {"title": "Films", "kind": "choice", "labels": ["War & <x>", "Drama"], "instructions": ""}
            | {"overlap": 1, "tasks": 1},
            "tasks": {"project_id": 1, "position": 0, "external_id": "film-0", "data": {"title": "Film"}},
            "slots": {"project_id": 1, "task_id": 1, "number": 0, "position": 0, "state": "answered", "person": "ann"},
            "annotations": {"project_id": 1, "task_id": 1, "slot_id": 1, "person": "ann", "updated": now}
            | {"value": {"choices": ["War & <x>"]}},
        }
        for name, row in rows.items():
            dated = {} if name == "slots" else {"created": now}
            connection.execute(old.tables[name].insert(), row | dated)
    service = Labeling.open(store_url)
    project = service.project(1, "ann")[0]
    assert project.config == generate("choice", ("War & <x>", "Drama"))
    (task,) = json.loads(exported(service, 1, "json"))
    assert task["annotations"][0]["result"][0]["value"] == {"choices": ["War & <x>"]}
    assert service.submit(1, "ann", 1, {"choices": ["Drama"]})[1] is False
    migrate(engine, "labeling", MIGRATIONS)
    for each in (engine, service.engine):
        each.dispose()


def test_everything_beside_a_task_is_looked_up_by_it(service):
    """Not gone through for every task, which takes days where a model labeled many."""
    project = answered(service, "choice", {"text": "A"}, {"choices": ["Yes"]}, labels=("Yes", "No"))
    asked = []

    @sa.event.listens_for(service.engine, "before_cursor_execute")
    def note(connection, cursor, statement, parameters, context, many):
        if "FROM tasks" in statement and "LEFT OUTER JOIN" in statement:
            asked.append((statement, parameters))

    exported(service, project, "jsonl")
    [(statement, parameters)] = asked
    with service.engine.connect() as db:
        plan = [row[3] for row in db.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
    for table in ("annotations", "consensus", "automatic"):
        [step] = [each for each in plan if f" {table} " in each]
        assert "task_id=?" in step or "rowid=?" in step, plan
