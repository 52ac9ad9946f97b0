"""One real Spark session for every test of this folder, and a small shop to run the jobs on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np
import pytest

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Job = Callable[..., tuple[int, str]]


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    pytest.importorskip("pyspark", reason="needs pyspark: pip install 'palate[spark]'")
    from palate.jvm import QUIET_LOGS, quick_java
    from palate.spark.session import spark_session

    config = {"spark.sql.shuffle.partitions": "3", "spark.driver.extraJavaOptions": f"{QUIET_LOGS} {quick_java()}"}
    session = spark_session("palate tests", master="local[2]", config=config)
    yield session
    session.stop()


@pytest.fixture
def job(spark: SparkSession, capsys: pytest.CaptureFixture[str]) -> Job:
    """Runs a job as its script does, in the session of the tests: exit code, and what it said on standard error."""
    from palate.spark.job import main

    def run(command: click.Command, *arguments: str | Path) -> tuple[int, str]:
        capsys.readouterr()
        try:
            main(command, [str(argument) for argument in arguments])
        except SystemExit as stop:
            return int(stop.code or 0), capsys.readouterr().err
        return 0, capsys.readouterr().err

    return run


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `interactions.csv` of 40 users and 30 items, whose taste is one of three categories, and
    `items.csv` with two more items that nobody has touched."""
    folder = tmp_path_factory.mktemp("shop")
    rng = np.random.default_rng(5)
    categories = ["tea", "coffee", "cocoa"]
    lines = ["user,item,rating,timestamp"]
    for user in range(40):
        liked = [item for item in range(30) if item % 3 == user % 3]
        others = [item for item in range(30) if item % 3 != user % 3]
        chosen = [*rng.permutation(liked)[:7], *rng.permutation(others)[:2]]
        start = 1_600_000_000 + user
        lines += [f"u{user:02},i{item:02},{rng.integers(3, 6)},{start + 60 * n}" for n, item in enumerate(chosen)]
    (folder / "interactions.csv").write_text("\n".join(lines) + "\n")
    items = ["id,title,categories"]
    items += [f"i{item:02},{categories[item % 3]} number {item},{categories[item % 3]}" for item in range(32)]
    (folder / "items.csv").write_text("\n".join(items) + "\n")
    return folder


@pytest.fixture(scope="session")
def prepared(spark: SparkSession, shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shop, prepared."""
    from palate.spark.job import main
    from palate.spark.jobs.prepare import command

    folder = tmp_path_factory.mktemp("prepared") / "shop"
    main(command, ["--input", str(shop), "--output", str(folder)])
    return folder
