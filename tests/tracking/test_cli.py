"""`palate promote`."""

from __future__ import annotations

import pytest

from palate.cli import main
from palate.models.kmeans import KMeans
from palate.tracking import Tracker


def run(*arguments: str) -> int:
    try:
        main(["promote", *arguments])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


@pytest.fixture
def logged(tracker: Tracker) -> Tracker:
    for _ in range(2):
        tracker.log_model(KMeans([[0.0]]), run_name="r", register_as="palate-recommender")
    return tracker


def test_aliases_move(logged: Tracker, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("1") == 0
    assert capsys.readouterr().out == "palate-recommender: champion moved from nothing to version 1.\n"
    assert run("2", "--model", "palate-recommender") == 0
    assert capsys.readouterr().out == "palate-recommender: champion moved from version 1 to version 2.\n"
    assert run("2") == 0
    assert "already" in capsys.readouterr().out
    assert run("1", "--alias", "challenger") == 0
    assert logged.resolve("palate-recommender", "challenger")[0] == "1"
    assert logged.resolve("palate-recommender", "champion")[0] == "2"


@pytest.mark.parametrize("version", ["3", "0", "latest", "1.0", "", "x" * 10_000, "1\n2"])
def test_an_unknown_version(logged: Tracker, version: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(version) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "It has: 1, 2." in said.err
    assert len(said.err) < 500


def test_an_unknown_model_or_alias(logged: Tracker, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("1", "--model", "other") == 2
    assert "There are: palate-recommender." in capsys.readouterr().err
    assert run("1", "--alias", "winner") == 2
    assert "winner" in capsys.readouterr().err


def test_no_registry(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PALATE_TRACKING_URI", "http://127.0.0.1:9")
    assert run("1") == 2
    assert "does not answer" in capsys.readouterr().err
