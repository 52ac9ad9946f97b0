"""Fitting a factorization machine from a cached DataFrame to a model at 3 million rows."""

from __future__ import annotations

from benchmarks.harness import Benchmark, Timing
from benchmarks.spark_fm import measure


def run(quick: bool) -> Timing:
    return measure(2_000, 2, 1, quick) if quick else measure(3_000_000, 100, 1, quick)


BENCHMARK = Benchmark(
    "spark_fm_large",
    "Fitting a factorization machine on 3 million rows, likewise",
    "pyspark.ml.classification.FMClassifier",
    run,
)
