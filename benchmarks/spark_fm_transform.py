"""The probability of each row of a cached DataFrame, by a factorization machine."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.harness import Benchmark, Timing, alternate
from benchmarks.spark import blas, spark_session
from benchmarks.spark_fm import FACTORS, FIELDS, Contest
from benchmarks.spark_kmeans import sink


def run(quick: bool) -> Timing:
    rows = 2_000 if quick else 300_000
    with tempfile.TemporaryDirectory(prefix="palate-bench-") as folder, spark_session() as spark:
        contest = Contest(Path(folder), spark, rows, iterations=2)
        contest.peer()
        contest.ours()
        contest.from_vectors()

        def transform(side: str) -> None:
            sink(contest.models[side].transform(contest.rows), "probability")

        vectors = min(alternate(lambda: transform("peer"), lambda: transform("vectors"), 3, quick)[1])
        took = alternate(lambda: transform("peer"), lambda: transform("ours"), 5, quick)
    note = f"Ours from the five columns, the peer from one-hot vectors; from those ours took {vectors:.2f} s. {blas()}"
    return Timing(*took, f"{contest.learned:,} rows, {len(FIELDS)} fields, {FACTORS} factors", note=note)


BENCHMARK = Benchmark(
    "spark_fm_transform", "The probability of each row", "pyspark.ml.classification.FMClassificationModel", run
)
