"""The best 20 items of every user from ALS factors, in the driver's memory."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from pyspark.ml.recommendation import ALS as MLlibALS

from benchmarks.data import MOVIES, TINY, generate
from benchmarks.harness import Benchmark, Timing, alternate
from benchmarks.spark import blas, spark_session
from palate.models.als import ALS

N = 20


def run(quick: bool) -> Timing:
    size, factors = (TINY, 8) if quick else (MOVIES, 64)
    train = generate(size)
    model = ALS(factors=factors, iterations=1).fit(train)
    with spark_session() as spark:
        weights = np.ones(len(train), np.float32)
        table = pa.table({"user": train.user_codes, "item": train.item_codes, "weight": weights})
        rows = spark.createDataFrame(table)
        # One pass suffices: how long ranking takes does not depend on how good the factors are.
        mllib = MLlibALS(
            rank=factors, maxIter=1, implicitPrefs=True, userCol="user", itemCol="item", ratingCol="weight"
        )
        fitted = mllib.fit(rows)
        took = alternate(
            lambda: fitted.recommendForAllUsers(N).toArrow(),
            lambda: model.recommend(model.users.ids, N),
            5,
            quick,
        )
        note = f"{blas()} The peer ranks what users have seen as well; ours leaves it out."
    return Timing(*took, f"{size}, {factors} factors", note=note)


BENCHMARK = Benchmark("top_n_all_users", "The best 20 items of every user", "MLlib's recommendForAllUsers", run)
