"""Fitting ALS from a cached DataFrame to a model, both with MLlib's objective; MovieLens 1M's size."""

from __future__ import annotations

import gc
import multiprocessing
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from implicit.cpu.als import AlternatingLeastSquares
from pyarrow import parquet
from pyspark.ml.recommendation import ALS as MLlibALS
from pyspark.sql import DataFrame
from threadpoolctl import threadpool_limits

from benchmarks.data import MOVIES, TINY, Size, generate
from benchmarks.harness import Benchmark, Timing, seconds
from benchmarks.spark import blas, spark_session
from benchmarks.spark_kmeans import sink
from palate.kernels.als import Objective, als, loss
from palate.kernels.ratings import Ratings
from palate.spark.stages.als import ALS
from palate.spark.stages.ratings import read_ratings

REGULARIZATION, ALPHA = 0.1, 1.0
_BATCH = 10_000
"""Rows that Spark sends at once."""
NAMES = {"user": "user", "item": "item", "rating": "rating"}


class Contest:
    """Both sides over the same rows, and the in-memory limit; keeps the last model of each side."""

    def __init__(self, rows: DataFrame, table: pa.Table, rank: int, iterations: int) -> None:
        self.rows = rows
        self.params: dict[str, Any] = {
            "rank": rank, "maxIter": iterations, "regParam": REGULARIZATION, "alpha": ALPHA, "implicitPrefs": True,
            "seed": 0,
        }  # fmt: skip
        self.models: dict[str, Any] = {}
        users, items = (np.unique(np.asarray(table[side]), return_inverse=True)[1] for side in ("user", "item"))
        self.ratings = Ratings.from_pieces(
            [users.astype(np.int32)], [items.astype(np.int32)], [np.asarray(table["rating"])],
            int(users.max()) + 1, int(items.max()) + 1,
        )  # fmt: skip

    def peer(self) -> None:
        self.models["peer"] = MLlibALS(**self.params).fit(self.rows)

    def ours(self) -> None:
        self.models["ours"] = ALS(**self.params).fit(self.rows)

    def limit(self) -> float:
        """Seconds of the implicit library on a ready matrix; its objective is another one, its work the same."""
        engine = AlternatingLeastSquares(
            self.params["rank"], regularization=0.01, iterations=self.params["maxIter"], random_state=0
        )
        matrix = self.ratings.matrix()
        return seconds(lambda: engine.fit(matrix, show_progress=False))

    def transform(self, side: str) -> None:
        """Predicts all pairs."""
        sink(self.models[side].transform(self.rows), "prediction")

    def loss(self, side: str) -> float:
        """MLlib's objective per rating."""
        model = self.models[side]
        factors = [_factors(frame, self.params["rank"]) for frame in (model.userFactors, model.itemFactors)]
        return loss(self.ratings, Objective(True, REGULARIZATION, ALPHA), factors[0], factors[1]) / len(self.ratings)


def _factors(frame: DataFrame, rank: int) -> Any:
    """Factors by ascending id."""
    table = frame.toArrow()
    values = np.asarray(table["features"].combine_chunks().flatten(), np.float32).reshape(-1, rank)
    return values[np.argsort(np.asarray(table["id"]))]


def rating_table(size: Size) -> pa.Table:
    """Implicit feedback: `user`, `item` (int32), and `rating`, how often (1 to 5)."""
    drawn = generate(size)
    ratings = np.random.default_rng(1).integers(1, 6, len(drawn)).astype(np.float32)
    return pa.table({"user": drawn.user_codes, "item": drawn.item_codes, "rating": ratings})


@contextmanager
def contest(size: Size, rank: int, iterations: int) -> Iterator[Contest]:
    """Both sides, over rows that Spark holds."""
    table = rating_table(size)
    with tempfile.TemporaryDirectory(prefix="palate-bench-") as folder:
        file = str(Path(folder) / "ratings.parquet")
        parquet.write_table(table, file, row_group_size=len(table) // 4 + 1)
        with spark_session() as spark, threadpool_limits(1, "blas"):
            rows = spark.read.parquet(file).cache()
            rows.count()
            yield Contest(rows, table, rank, iterations)


@cache  # what a quick run, all of it in one process, would measure again under another name
def measure(size: Size, rank: int, iterations: int) -> Timing:
    """Each side's second fit of the session, and what a reader wants to know beside it."""
    with contest(size, rank, iterations) as sides:
        firsts = seconds(sides.peer), seconds(sides.ours)
        took = seconds(sides.peer), seconds(sides.ours)
        limits = sides.limit(), sides.limit()
        quality = {"loss per rating": {side: sides.loss(side) for side in ("peer", "ours")}}
        engine = sides.models["ours"].engine
    assert engine == "native", engine
    peak = _peak(size, rank)
    note = (
        f"Engine: {engine}. First fits of the session: peer {firsts[0]:.1f} s, ours {firsts[1]:.1f} s. "
        f"The in-memory limit, implicit's own fit on a ready CSR matrix, took {min(limits):.2f} s: "
        f"ours is {took[1] / min(limits):.2f} times that. Peak memory of the executor's Python while it read and "
        f"fitted, factors left out: {peak:.2f} times the CSR matrix. {blas()}"
    )
    return Timing((took[0],), (took[1],), f"{size}, {rank} factors, {iterations} iterations", quality, note)


def _peak(size: Size, rank: int) -> float:
    """Peak memory of reading batches such as Spark sends and fitting them, in a process of its own, in CSR matrices."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak_here, (size, rank))


def _peak_here(size: Size, rank: int) -> float:
    def batches(n: int) -> Iterator[pa.RecordBatch]:
        rng = np.random.default_rng(0)
        for start in range(0, n, _BATCH):
            length = min(_BATCH, n - start)
            codes = [rng.integers(0, top, length, np.int32) for top in (size.users, size.items)]
            yield pa.RecordBatch.from_arrays(
                [*map(pa.array, codes), pa.array(np.ones(length, np.float32))], list(NAMES)
            )

    als(read_ratings(batches(1000), NAMES).ratings, Objective(True), rank, 1, 0)  # compiles
    gc.collect()
    pa.default_memory_pool().release_unused()
    Path("/proc/self/clear_refs").write_text("5")
    before = _memory("VmRSS")
    read = read_ratings(batches(size.interactions), NAMES)
    users, items = als(read.ratings, Objective(True), rank, 1, 0)
    matrix = 8 * len(read.ratings) + 8 * len(users)
    return (_memory("VmHWM") - before - users.nbytes - items.nbytes) / matrix


def _memory(what: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(what))


def run(quick: bool) -> Timing:
    return measure(TINY, 8, 1) if quick else measure(MOVIES, 64, 10)


BENCHMARK = Benchmark(
    "spark_als",
    "Fitting ALS, the stage palate.spark.ALS, from a cached DataFrame",
    "pyspark.ml.recommendation.ALS",
    run,
)
