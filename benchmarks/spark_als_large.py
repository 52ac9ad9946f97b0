"""Fitting ALS from a cached DataFrame to a model at 5 million ratings."""

from __future__ import annotations

from benchmarks.data import TINY, Size
from benchmarks.harness import Benchmark, Timing
from benchmarks.spark_als import measure

SHOP = Size(50_000, 20_000, 4_800_000)


def run(quick: bool) -> Timing:
    return measure(TINY, 8, 1) if quick else measure(SHOP, 64, 10)


BENCHMARK = Benchmark(
    "spark_als_large", "Fitting ALS on 5 million ratings, likewise", "pyspark.ml.recommendation.ALS", run
)
