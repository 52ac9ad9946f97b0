"""`palate label consolidate`: the figures it gives, and what it says of bad input."""

from __future__ import annotations

import csv
import json

import pytest

from palate.cli import main

ANSWERS = """task,worker,label
1,ann,cat
1,bob,cat
1,cem,dog
2,ann,dog
2,bob,dog
2,cem,dog
3,ann,cat
3,bob,cat
"""
TRUTH = "task,label\n1,cat\n2,dog\n3,dog\n9,dog\n"


@pytest.fixture
def consolidate(tmp_path, monkeypatch, capsys):
    """Runs the command on texts; its exit code, what it printed to both outputs, and the JSON if it wrote one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*more, answers=ANSWERS, truth=None, method="majority"):
        for name, content in (("answers.csv", answers), ("truth.csv", truth)):
            if content is not None:
                data = content if isinstance(content, bytes) else content.encode()
                (tmp_path / name).write_bytes(data)
        arguments = ["--answers", "answers.csv", "--method", method, "--json", "out.json", *more]
        try:
            main(["label", "consolidate", *arguments, *(["--truth", "truth.csv"] if truth is not None else [])])
            code = 0
        except SystemExit as stop:
            code = stop.code
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        file = tmp_path / "out.json"
        return code, said.out, said.err, json.loads(file.read_text()) if file.is_file() else None

    return run


def test_labels_accuracy_and_skill(consolidate):
    code, out, err, found = consolidate(truth=TRUTH)
    assert (code, err) == (0, "")
    assert found["method"] == "majority"
    assert (found["tasks"], found["answers"], found["replaced"]) == (3, 8, 0)
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found["truth"] == {"tasks": 3, "unanswered": 1}
    assert found["labels"]["1"] == {
        "label": "cat",
        "confidence": pytest.approx(2 / 3, abs=1e-6),
        "answers": 3,
        "posterior": {"cat": pytest.approx(2 / 3, abs=1e-6), "dog": pytest.approx(1 / 3, abs=1e-6)},
    }
    assert found["workers"]["ann"] == {
        "skill": pytest.approx(8 / 9, abs=1e-6),
        "answers": 3,
        "accuracy": pytest.approx(2 / 3, abs=1e-6),
    }
    assert found["workers"]["cem"]["skill"] == pytest.approx(2 / 3, abs=1e-6)
    assert found["agreement"]["percent"] == pytest.approx((1 / 3 + 1 + 1) / 3, abs=1e-6)
    assert "Accuracy 0.6667 on 3 tasks of the truth; 1 more were never answered." in out
    assert "cem" in out


@pytest.mark.parametrize("method", ["majority", "dawid-skene", "mace"])
def test_every_method_without_a_truth(consolidate, method):
    code, _, _, found = consolidate(method=method)
    assert (code, found["method"], found["accuracy"]) == (0, method, None)
    assert {task: row["label"] for task, row in found["labels"].items()} == {"1": "cat", "2": "dog", "3": "cat"}
    assert all("accuracy" not in row for row in found["workers"].values())


def test_a_model_votes_too(consolidate, tmp_path):
    (tmp_path / "model.csv").write_text("task,dog,bird,cat\n1,0.9,0,0.1\n2,0.9,0.05,0.05\n3,.2,.2,.6\n8,0,0,1\n")
    code, _, _, found = consolidate("--probabilities", "model.csv", method="crowdlab")
    assert code == 0
    assert found["labels"]["2"]["label"] == "dog"
    assert "bird" in found["labels"]["3"]["posterior"]
    assert found["workers"]["ann"]["weight"] > 0


def test_the_last_answer_of_a_worker_counts(consolidate):
    changed = ANSWERS + "3,bob,dog\n3,ann,dog\n"
    code, _, err, found = consolidate(answers=changed)
    assert (code, found["replaced"], found["answers"]) == (0, 2, 8)
    assert found["labels"]["3"]["label"] == "dog"
    assert err.startswith("2 answers were replaced")


def test_one_worker_alone(consolidate):
    code, out, _, found = consolidate(answers="task,worker,label\n1,ann,cat\n2,ann,dog\n", method="ds")
    assert (code, found["labels"]["2"]["label"], found["workers"]["ann"]["answers"]) == (0, "dog", 2)
    assert "No task has two answers" in out


@pytest.mark.parametrize(
    "text",
    [
        ANSWERS.encode("utf-8-sig"),
        ANSWERS.replace("\n", "\r\n"),
        ANSWERS.replace("worker", "person", 1),
        "\n" + ANSWERS,
        ANSWERS.replace("task,worker,label", "task , worker,label "),
        ANSWERS.replace(",cat", ", cat ").replace("\n2,", '\n"2",'),
    ],
    ids=["byte order mark", "windows", "an export's column", "an empty line first", "blanks in the header", "quotes"],
)
def test_files_as_other_programs_write_them(consolidate, text):
    code, _, _, found = consolidate(answers=text)
    assert (code, found["answers"], found["labels"]["1"]["label"]) == (0, 8, "cat")


def test_columns_in_any_order_with_others_between(consolidate):
    text = "label,seconds,worker,task\ncat,3,ann,1\ndog,2,bob,2\n"
    code, _, _, found = consolidate(answers=text)
    assert (code, found["labels"]["2"]["label"]) == (0, "dog")


def test_labels_as_csv_safe_for_spreadsheets(consolidate, tmp_path):
    text = 'task,worker,label\n=1+1,ann,-1\n2,ann,+x\n"a,b",ann,né\n'
    assert consolidate("--out", "labels.csv", answers=text)[0] == 0
    with open(tmp_path / "labels.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["task"]: row["label"] for row in rows} == {"'=1+1": "-1", "2": "'+x", "a,b": "né"}
    assert {(row["confidence"], row["answers"]) for row in rows} == {("1.0", "1")}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "empty"),
        ("task,worker,label\n", "no rows"),
        ("task,label\n1,cat\n", "no column 'worker'"),
        ("item;who;what\n1;2;3\n", "no column 'task'"),
        ("task,task,worker,label\n1,1,a,b\n", "two columns 'task'"),
        ("task,worker,label\n1,ann,cat\n2,bob\n", "row 3: the row has 2 columns"),
        ("task,worker,label\n1,ann,cat\n2,bob,dog,x\n", "row 3: the row has 4 columns"),
        ("task,worker,label\n1,ann,cat\n2,bob,\n", "row 3, column label: the cell is empty"),
        ("task,worker,label\n1,  ,cat\n", "row 2, column worker: the cell is empty"),
        (ANSWERS.encode("utf-16"), "UTF-16"),
        ("task,worker,label\n1,ann,caf\xe9\n".encode("latin-1"), "not UTF-8"),
        (bytes(range(256)), "binary"),
        (b"PAR1....", "Parquet"),
    ],
)
def test_answers_that_are_none_end_with_2_and_name_the_place(consolidate, text, told):
    code, out, err, found = consolidate(answers=text)
    assert (code, out, found) == (2, "", None)
    assert "answers.csv" in err
    assert told in err


@pytest.mark.parametrize(
    ("truth", "told"),
    [
        ("task,label\n8,cat\n9,dog\n", "not one task"),
        ("task,label\n1,bird\n", "not one label"),
        ("task,label\n1,cat\n1,dog\n", "row 3"),
        ("task,worker\n1,cat\n", "no column 'label'"),
    ],
)
def test_a_truth_that_does_not_fit_ends_with_2(consolidate, truth, told):
    code, out, err, found = consolidate(truth=truth)
    assert (code, out, found) == (2, "", None)
    assert told in err


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("task,cat,dog\n1,1,0\n2,1,0\n", "'3' for one"),
        ("task,cat,dog\n1,1,0\n2,1,1\n3,1,0\n", "sum to 2"),
        ("task,cat,dog\n1,1,0\n2,x,0\n3,1,0\n", "row 3, column cat"),
        ("task,cat,dog\n1,1,0\n2,-1,2\n3,1,0\n", "row 3, column cat"),
        ("task\n1\n", "a column for each label"),
    ],
)
def test_probabilities_that_do_not_fit_end_with_2(consolidate, tmp_path, model, told):
    (tmp_path / "model.csv").write_text(model)
    code, _, err, found = consolidate("--probabilities", "model.csv", method="crowdlab")
    assert (code, found) == (2, None)
    assert told in err


@pytest.mark.parametrize(
    ("more", "method", "told"),
    [
        ((), "oracle", "majority, dawid-skene"),
        ((), "crowdlab", "--probabilities"),
        (("--probabilities", "answers.csv"), "majority", "--probabilities"),
        (("--truth", "nowhere.csv"), "majority", "no such file"),
        (("--answers", "nowhere.csv"), "majority", "no such file"),
        (("--answers", "."), "majority", "folder"),
        (("--json", "nowhere/out.json"), "majority", "no folder"),
        (("--json", "."), "majority", "folder"),
        (("--out", "nowhere/labels.csv"), "majority", "no folder"),
    ],
)
def test_options_that_do_not_fit_end_with_2(consolidate, more, method, told):
    code, out, err, found = consolidate(*more, method=method)
    assert (code, out, found) == (2, "", None)
    assert told in err
