"""Fitting k-means on a million rows."""

from __future__ import annotations

from benchmarks.harness import Benchmark, Timing
from benchmarks.spark_kmeans import Size, measure


def run(quick: bool) -> Timing:
    return measure(Size(500, 5, 3) if quick else Size(1_000_000, 50, 100), 1)


BENCHMARK = Benchmark(
    "spark_kmeans_large", "k-means of a million rows, from a DataFrame", "pyspark.ml.clustering.KMeans", run
)
