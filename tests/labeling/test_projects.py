"""Projects and tasks: what may be made, what making them again does, what comes out."""

from __future__ import annotations

import csv
import io
import json
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labeling.exports import as_csv, as_json, safe_cell
from labeling.queue.leases import next_task
from labeling.queue.turns import submit
from labeling.store import MIGRATIONS, projects
from labeling.store.projects import Definition, NewTask
from labeling.store.tables import metadata
from palate.errors import ConflictError, ParameterError, UnknownIdError
from palate.store import migrate
from palate.store.migrate import differences

LABELS = ("Comedy", "Drama")


def test_the_migrations_make_the_tables_the_code_declares(store):
    migrate(store.engine, "labeling", MIGRATIONS)
    assert differences(store.engine, metadata) == []


def test_a_project_asked_for_again_is_the_same_one(store):
    with store.write() as connection:
        first, made = projects.create(connection, Definition("Films", LABELS))
        again, made_again = projects.create(connection, Definition(" Films ", LABELS))
        assert (made, made_again, first) == (True, False, again)
        with pytest.raises(ConflictError, match="defined differently"):
            projects.create(connection, Definition("Films", ("Comedy", "War")))
        assert projects.listed(connection) == [first]


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        ({"title": ""}, "title"),
        ({"title": "  "}, "title"),
        ({"title": "x" * 201}, "title"),
        ({"title": "two\nlines"}, "title"),
        ({"title": "half \ud800"}, "title"),
        ({"labels": ()}, "labels"),
        ({"labels": ("one",)}, "labels"),
        ({"labels": ("a", "a")}, "labels[1]"),
        ({"labels": ("a", "")}, "labels[1]"),
        ({"labels": ("a", " b")}, "labels[1]"),
        ({"labels": ("a", "b" * 201)}, "labels[1]"),
        ({"labels": tuple(map(str, range(1001)))}, "labels"),
        ({"overlap": 0}, "overlap"),
        ({"overlap": 101}, "overlap"),
        ({"kind": "boxen"}, "kind"),
        ({"kind": "rating"}, "labels"),
        ({"config": "<View/>"}, "labels"),
        ({"instructions": "x" * 20_001}, "instructions"),
        ({"instructions": "\0"}, "instructions"),
        ({"instructions": "\ud800"}, "instructions"),
    ],
)
def test_a_definition_that_does_not_fit_names_its_field(wrong, where):
    with pytest.raises(ParameterError) as caught:
        Definition(**{"title": "Films", "labels": LABELS} | wrong)
    assert caught.value.where == where


@pytest.mark.parametrize(
    ("external_id", "data"),
    [
        ("", {}),
        ("x" * 301, {}),
        ("a\nb", {}),
        ("a", {"title": "\ud800"}),
        ("a", {"score": float("nan")}),
        ("a", {"text": "x" * 100_001}),
    ],
)
def test_a_task_that_does_not_fit_is_refused(external_id, data):
    with pytest.raises(ParameterError):
        NewTask(external_id, data)


def test_adding_tasks_again_adds_only_new_ones_at_the_end(store, films):
    with store.write() as connection:
        assert projects.add_tasks(connection, films, [NewTask("film-1"), NewTask("new"), NewTask("film-0")]) == 1
        assert projects.get(connection, films.id).tasks == 4
        assert [row.external_id for row in projects.answered(connection, films, unanswered=True)] == [
            "film-0",
            "film-1",
            "film-2",
            "new",
        ]


def test_one_id_twice_adds_nothing(store, films):
    with pytest.raises(ParameterError, match="comes twice"), store.write() as connection:
        projects.add_tasks(connection, films, [NewTask("new"), NewTask("new")])
    with store.read() as connection:
        assert projects.get(connection, films.id).tasks == 3


@pytest.mark.parametrize("project_id", [0, -1, 99, 2**80])
def test_unknown_projects_are_named(store, project_id):
    with store.read() as connection, pytest.raises(UnknownIdError, match=str(project_id)):
        projects.get(connection, project_id)


def test_many_tasks_are_added_in_order(store, make_project):
    project = make_project(n=12_001, overlap=2)
    with store.write() as connection:
        assert next_task(connection, project, "ann").external_id == "film-0"
        rows = projects.answered(connection, project, unanswered=True)
        assert [row.external_id for row in rows] == [f"film-{i}" for i in range(12_001)]


@pytest.fixture
def answered(store, films):
    with store.write() as connection:
        projects.add_tasks(connection, films, [NewTask("=x", {"title": "=1+1", "text": '"a", b\nc', "item_id": 7})])
        for _ in range(4):
            turn = next_task(connection, films, "@ann")
            submit(connection, films, "@ann", turn.task_id, {"choices": ["Drama"]}, seconds=1.5)
        return list(projects.answered(connection, films))


def test_csv_holds_one_line_per_answer_and_no_formula(films, answered):
    rows = list(csv.DictReader(io.StringIO("".join(as_csv(films, answered)), newline="")))
    assert [row["label"] for row in rows] == ["Drama"] * 4
    assert {key: rows[3][key] for key in ("external_id", "title", "text", "person", "seconds")} == {
        "external_id": "'=x",
        "title": "'=1+1",
        "text": '"a", b\nc',
        "person": "'@ann",
        "seconds": "1.5",
    }


@given(st.text() | st.integers() | st.none() | st.lists(st.text()) | st.floats())
def test_no_cell_is_ever_a_formula(value):
    written = io.StringIO()
    csv.writer(written).writerow([safe_cell(value)])
    cell = next(csv.reader(io.StringIO(written.getvalue(), newline="")), [""])
    assert isinstance(value, (int, float)) or not cell or not cell[0].startswith(("=", "+", "-", "@", "\t", "\r"))


def test_json_is_what_label_studios_own_converter_reads(films, answered, tmp_path):
    tasks = json.loads("".join(as_json(films, answered)))
    assert tasks[3]["data"] == {"title": "=1+1", "text": '"a", b\nc', "item_id": 7}
    assert tasks[3]["annotations"][0]["result"][0]["value"] == {"choices": ["Drama"]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the SDK's own, while it is imported
        converter = pytest.importorskip("label_studio_sdk.converter")
    config = (
        '<View><Text name="text" value="$title"/><Choices name="label" toName="text">'
        '<Choice value="Comedy"/><Choice value="Drama"/><Choice value="War"/></Choices></View>'
    )
    source = tmp_path / "tasks.json"
    source.write_text(json.dumps(tasks))
    converter.Converter(config, str(tmp_path)).convert_to_csv(str(source), str(tmp_path), is_dir=False, sep=",")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "result.csv").read_text())))
    assert [row["label"] for row in rows] == ["Drama"] * 4


def test_an_empty_project_exports_an_empty_list(films):
    assert json.loads("".join(as_json(films, []))) == []
    assert "".join(as_csv(films, [])).count("\n") == 1
