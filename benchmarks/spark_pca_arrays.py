"""Fitting PCA from a cached DataFrame of arrays, which MLlib's cannot take: it gets vectors."""

from __future__ import annotations

from benchmarks.harness import Benchmark, Timing
from benchmarks.spark_pca import FULL, TINY, measure


def run(quick: bool) -> Timing:
    return measure(TINY if quick else FULL, "array", 1 if quick else 2)


BENCHMARK = Benchmark("spark_pca_arrays", "PCA, from a DataFrame of arrays of floats", "pyspark.ml.feature.PCA", run)
