"""A pipeline that runs: what it skips and what it never skips, what a failure stops, what a kill leaves, what it tells
MLflow."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import palate
from palate.cli.job import jobs
from palate.errors import ConflictError
from palate.jvm import QUIET_LOGS, quick_java
from palate.spark.jobs.pipeline import command
from palate.spark.pipeline.commands import pipeline
from palate.spark.pipeline.digests import Digests
from palate.spark.pipeline.options import open_pipeline
from palate.spark.pipeline.plan import plan
from palate.spark.pipeline.state import State

pytestmark = pytest.mark.spark

STEPS = """
vars: {n: 2, share: 0.2}
steps:
  prepare:
    options: {input: raw, output: out/prepared, test: "${vars.share}"}
  popular:
    job: train_mf
    options: {input: "${prepare.output}", output: out/popular, model: popularity}
  content:
    job: train_content
    options: {input: "${prepare.output}", output: out/content}
  top:
    job: recommend
    options: {bundle: "${popular.output}", input: "${prepare.output}", output: out/top, n: "${vars.n}"}
"""
KILLED = """
import os, runpy, signal, sys
target = sys.argv.pop(1)
def watch(event, arguments):
    if event == "os.rename" and os.fspath(arguments[1]) == target:
        os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(watch)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
Run = Callable[..., tuple[int, dict[str, str]]]


def outcomes(said: str) -> dict[str, str]:
    """Step to outcome, from the table at the end."""
    rows = [row for row in said[said.rindex("outcome") :].splitlines()[1:] if len(row.split()) > 1]
    words = ("ran", "unchanged", "failed", "blocked", "stopped", "left out")
    return {row.split()[0]: next(word for word in words if row.split(None, 1)[1].startswith(word)) for row in rows}


@pytest.fixture
def file(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The pipeline, with the shop's data beside it."""
    monkeypatch.setenv("PALATE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")
    shutil.copytree(shop, tmp_path / "raw")
    (tmp_path / "shop.yaml").write_text(STEPS)
    return tmp_path / "shop.yaml"


@pytest.fixture
def run(job: Any, file: Path) -> Run:
    """Runs it in the session of the tests: exit code and outcomes."""

    def run(*arguments: str) -> tuple[int, dict[str, str]]:
        code, said = job(command, file, "--no-track", *arguments)
        assert "Traceback" not in said, said
        return code, outcomes(said)

    return run


def reasons(file: Path, *settings: str) -> dict[str, str]:
    """Step to why it would run, of those that would."""
    opened = open_pipeline(file, settings, None, None)
    found = plan(opened.graph, opened.state, Digests(opened.state.digests))
    return {name: verdict.reason for name, verdict in found.items() if verdict.runs}


ALL = ["prepare", "popular", "content", "top"]


def test_only_what_something_has_changed_for_runs_again(run: Run, file: Path) -> None:
    folder = file.parent
    assert run() == (0, dict.fromkeys(ALL, "ran"))
    assert reasons(file) == {}
    assert run() == (0, dict.fromkeys(ALL, "unchanged"))

    raw = folder / "raw" / "interactions.csv"  # one byte of an input, its size and time left as they were
    before, stamp = raw.read_bytes(), raw.stat()
    raw.write_bytes(before[:-2] + bytes([before[-2] ^ 1]) + before[-1:])
    os.utime(raw, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    changed = reasons(file)
    assert list(changed) == ALL
    assert changed["prepare"].startswith("input changed")
    assert changed["popular"] == "after prepare"
    raw.write_bytes(before)
    os.utime(raw)
    assert reasons(file) == {}

    (folder / "raw" / "more.csv").write_text("user,item\n")  # a file more
    assert reasons(file)["prepare"].startswith("input changed")
    (folder / "raw" / "more.csv").unlink()

    (folder / "raw" / "nowhere").symlink_to("nothing")  # neither a link to nothing nor a pipe is in the way
    os.mkfifo(folder / "raw" / "pipe")
    assert reasons(file)["prepare"].startswith("input changed")
    (folder / "raw" / "nowhere").unlink()
    (folder / "raw" / "pipe").unlink()

    assert reasons(file, "n=3") == {"top": "n 2 -> 3"}
    assert reasons(file, "popular.set.prior=3") == {"popular": "set - -> prior=3", "top": "after popular"}
    assert list(reasons(file, "share=0.3")) == ALL

    table = next((folder / "out" / "top" / "recommendations").glob("*.parquet"))  # a tampered output
    whole = table.read_bytes()
    table.write_bytes(whole[:100] + bytes([whole[100] ^ 1]) + whole[101:])
    assert "output was changed" in reasons(file)["top"]
    table.unlink()
    assert "output was changed" in reasons(file)["top"]
    shutil.rmtree(folder / "out" / "top")
    assert "output is gone" in reasons(file)["top"]
    assert run() == (0, {**dict.fromkeys(ALL, "unchanged"), "top": "ran"})

    created = (folder / "out" / "popular" / "manifest.json").read_bytes()  # a bundle that is changed is made again
    (folder / "out" / "popular" / "manifest.json").write_bytes(created + b" ")
    assert run() == (0, {**dict.fromkeys(ALL, "unchanged"), "popular": "ran", "top": "ran"})
    assert not [path.name for path in (folder / "out").iterdir() if path.name.startswith(".")]
    assert run("--set", "n=3", "--only", "content") == (0, {**dict.fromkeys(ALL, "left out"), "content": "unchanged"})
    code, found = run("--set", "n=3", "--from", "popular", "--force")
    assert (code, found) == (0, {"prepare": "left out", "popular": "ran", "content": "left out", "top": "ran"})
    (folder / "home" / "pipelines" / "shop" / "steps" / "top.json").write_text("{")
    assert reasons(file, "n=3") == {"top": "never ran"}


def test_a_step_that_fails_stops_those_that_need_it_and_no_other(run: Run, file: Path, job: Any) -> None:
    code, found = run("--set", "popular.wings=2")
    assert (code, found) == (2, {"prepare": "ran", "popular": "failed", "content": "ran", "top": "blocked"})
    assert reasons(file, "popular.wings=2") == {"popular": "failed", "top": "never ran"}
    code, found = run()
    assert (code, found) == (0, {"prepare": "unchanged", "popular": "ran", "content": "unchanged", "top": "ran"})
    bundle = file.parent / "out" / "popular" / "manifest.json"
    before = bundle.read_bytes()
    assert run("--set", "popular.wings=2", "--until", "popular")[0] == 2
    assert bundle.read_bytes() == before  # the old one is back


def test_an_interruption_stops_what_runs_and_the_next_run_goes_on(job: Any, run: Run, file: Path) -> None:
    begun = file.parent / "home" / "pipelines" / "shop" / "steps" / "prepare.json"

    def interrupt() -> None:
        while not begun.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    code, said = job(command, file, "--no-track")
    assert (code, "Stopped." in said) == (130, True), said
    found = outcomes(said)
    assert found == {**dict.fromkeys(ALL, "stopped"), "prepare": found["prepare"]}
    assert not list(file.parent.glob("out/.*"))
    code, found = run()
    assert (code, {name: found[name] for name in ALL[1:]}) == (0, dict.fromkeys(ALL[1:], "ran"))
    assert reasons(file) == {}


def test_what_the_pipeline_did_not_write_is_not_replaced(job: Any, file: Path) -> None:
    out = file.parent / "out"
    for folder, words in ((out / "prepared", "something that no job wrote"), (out / "top", "a job wrote elsewhere")):
        folder.mkdir(parents=True)
        (folder / ("mine.txt" if folder.name == "prepared" else "job.json")).write_text("{}")
        code, said = job(command, file, "--no-track", "--overwrite" if folder.name == "prepared" else "--force")
        assert (code, words in said, "Traceback" in said) == (2, True, False), said
        assert [path.name for path in folder.iterdir()]
        shutil.rmtree(out)
    code, said = job(command, file, "--no-track", "--only", "top")
    assert (code, "has not written it yet" in said) == (2, True), said
    file.write_text(STEPS.replace("out/content}", "out/content}\n    inputs: [notes]"))
    code, said = job(command, file, "--no-track")
    assert (code, "notes: step content reads it (inputs), and it is not there" in said) == (2, True), said
    code, said = job(command, file, "--no-track", "--only", "bottom")
    assert (code, "no step 'bottom'" in said) == (2, True), said


def test_mlflow_has_the_pipeline_with_its_steps_and_their_runs_nested(job: Any, file: Path, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    file.write_text(STEPS.replace("model: popularity", "model: popularity, register: true, name: shop"))
    assert job(command, file, "--set", "content.wings=1", "--parallel", "3")[0] == 2
    assert job(command, file, "--set", "n=3", "--only", "prepare", "--only", "top")[0] == 0
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'home' / 'mlflow.db'}")
    runs = client.search_runs([one.experiment_id for one in client.search_experiments()], order_by=["start_time"])
    parents = [one for one in runs if "mlflow.parentRunId" not in one.data.tags]
    assert [one.info.run_name for one in parents] == ["shop", "shop"]
    assert [one.info.status for one in parents] == ["FAILED", "FINISHED"]
    assert parents[0].data.tags["palate.failed"] == "content"
    assert parents[1].data.tags["palate.unchanged"] == "prepare"

    def nested(parent: Any) -> dict[str, Any]:
        return {one.info.run_name: one for one in runs if one.data.tags.get("mlflow.parentRunId") == parent.info.run_id}

    first, second = (nested(parent) for parent in parents)
    assert {name: one.data.tags["palate.outcome"] for name, one in first.items()} == {
        "prepare": "ran",
        "popular": "ran",
        "content": "failed",
        "top": "ran",
    }
    assert {name: one.info.status for name, one in first.items()}["content"] == "FAILED"
    assert first["prepare"].data.params["test"] == "0.2"
    assert first["prepare"].data.metrics["seconds"] > 0
    assert "seconds.split" in first["prepare"].data.metrics
    assert list(nested(first["popular"])) == ["train_mf popularity"]  # the job's own run, which registers its model
    assert {name: one.data.tags["palate.outcome"] for name, one in second.items()} == {
        "prepare": "unchanged",
        "top": "ran",
    }
    prints = [each["prepare"].data.tags["palate.fingerprint"] for each in (first, second)]
    assert prints[0] == prints[1]
    assert first["top"].data.tags["palate.fingerprint"] != second["top"].data.tags["palate.fingerprint"]
    spans = {name: (one.info.start_time, one.info.end_time) for name, one in first.items()}
    assert spans["popular"][0] < spans["content"][1]  # side by side,
    assert spans["content"][0] < spans["popular"][1]
    assert spans["prepare"][1] <= min(spans["popular"][0], spans["content"][0])  # and after what they need


@pytest.mark.slow
def test_a_killed_driver_resumes_where_it_was(run: Run, file: Path, tmp_path: Path) -> None:
    bundle, script = tmp_path / "out" / "popular", jobs()["pipeline"][0]
    submit = f"--master local[1] --conf 'spark.driver.extraJavaOptions={QUIET_LOGS} {quick_java()}' pyspark-shell"
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(bundle), str(script), str(file), "--no-track", "--parallel", "1"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYSPARK_SUBMIT_ARGS": submit},
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not bundle.exists()
    assert reasons(file) == {"popular": "did not finish", "content": "never ran", "top": "never ran"}
    code, found = run()
    assert (code, found) == (0, {"prepare": "unchanged", "popular": "ran", "content": "ran", "top": "ran"})
    record = json.loads((tmp_path / "home" / "pipelines" / "shop" / "steps" / "popular.json").read_text())
    assert record["status"] == "done"


@pytest.mark.slow
def test_changed_code_is_not_skipped(run: Run, file: Path, tmp_path: Path) -> None:
    assert run("--only", "prepare")[0] == 0
    package = Path(palate.__file__).parent
    copy = tmp_path / "copy"
    for folder in (package, jobs()["pipeline"][0].parent):
        shutil.copytree(folder, copy / folder.name, ignore=shutil.ignore_patterns("__pycache__"))

    def state() -> str:
        told = subprocess.run(
            [sys.executable, "-m", "palate.cli", "pipeline", "status", str(file)],
            cwd=copy,
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONPATH": str(copy)},
        )
        return next(line for line in told.stdout.splitlines() if " prepare " in line)

    assert "done" in state()
    for changed in (copy / "palate" / "dataset" / "ids.py", copy / "spark_jobs" / "prepare.py"):
        before = changed.read_bytes()
        changed.write_bytes(before + b"# changed\n")
        assert "stale: code changed" in state()
        changed.write_bytes(before)


def test_two_runs_at_once_are_refused_and_a_dead_one_s_lock_is_taken_over(file: Path, tmp_path: Path) -> None:
    holder = (
        "import sys, time; from pathlib import Path; from palate.spark.pipeline.state import State\n"
        "with State(Path(sys.argv[1])).locked():\n    print('held', flush=True); time.sleep(300)"
    )
    state = tmp_path / "state"
    with subprocess.Popen([sys.executable, "-c", holder, str(state)], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            arguments = [str(file), "--no-track", "--state", str(state)]
            with pytest.raises(ConflictError, match=f"runs already: process {process.pid} on .* since 20"):
                CliRunner().invoke(command, arguments, catch_exceptions=False)
            assert CliRunner().invoke(command, [*arguments, "--dry-run"]).exit_code == 0
        finally:
            process.kill()
    with State(state).locked():
        assert str(os.getpid()) in (state / "lock").read_text()


def test_a_dry_run_and_a_status_change_nothing(file: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    done = CliRunner().invoke(pipeline, ["run", str(file), "--dry-run", "--until", "popular"], catch_exceptions=False)
    assert done.exit_code == 0
    assert [line.split()[:2] for line in done.stderr.splitlines()[1:]] == [["prepare", "run"], ["popular", "run"]]
    assert "never run" in CliRunner().invoke(pipeline, ["status", str(file)], catch_exceptions=False).stdout
    assert sorted(tmp_path.rglob("*")) == before
