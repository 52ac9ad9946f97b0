"""The metrics of rankings that are there already: recall, precision, NDCG and MAP at 20 for every user."""

from __future__ import annotations

import numpy as np
from pyspark.mllib.evaluation import RankingMetrics

from benchmarks.data import MOVIES, TINY, generate, halves
from benchmarks.harness import Benchmark, Timing, alternate
from benchmarks.spark import spark_session
from palate.evaluation.metrics import accuracy

K = 20


def run(quick: bool) -> Timing:
    size = TINY if quick else MOVIES
    train, test = halves(generate(size))
    popular = np.argsort(-np.bincount(train.item_codes, minlength=size.items), kind="stable")[: 2 * K]
    rng = np.random.default_rng(0)
    ranked = np.stack([rng.permutation(popular)[:K] for _ in range(size.users)]).astype(np.int32)
    relevant = test.matrix(binary=True)
    found: dict[str, float] = {}
    with spark_session() as spark:
        lists = [
            (ranked[user].astype(float).tolist(), relevant[user].indices.astype(float).tolist())
            for user in np.flatnonzero(np.diff(relevant.indptr))
        ]
        rows = spark.sparkContext.parallelize(lists).cache()
        rows.count()

        def peer() -> None:
            metrics = RankingMetrics(rows)
            values = (metrics.recallAt(K), metrics.precisionAt(K), metrics.ndcgAt(K), metrics.meanAveragePrecisionAt(K))
            found["peer"] = values[2]

        def ours() -> None:
            found["ours"] = float(np.nanmean(accuracy(ranked, relevant, [K])[f"ndcg@{K}"]))

        took = alternate(peer, ours, 3, quick)
    note = "The peer computes 4 metrics, one job each; ours 6, in one go."
    return Timing(*took, f"{len(lists):,} users, lists of {K}", {"ndcg@20": found}, note)


BENCHMARK = Benchmark("ranking_metrics", "Metrics of given rankings", "MLlib's RankingMetrics", run)
