"""The predicted rating of each pair of a cached DataFrame."""

from __future__ import annotations

from benchmarks.data import MOVIES, TINY
from benchmarks.harness import Benchmark, Timing, alternate
from benchmarks.spark import blas
from benchmarks.spark_als import contest


def run(quick: bool) -> Timing:
    size, rank = (TINY, 8) if quick else (MOVIES, 64)
    with contest(size, rank, iterations=1) as sides:
        sides.peer()
        sides.ours()
        took = alternate(lambda: sides.transform("peer"), lambda: sides.transform("ours"), 5, quick)
    return Timing(*took, f"{size}, {rank} factors", note=blas())


BENCHMARK = Benchmark(
    "spark_als_transform", "The predicted rating of each pair", "pyspark.ml.recommendation.ALSModel", run
)
