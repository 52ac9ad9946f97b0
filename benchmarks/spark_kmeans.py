"""Fitting k-means from a cached DataFrame to a model, with few clusters; what the other k-means benchmarks share."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import parquet
from pyspark.ml.clustering import KMeans as MLlibKMeans
from pyspark.ml.functions import array_to_vector
from pyspark.sql import DataFrame
from pyspark.sql import functions as f
from sklearn.cluster import KMeans as SklearnKMeans
from threadpoolctl import threadpool_limits

from benchmarks.harness import Benchmark, Timing, seconds
from benchmarks.spark import blas, spark_session
from palate.kernels.lloyd import DenseRows, lloyd
from palate.spark import KMeans

ITERATIONS = 20


@dataclass(frozen=True)
class Size:
    rows: int
    width: int
    clusters: int

    def __str__(self) -> str:
        return f"{self.rows:,} x {self.width}, {self.clusters} clusters, at most {ITERATIONS} iterations"


def blobs(size: Size) -> npt.NDArray[np.float32]:
    """Rows around more centres than clusters are asked for, so that no fit is done in a few iterations."""
    rng = np.random.default_rng(0)
    centers = rng.standard_normal((3 * size.clusters, size.width), np.float32)
    rows = 1.5 * rng.standard_normal((size.rows, size.width), np.float32)
    rows += centers[rng.integers(0, len(centers), size.rows)]
    return rows


@contextmanager
def cached(rows: npt.NDArray[np.float32]) -> Iterator[DataFrame]:
    """`array` (array<float>) and `vector` (VectorUDT), a partition per core, in memory."""
    width = pa.list_(pa.float32(), rows.shape[1])
    table = pa.table(
        {"array": pa.FixedSizeListArray.from_arrays(rows.ravel(), type=width).cast(pa.list_(pa.float32()))}
    )
    with tempfile.TemporaryDirectory(prefix="palate-bench-") as folder, spark_session() as spark:
        parquet.write_table(table, Path(folder) / "rows.parquet", row_group_size=len(rows) // 4 + 1)
        vector = array_to_vector(f.col("array").cast("array<double>")).alias("vector")
        read = spark.read.parquet(folder).repartition(spark.sparkContext.defaultParallelism)
        frame = read.select("array", vector).cache()
        frame.count()
        yield frame


def sink(frame: DataFrame, column: str) -> None:
    """Computes a column and throws it away."""
    frame.select(column).write.format("noop").mode("overwrite").save()


def cost(model: Any, rows: npt.NDArray[np.float32]) -> float:
    """The sum of squared distances to the closest centre, per row, in float64."""
    centers, total = np.array(model.clusterCenters()), 0.0
    for part in np.array_split(rows, len(rows) // 10_000 + 1):
        wide = part.astype(np.float64)
        total += ((wide**2).sum(axis=1) + ((centers**2).sum(axis=1) - 2 * wide @ centers.T).min(axis=1)).sum()
    return float(total) / len(rows)


@cache  # what a quick run, all of it in one process, would measure again under another name
def measure(size: Size, repeats: int) -> Timing:
    rows = blobs(size)
    found: dict[str, Any] = {}

    def fit(side: str, kind: Callable[..., Any], frame: DataFrame) -> None:
        found[side] = kind(k=size.clusters, maxIter=ITERATIONS, featuresCol="vector", seed=1).fit(frame)

    with cached(rows) as frame:
        firsts = seconds(lambda: fit("peer", MLlibKMeans, frame)), seconds(lambda: fit("ours", KMeans, frame))
        took = in_turns(lambda: fit("peer", MLlibKMeans, frame), lambda: fit("ours", KMeans, frame), repeats)
        arrays = KMeans(k=size.clusters, maxIter=ITERATIONS, featuresCol="array", seed=1)
        from_arrays = seconds(lambda: arrays.fit(frame))
        quality = {"cost per row": {side: cost(found[side], rows) for side in ("peer", "ours")}}
        iterations = ", ".join(f"{side} {found[side].summary.numIter}" for side in ("peer", "ours"))
    note = (
        f"From VectorUDT; ours from `array<float>` took {from_arrays:.2f} s. First fits of the session: peer "
        f"{firsts[0]:.1f} s, ours {firsts[1]:.1f} s. Iterations: {iterations}. {_limit(rows, size)} {blas()}"
    )
    return Timing(*took, str(size), quality, note)


def in_turns(
    peer: Callable[[], object], ours: Callable[[], object], repeats: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """As `harness.alternate`, for sides that are warm."""
    pairs = [(seconds(peer), seconds(ours)) for _ in range(repeats)]
    return tuple(pair[0] for pair in pairs), tuple(pair[1] for pair in pairs)


def _limit(rows: npt.NDArray[np.float32], size: Size) -> str:
    """Lloyd's iterations alone beside scikit-learn's, on the same array from the same start, on one thread each."""
    start = rows[: size.clusters]
    held = DenseRows(rows, np.ones(len(rows)), np.zeros(size.width))
    with threadpool_limits(1):
        lloyd(held, start.astype(np.float64), iterations=1, tolerance=0.0)
        ours = seconds(lambda: lloyd(held, start.astype(np.float64), iterations=ITERATIONS, tolerance=0.0))
        theirs = SklearnKMeans(size.clusters, init=start, n_init=1, max_iter=ITERATIONS, tol=0, copy_x=False)
        limit = seconds(lambda: theirs.fit(rows))
    return f"Lloyd's iterations alone, on one thread: {ours / limit:.2f} times the time of scikit-learn's."


def run(quick: bool) -> Timing:
    return measure(Size(500, 5, 3) if quick else Size(60_000, 50, 10), 1 if quick else 3)


BENCHMARK = Benchmark("spark_kmeans", "k-means with 10 clusters, from a DataFrame", "pyspark.ml.clustering.KMeans", run)
