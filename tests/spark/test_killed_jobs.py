"""A job killed in the middle of writing: its output is the old one or none, and the next run is not in its way.

Each job runs as a process that kills itself with SIGKILL in the very moment when its output, all of it written beside
its place, is about to be renamed (an audit hook sees the call). An old output has been moved aside by then. These
processes are forks of one that has a Spark session and has computed nothing: so the JVM is started, and the jobs are
imported, once for all.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from palate.cli.job import jobs
from palate.spark.job import Report, output_directory
from palate.spark.jobs import digits, evaluate, prepare, recommend, segment, train, train_fm

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.spark, pytest.mark.slow]

KILLED = """
import json, os, runpy, signal, sys
from palate.jvm import QUIET_LOGS, quick_java
from palate.spark.jobs import digits, evaluate, prepare, recommend, segment, train, train_fm
from palate.spark.session import spark_session
config = {"spark.sql.shuffle.partitions": "1", "spark.driver.extraJavaOptions": f"{QUIET_LOGS} {quick_java()}"}
spark_session("killed", master="local[1]", config=config).range(1).collect()
for line in sys.stdin:
    target, *sys.argv = json.loads(line)
    def watch(event, arguments):
        if event == "os.rename" and os.fspath(arguments[1]) == target:
            os.kill(os.getpid(), signal.SIGKILL)
    child = os.fork()
    if not child:
        sys.addaudithook(watch)
        try:
            runpy.run_path(sys.argv[0], run_name="__main__")
        finally:
            os._exit(1)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
COMMANDS = {
    "prepare": prepare.command,
    "segment": segment.command,
    "digits": digits.command,
    "train_mf": train.train_mf,
    "train_content": train.train_content,
    "train_fm": train_fm.command,
    "recommend": recommend.command,
    "evaluate": evaluate.command,
}


@pytest.fixture(scope="module")
def arguments(spark: SparkSession, shop: Path, prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    from palate.spark.job import main

    bundle = tmp_path_factory.mktemp("killed") / "bundle"
    main(train.train_mf, ["--input", str(prepared), "--output", str(bundle), "--model", "popularity"])
    known = {
        "prepare": ["--input", shop],
        "segment": ["--input", prepared, "--item-segments", "2", "--user-segments", "2"],
        "digits": ["--components", "2", "--clusters", "2", "--restarts", "1"],
        "train_mf": ["--input", prepared, "--set", "factors=2"],
        "train_content": ["--input", prepared],
        "train_fm": ["--input", prepared, "--factors", "2", "--epochs", "1"],
        "recommend": ["--bundle", bundle, "--input", prepared, "--n", "2"],
        "evaluate": ["--bundle", bundle, "--input", prepared],
    }
    return {name: [str(argument) for argument in told] for name, told in known.items()}


@pytest.fixture(scope="module")
def killed() -> Iterator[Callable[..., None]]:
    """Runs a job that is killed when its output is about to take its place."""
    process = subprocess.Popen([sys.executable, "-c", KILLED], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None

    def run(name: str, output: Path, *arguments: str) -> None:
        told = [str(output), str(jobs()[name][0]), *arguments, "--output", str(output)]
        process.stdin.write(json.dumps(told) + "\n")
        process.stdin.flush()
        assert process.stdout.readline() == f"{-signal.SIGKILL}\n"

    with process:
        yield run


def whole(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_killed_job_leaves_no_half_written_table_and_runs_again(
    name: str, job: Any, killed: Any, arguments: dict[str, list[str]], tmp_path: Path
) -> None:
    output = tmp_path / "out"
    replaces = any(option.name == "overwrite" for option in COMMANDS[name].params)
    before: dict[str, bytes] = {}
    if replaces:
        with output_directory(output, Report(name, {}), overwrite=False) as folder:
            (folder / "old").write_text("whole")
        before = whole(output)
    killed(name, output, *arguments[name], *(["--overwrite"] if replaces else []))
    left = sorted(path.name for path in tmp_path.iterdir())
    assert any(".partial-" in each or each.startswith(".tmp-") for each in left), left
    assert not output.exists()
    if replaces:  # a run without --overwrite finds the old one again, and says that it is in the way
        code, said = job(COMMANDS[name], *arguments[name], "--output", output)
        assert (code, "Give --overwrite" in said) == (2, True), said
        assert whole(output) == before
    code, said = job(COMMANDS[name], *arguments[name], "--output", output, *(["--overwrite"] if replaces else []))
    assert code == 0, said
    assert whole(output)
    assert "old" not in whole(output)
    assert not [path.name for path in tmp_path.iterdir() if ".partial-" in path.name or ".replaced-" in path.name]


def test_what_a_living_process_writes_is_left_alone(tmp_path: Path) -> None:
    alive, gone = os.getppid(), 2**22 + 1  # above any process id of Linux
    for pid in (alive, gone):
        (tmp_path / f".out.partial-{pid}").mkdir()
        (tmp_path / f".out.partial-{pid}" / "part-0").write_text("half")
    (tmp_path / f".other.partial-{gone}").mkdir()
    (tmp_path / f".out.partial-elsewhere-{gone}").mkdir()
    with output_directory(tmp_path / "out", Report("job", {}), overwrite=False) as folder:
        (folder / "table").write_text("whole")
    names = {f".out.partial-{alive}", f".other.partial-{gone}", f".out.partial-elsewhere-{gone}", "out"}
    assert {path.name for path in tmp_path.iterdir()} == names
    assert whole(tmp_path / f".out.partial-{alive}") == {"part-0": b"half"}


def test_an_old_output_comes_back_when_its_replacement_fails(tmp_path: Path) -> None:
    output = tmp_path / "out"
    with output_directory(output, Report("job", {}), overwrite=False) as folder:
        (folder / "table").write_text("old")
    with pytest.raises(FileNotFoundError), output_directory(output, Report("job", {}), overwrite=True) as folder:
        shutil.copy(folder / "missing", folder / "table")
    assert (output / "table").read_text() == "old"
    shutil.move(output, tmp_path / f".out.replaced-{2**22 + 1}")
    with output_directory(output, Report("job", {}), overwrite=True) as folder:
        assert (output / "table").read_text() == "old"
        (folder / "table").write_text("new")
    assert (output / "table").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
