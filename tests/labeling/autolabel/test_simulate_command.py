"""`palate label simulate`, as somebody types it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from palate.cli import main

Write = Callable[..., Path]


def simulate(*arguments: object) -> int:
    try:
        main(["label", "simulate", *map(str, arguments)])
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def test_the_report_adds_up(
    topics_file: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.json"
    one, two = topics_file(300, name="one.csv"), topics_file(200, name="two.csv")
    common = ("--text", "text", "--label", "label", "--features", "tfidf", "--target", 0.9)
    assert simulate("--data", one, "--data", two, *common, "--json", out) == 0
    report = json.loads(out.read_text())
    assert report["items"] == 500
    assert report["automated_share"] == pytest.approx((500 - report["human_labels"]) / 500)
    assert report["automated_accuracy"] >= 0.9
    assert report["human_answers"] == report["human_labels"]
    assert report["audit"]["low"] <= report["audit"]["accuracy"] <= report["audit"]["high"]
    assert [entry["round"] for entry in report["rounds"]] == list(range(1, len(report["rounds"]) + 1))
    assert report["rounds"][-1]["bound"] >= 0.9
    printed = capsys.readouterr()
    assert "Labeled automatically" in printed.out
    assert printed.err == ""
    first = out.read_bytes()
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert simulate("--data", one, "--data", two, *common, "--json", out) == 0
    assert out.read_bytes() == first  # the same seed, the same report
    told = capsys.readouterr().err.splitlines()
    assert [line.partition(":")[0] for line in told] == [f"Round {entry['round']}" for entry in report["rounds"]]


def test_a_table_with_people_who_err_and_a_budget(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, 300)
    path, out = tmp_path / "table.csv", tmp_path / "out.json"
    heights = rng.normal(size=300) + 6 * label
    rows = [f"{value:.3f},{'red' if value > 0 else ''},{one}" for value, one in zip(heights, label, strict=True)]
    path.write_text("height,colour,kind\n" + "\n".join(rows) + "\n", encoding="utf-8-sig")
    people = ("--workers", 5, "--worker-accuracy", 0.85, "--budget", 400)
    assert simulate("--data", path, "--label", "kind", "--target", 0.9, *people, "--json", out) == 0
    report = json.loads(out.read_text())
    assert report["human_labels"] < report["human_answers"] <= 400 + 5
    assert report["automated_accuracy"] is None or report["automated_accuracy"] >= 0.9


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert simulate(*arguments) == 2
    return capsys.readouterr().err


def test_bad_input_is_refused_with_what_and_where(
    topics_file: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = topics_file(100)
    text = ("--text", "text", "--label", "label")
    assert "no column 'no'" in refused(capsys, "--data", good, "--text", "no", "--label", "label")
    assert "no column 'no'" in refused(capsys, "--data", good, "--text", "text", "--label", "no")
    assert "cannot also be" in refused(capsys, "--data", good, "--text", "label", "--label", "label")
    assert "between 0 and 1" in refused(capsys, "--data", good, *text, "--target", 95)
    assert "does not pay" in refused(capsys, "--data", good, *text, "--features", "tfidf", "--budget", 3)
    assert "--workers" in refused(capsys, "--data", good, *text, "--worker-accuracy", 0.9)
    assert "worker_accuracy" in refused(capsys, "--data", good, *text, "--workers", 3, "--worker-accuracy", 1.5)
    assert "cannot be read" in refused(capsys, "--data", tmp_path / "none.csv", *text)
    assert "there is no folder" in refused(capsys, "--data", good, *text, "--json", tmp_path / "none" / "out.json")
    latin = tmp_path / "latin.csv"
    latin.write_bytes("text,label\ncafé,a\n".encode("latin-1"))
    assert "not UTF-8" in refused(capsys, "--data", latin, *text)
    empty = tmp_path / "empty.csv"
    empty.write_bytes(b"")
    assert "cannot be read" in refused(capsys, "--data", empty, *text)
    blank = tmp_path / "blank.csv"
    blank.write_text("text,label\n,a\n b,\n  ,c\n", encoding="utf-8")
    assert "no row has both" in refused(capsys, "--data", blank, *text)
    ragged = tmp_path / "ragged.csv"
    ragged.write_text("text,label\na,b\na,b,c\n", encoding="utf-8")
    assert "cannot be read" in refused(capsys, "--data", ragged, *text)
    assert "cannot be read" in refused(capsys, "--data", tmp_path, *text)
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1")
    assert "cannot be read" in refused(capsys, "--data", broken, *text)
    dots = tmp_path / "dots.csv"
    dots.write_text("text,label\n" + "...,a\n" * 60, encoding="utf-8")
    simulate("--data", dots, *text, "--features", "tfidf")
    assert "Traceback" not in capsys.readouterr().err


def test_rows_without_text_or_label_are_left_out_and_counted(tmp_path: Path) -> None:
    rows = ["good film,yes", "bad film,no"] * 40 + [",yes", "no label,", '"two\nlines",no']
    path, out = tmp_path / "films.csv", tmp_path / "out.json"
    path.write_text("text,label\n" + "\n".join(rows), encoding="utf-8")
    assert simulate("--data", path, "--text", "text", "--label", "label", "--features", "tfidf", "--json", out) == 0
    report = json.loads(out.read_text())
    assert (report["items"], report["left_out"]) == (81, 2)


@pytest.mark.slow
def test_banking_questions_by_words_alone(test_data: Path, tmp_path: Path) -> None:
    """A real set: a fifth of banking77's labels, so that it is quick."""
    path, out = test_data / "banking77" / "train.csv", tmp_path / "out.json"
    if not path.is_file():
        pytest.skip("needs banking77/ in PALATE_TEST_DATA")
    import pandas as pd

    table = pd.read_csv(path)
    chosen = sorted(table["category"].unique())[::5]
    table[table["category"].isin(chosen)].to_csv(tmp_path / "some.csv", index=False)
    data = ("--data", tmp_path / "some.csv", "--text", "text", "--label", "category", "--features", "tfidf")
    assert simulate(*data, "--target", 0.95, "--json", out) == 0
    report = json.loads(out.read_text())
    assert report["automated_accuracy"] >= 0.945
    assert report["automated_share"] >= 0.6
