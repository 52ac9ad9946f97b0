"""The best 20 of 20,000 items for each of 50,000 users by Spark stages, what they have seen left out by ours."""

from __future__ import annotations

import faiss
import numpy as np
from pyspark.ml.recommendation import ALS as MLlibALS

from benchmarks.data import TINY, Size
from benchmarks.harness import Benchmark, Timing, seconds
from benchmarks.spark import blas, spark_session
from benchmarks.spark_als import rating_table
from palate.spark.stages.als import ALS

N = 20
SHOP = Size(50_000, 20_000, 1_000_000)
"""Fewer ratings than the large fit has: they decide how long it takes to get factors, hardly how long to rank."""


def _in_memory(users: np.ndarray, items: np.ndarray) -> float:
    """Seconds of faiss: a blocked float32 product and a selection of the best, on all cores, nothing left out."""
    return seconds(lambda: faiss.knn(users, items, N, metric=faiss.METRIC_INNER_PRODUCT))


def run(quick: bool) -> Timing:
    size, rank = (TINY, 8) if quick else (SHOP, 64)
    with spark_session() as spark:
        rows = spark.createDataFrame(rating_table(size)).cache()
        values = {"rank": rank, "maxIter": 3, "implicitPrefs": True}
        ours, theirs = ALS(**values, filterSeen=True).fit(rows), MLlibALS(**values).fit(rows)

        def drain(model: ALS) -> float:
            return seconds(lambda: model.recommendForAllUsers(N).write.format("noop").mode("overwrite").save())

        firsts = drain(theirs), drain(ours)
        took = [(drain(theirs), drain(ours)) for _ in range(1 if quick else 2)]
        held = ours.artifact
        limit = min(_in_memory(held.user_factors, held.item_factors) for _ in range(2))
    assert ours.engine == "native", ours.engine
    best = min(pair[1] for pair in took)
    note = (
        f"Engine: {ours.engine}. The peer ranks what users have seen as well; ours leaves it out. The first time the "
        f"peer took {firsts[0]:.1f} s, ours {firsts[1]:.1f} s. In memory, faiss (a blocked float32 product and a "
        f"selection) took {limit:.2f} s: ours is {best / limit:.2f} times that. {blas()}"
    )
    size_text = f"{size.users:,} users, {size.items:,} items, {rank} factors"
    return Timing(tuple(pair[0] for pair in took), tuple(pair[1] for pair in took), size_text, note=note)


BENCHMARK = Benchmark(
    "spark_recommend", "The best 20 items of every user, by the stage", "MLlib's recommendForAllUsers", run
)
