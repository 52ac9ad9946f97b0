"""Every benchmark runs, at its smallest size, and the results have their shape. How fast is not tested."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*arguments):
    command = [sys.executable, "-m", "benchmarks", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.spark
@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_all_of_them(tmp_path):
    done = run("--quick", "--output", tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads((tmp_path / "results.json").read_text())
    assert found["quick"] is True
    assert found["machine"]["versions"]["numpy"]
    entries = {entry["name"]: entry for entry in found["results"]}
    listed = [line.partition(":")[0] for line in run("--list").stdout.splitlines()]
    assert list(entries) == listed
    for name, entry in entries.items():
        assert entry["peer_seconds"] > 0, name
        assert entry["ours_seconds"] > 0, name
        assert entry["ratio"] == pytest.approx(entry["peer_seconds"] / entry["ours_seconds"], rel=0.01), name
        assert len(entry["ours_all"]) == len(entry["peer_all"]) == entry["repeats"], name
        assert name in done.stdout, "each prints its line as it ends"
    for name in ("full_ranking", "ranking_metrics"):
        (quality,) = entries[name]["quality"].values()
        assert quality["peer"] == pytest.approx(quality["ours"]), f"{name}: both compute the same thing"
    table = (tmp_path / "results.md").read_text()
    assert "quick run" in table
    rows = [line for line in table.splitlines() if line.startswith("| ") and not line.startswith("| claim")]
    assert len(rows) == len(entries)
    assert all(row.count("|") == 7 for row in rows)


def test_an_unknown_name_is_refused(tmp_path):
    done = run("fastest", "--output", tmp_path)
    assert done.returncode == 2
    assert "fastest" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_folder_is_refused(tmp_path):
    done = run("--output", tmp_path / "nowhere")
    assert done.returncode == 2
    assert "nowhere" in done.stderr
