"""Fitting k-means with many clusters."""

from __future__ import annotations

from benchmarks.harness import Benchmark, Timing
from benchmarks.spark_kmeans import Size, measure


def run(quick: bool) -> Timing:
    return measure(Size(500, 5, 3) if quick else Size(60_000, 50, 100), 1 if quick else 3)


BENCHMARK = Benchmark(
    "spark_kmeans_100", "k-means with 100 clusters, from a DataFrame", "pyspark.ml.clustering.KMeans", run
)
