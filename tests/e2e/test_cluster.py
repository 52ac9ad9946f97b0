"""A cluster of two executors on machines that have Python and Spark, and nothing else: `palate spark-package` brings
the rest. A process is killed in the middle of every stage's work."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pyspark", reason="needs pyspark: pip install 'palate[spark]'")
pytest.importorskip("torch", reason="needs torch: pip install 'palate[torch]'")

from palate.cli.job import spark_submit
from palate.jvm import FAST_ARROW, QUIET_LOGS, quick_java

pytestmark = [pytest.mark.spark, pytest.mark.slow, pytest.mark.timeout(2700)]
ROOT = Path(__file__).parents[2]
DISK = 15e9
"""The environment, packed, and for each executor once more packed and unpacked."""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What cluster_job.py printed."""
    folder = tmp_path_factory.mktemp("cluster")
    if shutil.disk_usage(folder).free < DISK:
        pytest.skip(f"needs {DISK / 1e9:.0f} GB of disk below {folder}: free some, or set TMPDIR to where they are")
    packing = [sys.executable, "-m", "palate.cli", "spark-package", "--compress", "none", "--output", folder / "dist"]
    subprocess.run(packing, check=True, cwd=ROOT)
    home = folder / "spark"  # a cluster of local-cluster[...] works below SPARK_HOME
    home.mkdir()
    for entry in spark_submit().parents[1].iterdir():
        if entry.name != "work":  # which another local-cluster left there
            (home / entry.name).symlink_to(entry)
    marks, scratch = folder / "marks", folder / "scratch"
    marks.mkdir()
    scratch.mkdir()
    script = shutil.copy(Path(__file__).with_name("cluster_job.py"), folder)
    bare = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"
    assert subprocess.run([bare, "-c", "import palate"], capture_output=True, cwd=folder).returncode, "palate is there"
    java = f"{FAST_ARROW} {quick_java()} -Djava.io.tmpdir"
    settings = {
        "spark.driver.extraJavaOptions": f"{QUIET_LOGS} {java}={scratch}",
        "spark.executor.extraJavaOptions": f"{java}={home}/work/{{{{APP_ID}}}}/{{{{EXECUTOR_ID}}}}",
        "spark.files.useFetchCache": "false",  # one more copy of the archive for each executor
        "spark.executorEnv.PYTHONPATH": "palate-environment",
        "spark.pyspark.python": str(bare),
        "spark.pyspark.driver.python": sys.executable,
        "spark.sql.shuffle.partitions": "4",
        "spark.default.parallelism": "8",  # more than can run at once: a barrier stage must not go by it
        "spark.scheduler.barrier.maxConcurrentTasksCheck.interval": "1s",  # a killed executor is back after a while
        "spark.scheduler.barrier.maxConcurrentTasksCheck.maxFailures": "300",
        "spark.sql.execution.arrow.maxRecordsPerBatch": "500",  # a task's rows are several batches
    }
    command = [
        home / "bin" / "spark-submit",
        *("--master", "local-cluster[2,1,2048]"),
        *("--archives", f"{folder / 'dist' / 'palate-environment.tar'}#palate-environment"),
        *(part for key, value in settings.items() for part in ("--conf", f"{key}={value}")),
        *(script, marks),
    ]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYSPARK", "PYTHON"))}
    try:
        ran = subprocess.run(
            [str(part) for part in command],
            capture_output=True,
            text=True,
            cwd=folder,
            env={**environment, "SPARK_HOME": str(home)},
            timeout=2400,
        )
        assert ran.returncode == 0, ran.stderr[-4000:]
        yield json.loads(ran.stdout.splitlines()[-1])
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # the environment, unpacked in each executor, is over a gigabyte


def test_workers_import_palate_from_the_archive(told: dict[str, Any]) -> None:
    assert len(told["workers"]) == 2
    for worker in told["workers"]:
        assert "/palate-environment/palate/" in worker["palate"]
        assert not worker["palate"].startswith(str(ROOT))


STAGES = ["PCA", "KMeans", "ALS", "ImplicitALS", "FMClassifier", "FMClassifier of two tasks", "EndpointModel"]


@pytest.mark.parametrize("stage", STAGES)
def test_a_process_killed_in_the_middle_changes_no_answer(told: dict[str, Any], stage: str) -> None:
    """It had taken some of the steps of the undisturbed fit, and not all; by Spark's own books something was lost."""
    fit = told["fits"][stage]
    assert 0 < fit["killed after"] < fit["steps"]
    before, between, after = fit["lost"]
    assert before == between < after
    calm, disturbed = fit["answers"]
    assert disturbed == pytest.approx(calm, rel=0.01)


def test_what_is_computed_on_the_cluster_is_right(told: dict[str, Any]) -> None:
    for number in range(2):
        answers = {stage: told["fits"][stage]["answers"][number] for stage in STAGES}
        assert answers["KMeans"] == [1000] * 4
        assert answers["ALS"] < 0.6
        assert answers["ImplicitALS"] > 0.9
        assert answers["FMClassifier"] > 0.95
        assert answers["FMClassifier of two tasks"] > 0.95
        assert answers["EndpointModel"] == [4000, 1.0]
