"""Training ALS from data that Spark holds: from its rows to factors in the driver's memory, both ways."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import parquet
from pyspark.ml.recommendation import ALS as MLlibALS
from pyspark.sql import DataFrame

from benchmarks.data import MOVIES, TINY, Size, generate, halves
from benchmarks.harness import Benchmark, Timing, alternate
from benchmarks.spark import blas, spark_session
from palate.dataset.schema import Interactions
from palate.evaluation.metrics import accuracy
from palate.models.als import ALS
from palate.retrieval.topk import top_k

Factors = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]


class Contest:
    """Both ways over the same rows; keeps the last factors of each, so that their quality can be compared."""

    def __init__(self, rows: DataFrame, size: Size, factors: int, iterations: int) -> None:
        self.rows, self.size, self.factors, self.iterations = rows, size, factors, iterations
        self.found: dict[str, Factors] = {}

    def peer(self) -> None:
        model = MLlibALS(
            rank=self.factors, maxIter=self.iterations, implicitPrefs=True, regParam=0.1, alpha=1.0, seed=0,
            userCol="user", itemCol="item", ratingCol="weight",
        ).fit(self.rows)  # fmt: skip
        self.found["peer"] = (
            _dense(model.userFactors, self.size.users, self.factors),
            _dense(model.itemFactors, self.size.items, self.factors),
        )

    def ours(self) -> None:
        table = self.rows.toArrow()
        users, items = pa.array(table["user"].combine_chunks()), pa.array(table["item"].combine_chunks())
        interactions = Interactions.from_ids(users, items, np.asarray(table["weight"]))
        # On this generated data stronger regularization, the default among it, leaves little but popularity.
        model = ALS(factors=self.factors, iterations=self.iterations, regularization=0.3, alpha=2.0).fit(interactions)
        all_users, all_items = np.arange(self.size.users), np.arange(self.size.items)
        self.found["ours"] = (
            model.user_factors[model.users.encode(all_users)] * (model.users.encode(all_users) >= 0)[:, None],
            model.item_factors[model.items.encode(all_items)] * (model.items.encode(all_items) >= 0)[:, None],
        )

    def ndcg(self, side: str, train: Interactions, test: Interactions) -> float:
        users, items = self.found[side]
        ranked, _ = top_k(users @ items.T, 20, train.matrix(binary=True))
        return float(np.nanmean(accuracy(ranked, test.matrix(binary=True), [20])["ndcg@20"]))


def _dense(frame: DataFrame, n: int, factors: int) -> npt.NDArray[np.float32]:
    table = frame.toArrow()
    found = np.zeros((n, factors), np.float32)
    found[np.asarray(table["id"])] = np.asarray(table["features"].combine_chunks().flatten()).reshape(-1, factors)
    return found


def run(quick: bool) -> Timing:
    size, factors, iterations = (TINY, 8, 1) if quick else (MOVIES, 64, 5)
    train, test = halves(generate(size))
    with tempfile.TemporaryDirectory(prefix="palate-bench-") as folder, spark_session() as spark:
        file = str(Path(folder) / "train.parquet")
        weights = np.ones(len(train), np.float32)
        parquet.write_table(pa.table({"user": train.user_codes, "item": train.item_codes, "weight": weights}), file)
        contest = Contest(spark.read.parquet(file), size, factors, iterations)
        took = alternate(contest.peer, contest.ours, 3, quick)
        note = f"{blas()} The peer with its default regularization, ours with 0.3."
    quality = {"ndcg@20": {side: contest.ndcg(side, train, test) for side in ("peer", "ours")}}
    return Timing(*took, f"{size}, {factors} factors, {iterations} iterations", quality, note)


BENCHMARK = Benchmark(
    "als_training",
    "Training ALS on implicit feedback that Spark holds",
    "pyspark.ml.recommendation.ALS(implicitPrefs=True)",
    run,
)
