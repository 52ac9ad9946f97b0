"""The scripts as people run them: by spark-submit and by `palate job`, each a process of its own."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from pyarrow import parquet
from sklearn.datasets import load_digits

from palate.bundle import load_bundle
from palate.cli.job import job_command, jobs, spark_submit
from palate.cli.spark_classes import spark_classes, write_classes
from palate.errors import InputError, MissingDependencyError, PalateError, ParameterError
from palate.jvm import QUICK, quick_java
from palate.spark.jobs.digits import purity

pytestmark = [pytest.mark.spark, pytest.mark.slow, pytest.mark.timeout(2400)]
JOBS = ["digits", "evaluate", "pipeline", "prepare", "recommend", "segment", "train_content", "train_fm", "train_mf"]


def run(command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, capture_output=True, text=True, timeout=840, check=False, env={**os.environ, **environment}
    )


def palate(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return run([sys.executable, "-m", "palate.cli", *map(str, arguments)])


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    lines = [f"{user},{(user * 5 + n) % 23},{n % 5 + 1},{1_500_000_000 + n}" for user in range(20) for n in range(8)]
    (folder / "interactions.csv").write_text("user,item,rating,timestamp\n" + "\n".join(lines) + "\n")
    items = [
        f"{item},thing {item},{'old' if item % 2 else 'new'}|{'big' if item % 3 else 'small'}" for item in range(23)
    ]
    (folder / "items.csv").write_text("id,title,categories\n" + "\n".join(items) + "\n")
    return folder


def test_the_list_of_jobs_is_the_folder_of_scripts() -> None:
    found = jobs()
    assert list(found) == JOBS
    assert all(line.endswith(".") for _, line in found.values())
    help_ = palate("job", "--help")
    assert help_.returncode == 0
    assert all(name in help_.stdout for name in JOBS)


@pytest.mark.parametrize("name", JOBS)
def test_every_script_shows_help_without_starting_spark(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script, _ = jobs()[name]
    monkeypatch.setattr(sys, "argv", [str(script), "--help"])
    runpy.run_path(str(script), run_name="__main__")
    said = capsys.readouterr()
    assert said.out.startswith(f"Usage: {name}")
    assert "start Spark" not in said.err


def test_digits_by_plain_spark_submit_as_the_docs_tell(tmp_path: Path) -> None:
    """The whole example, from the command line to clusters that mean something."""
    script, _ = jobs()["digits"]
    bin_, quick, out = Path(sys.executable).parent, f"spark.driver.extraJavaOptions={quick_java()}", tmp_path / "digits"
    command = [str(bin_ / "spark-submit"), "--master", "local[2]", "--conf", quick, str(script), "--output", str(out)]
    done = run(command, PATH=f"{bin_}{os.pathsep}{os.environ['PATH']}")
    assert done.returncode == 0, done.stderr
    assert "1,797 images in 10 clusters, purity 0.7" in done.stdout  # spark-submit joins what a script says
    table = parquet.read_table(out / "clusters").sort_by("row")
    told = json.loads((out / "job.json").read_text())
    assert told["purity"] == pytest.approx(purity(table["cluster"], table["label"]))
    docs = (Path(__file__).parents[2] / "docs" / "jobs.md").read_text()
    assert f"(purity {told['purity']:.3f})" in docs
    assert f"keep {told['variance_kept']:.0%}".replace("%", " %") in docs
    answer = load_bundle(out / "model").predict({"features": load_digits().data})
    assert answer["cluster"] == table["cluster"].to_pylist()
    picture = ElementTree.parse(out / "centres.svg").getroot()  # noqa: S314
    assert len(picture.findall("{*}text")) == 10
    assert len(picture.findall("{*}rect")) == 10 * 64


def test_purity() -> None:
    assert purity([0, 0, 0, 7, 7, 9], ["a", "a", "b", "b", "b", "a"]) == pytest.approx(5 / 6)


def test_bad_arguments_end_before_spark_starts(tmp_path: Path) -> None:
    for arguments, words in (
        (["prepare", "--input", tmp_path / "nothing", "--output", tmp_path / "out"], "no such file"),
        (["prepare", "--output", tmp_path / "out"], "Missing option '--input'"),
        (["no_such_job"], "pipeline, prepare, recommend"),
        (["--conf", "nonsense", "prepare"], "is not KEY=VALUE"),
    ):
        done = palate("job", *arguments)
        assert (done.returncode, words in done.stderr) == (2, True), done.stderr
        assert "Traceback" not in done.stderr
        assert "start Spark" not in done.stderr


@pytest.fixture(scope="module")
def prepared(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("prepared") / "data"
    done = palate("job", "--quick", "--master", "local[2]", "prepare", "--input", shop, "--output", data)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return data


def test_the_jobs_chained(shop: Path, prepared: Path, tmp_path: Path) -> None:
    data, model = prepared, tmp_path / "als"
    for arguments in (
        ["segment", "--input", data, "--output", tmp_path / "segments", "--item-segments", "3", "--user-segments", "2"],
        ["train_mf", "--input", data, "--output", model, "--set", "factors=4"],
        ["recommend", "--bundle", model, "--input", data, "--output", tmp_path / "top", "--n", "3"],
    ):
        done = palate("job", "--quick", "--master", "local[2]", *arguments)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
    assert json.loads((data / "data_card.json").read_text())["interactions"] == 160
    assert parquet.read_table(tmp_path / "segments" / "items").num_rows == 23
    top = parquet.read_table(tmp_path / "top" / "recommendations")
    assert top.num_rows == 60
    assert json.loads((tmp_path / "top" / "job.json").read_text())["served"] == 20
    again = palate("job", "--quick", "--master", "local[2]", "prepare", "--input", shop, "--output", data)
    assert (again.returncode, "--overwrite" in again.stderr) == (2, True)


def test_a_cluster_of_processes_prepares_the_same(shop: Path, prepared: Path, tmp_path: Path) -> None:
    home = tmp_path / "spark"  # a cluster of local-cluster[...] works below SPARK_HOME
    home.mkdir()
    for entry in spark_submit().parents[1].iterdir():
        (home / entry.name).symlink_to(entry)
    master, out = "local-cluster[2,1,1024]", tmp_path / "data"
    arguments = ["--input", str(shop), "--output", str(out)]
    command, environment = job_command("prepare", arguments, master=master, quick=True)
    done = run(command, **{**environment, "SPARK_HOME": str(home)})
    assert done.returncode == 0, done.stderr
    assert json.loads((out / "job.json").read_text())["master"] == master
    assert json.loads((prepared / "job.json").read_text())["master"] == "local[2]"
    assert (out / "data_card.json").read_bytes() == (prepared / "data_card.json").read_bytes()


def test_quick_is_told_to_the_executors_too() -> None:
    for quick in (True, False):
        command, _ = job_command("prepare", quick=quick)
        told = [part.partition("=")[0] for part in command if QUICK in part]
        assert told == ["spark.driver.extraJavaOptions", "spark.executor.extraJavaOptions"] * quick


def test_the_classes_of_a_job_are_kept_for_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "share" / "classes.jsa"
    monkeypatch.setattr("palate.jvm.CLASSES", path)
    monkeypatch.setattr("palate.cli.spark_classes.CLASSES", path)
    assert quick_java() == QUICK

    def soon_over(*_: object, conf: dict[str, str], **__: object) -> tuple[list[str], dict[str, str]]:
        options = ["--driver-java-options", conf["spark.driver.extraJavaOptions"], "--version"]
        return [str(spark_submit()), *options], dict(os.environ)

    monkeypatch.setattr("palate.cli.spark_classes.job_command", soon_over)
    done = CliRunner().invoke(spark_classes)
    assert done.exit_code == 0, done.output
    assert str(path) in done.output
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    for master, executors in (("local[2]", True), ("spark://elsewhere:7077", False)):
        told = dict(
            part.split("=", 1) for part in job_command("prepare", master=master, quick=True)[0] if "Java" in part
        )
        assert str(path) in told["spark.driver.extraJavaOptions"]
        assert (str(path) in told["spark.executor.extraJavaOptions"]) == executors
    log = tmp_path / "loaded"
    java = f"{quick_java()} -Xlog:class+load:file={log}"
    assert run([str(spark_submit()), "--driver-java-options", java, "--version"]).returncode == 0
    loaded = [line for line in log.read_text().splitlines() if " org.apache.spark." in line]
    assert sum("shared objects file (top)" in line for line in loaded) > len(loaded) / 4


def test_classes_that_cannot_be_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "share").write_text("no folder")
    with pytest.raises(InputError, match="cannot be written"):
        write_classes(tmp_path / "share" / "classes.jsa")
    monkeypatch.setattr("palate.cli.spark_classes.job_command", lambda *_, **__: (["false"], {}))
    with pytest.raises(PalateError, match="failed"):
        write_classes(tmp_path / "classes.jsa")
    assert [each.name for each in tmp_path.iterdir()] == ["share"]


def test_a_spark_home_without_spark_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SPARK_HOME", str(tmp_path))
    with pytest.raises(MissingDependencyError, match="SPARK_HOME"):
        spark_submit()
    with pytest.raises(ParameterError, match="no job"):
        job_command("../prepare")
