"""`python -m benchmarks.growth`: how the stages' time and memory grow with the rows: 1, 2, 4 and 8 times as many.

Seconds are those of the second fit of a session, from a cached DataFrame. Memory is what the Python processes hold
beyond what they held before the fit: the driver's own, and the executors' workers together. The JVM's, which holds
the cached rows, is left out. Written: docs/images/growth.svg, and the figures beside results.json.
"""

from __future__ import annotations

import gc
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import psutil
import pyarrow as pa
from pyarrow import parquet
from pyspark.sql import DataFrame, SparkSession

from benchmarks import charts, spark_fm
from benchmarks.data import Size
from benchmarks.spark import spark_session
from benchmarks.spark_als import rating_table
from palate.spark import ALS, PCA, FMClassifier, KMeans

FACTORS = (1, 2, 4, 8)


@dataclass(frozen=True)
class Point:
    """One fit. driver, workers: bytes at the peak above those before."""

    stage: str
    rows: int
    seconds: float
    driver: int
    workers: int


@dataclass(frozen=True)
class Stage:
    """What is fitted: `rows` for factor 1, the table of that many rows, and the estimator."""

    name: str
    rows: int
    table: Callable[[int], pa.Table]
    make: Callable[[], Any]


def vectors(width: int) -> Callable[[int], pa.Table]:
    """Points in 100 heaps, as array<float>."""

    def table(rows: int) -> pa.Table:
        rng = np.random.default_rng(0)
        heaps = rng.standard_normal((100, width)).astype(np.float32) * 3
        points = heaps[rng.integers(0, 100, rows)] + rng.standard_normal((rows, width), np.float32)
        lists = pa.FixedSizeListArray.from_arrays(pa.array(points.reshape(-1)), width)
        return pa.table({"features": lists.cast(pa.list_(pa.float32()))})

    return table


def clicks(rows: int) -> pa.Table:
    codes, labels = spark_fm.generate(rows)
    columns = {name: codes[:, at] for at, name in enumerate(spark_fm.FIELDS)}
    return pa.table({**columns, "label": labels})


STAGES = (
    Stage("PCA, 784 wide, k=50", 15_000, vectors(784), lambda: PCA(k=50, inputCol="features", outputCol="out")),
    Stage("KMeans, 50 wide, k=100", 125_000, vectors(50), lambda: KMeans(k=100, seed=0)),
    Stage(
        "ALS, 64 factors",
        600_000,
        lambda rows: rating_table(Size(12_000 * rows // 600_000, 8_000, rows)),
        lambda: ALS(rank=64, maxIter=10, implicitPrefs=True, seed=0),
    ),
    Stage(
        "FMClassifier, 5 fields, 8 factors",
        300_000,
        clicks,
        lambda: FMClassifier(factorSize=8, categoricalCols=list(spark_fm.FIELDS), seed=0),
    ),
)


class Watch:
    """Samples, until it is left, the memory of this process and of the Python workers below it."""

    def __enter__(self) -> Watch:
        gc.collect()
        self.before = self._now()
        self.peak = self.before
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._sample, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self.thread.join()

    def _sample(self) -> None:
        while not self.done.wait(0.02):
            now = self._now()
            self.peak = max(self.peak[0], now[0]), max(self.peak[1], now[1])

    @staticmethod
    def _now() -> tuple[int, int]:
        """(driver, workers): bytes that are theirs alone."""
        me = psutil.Process()
        workers = 0
        for child in me.children(recursive=True):
            try:
                if "python" in child.name():
                    workers += child.memory_full_info().uss
            except psutil.Error:  # it has just ended
                continue
        return me.memory_full_info().uss, workers

    @property
    def grown(self) -> tuple[int, int]:
        return self.peak[0] - self.before[0], self.peak[1] - self.before[1]


def measure(spark: SparkSession, stage: Stage, rows: int, folder: Path) -> Point:
    """The second of two fits on that many rows."""
    file = str(folder / "rows.parquet")
    parquet.write_table(stage.table(rows), file, row_group_size=rows // 4 + 1)
    frame: DataFrame = spark.read.parquet(file).cache()
    frame.count()
    stage.make().fit(frame)
    with Watch() as watch:
        start = time.perf_counter()
        stage.make().fit(frame)
        took = time.perf_counter() - start
    frame.unpersist(blocking=True)
    return Point(stage.name, rows, round(took, 3), *watch.grown)


def draw(points: list[Point]) -> None:
    """Seconds and memory against rows; the dotted line is growth in proportion to the rows."""
    names = list(dict.fromkeys(point.stage for point in points))
    with charts.chart("growth", 2, len(names), (3 * len(names), 4.6), sharex="col") as axes:
        for (above, below), name in zip(axes.T, names, strict=True):
            found = [point for point in points if point.stage == name]
            rows = [point.rows / 1000 for point in found]
            above.plot(rows, [point.seconds for point in found], "o-", color=charts.TEAL)
            above.plot(rows, [found[0].seconds * row / rows[0] for row in rows], ":", color=charts.PALE)
            workers, driver = ([getattr(point, who) / 1e6 for point in found] for who in ("workers", "driver"))
            below.plot(rows, workers, "o-", color=charts.TEAL, label="executors' Python")
            below.plot(rows, driver, "s-", color=charts.RUST, label="driver's Python")
            above.set_title(name)
            below.set_xlabel("rows (thousands)")
            for axis in (above, below):
                axis.set_ylim(bottom=0)
                axis.set_xlim(left=0)
        axes[0][0].set_ylabel("seconds of a fit")
        axes[1][0].set_ylabel("memory above before (MB)")
        charts.legend(axes[1][0])


@click.command()
@click.option("--quick", is_flag=True, help="A fiftieth of the rows, nothing drawn: shows that it runs.")
def main(quick: bool) -> None:
    """Measure how time and memory grow with the rows, and draw it."""
    points: list[Point] = []
    with tempfile.TemporaryDirectory(prefix="palate-growth-") as folder, spark_session() as spark:
        for stage in STAGES:
            for factor in FACTORS[: 2 if quick else None]:
                point = measure(spark, stage, stage.rows * factor // (50 if quick else 1), Path(folder))
                points.append(point)
                click.echo(
                    f"{point.stage}: {point.rows:,} rows, {point.seconds:.2f} s, driver +{point.driver / 1e6:.0f} MB, "
                    f"workers +{point.workers / 1e6:.0f} MB"
                )
    if quick:
        return
    charts.keep("growth", points)
    draw(points)


if __name__ == "__main__":
    main()
