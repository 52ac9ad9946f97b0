"""Fitting a factorization machine from a cached DataFrame to a model: MLlib's, ours, and the same in plain torch."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from pyarrow import parquet
from pyspark.ml.classification import FMClassifier as MLlibFM
from pyspark.ml.functions import vector_to_array
from pyspark.ml.linalg import VectorUDT
from pyspark.sql import DataFrame
from pyspark.sql import functions as f
from pyspark.sql.pandas.functions import arrow_udf
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from benchmarks.harness import Benchmark, Timing, alternate, seconds
from benchmarks.spark import blas, spark_session
from benchmarks.spark_kmeans import in_turns
from palate.spark import FMClassifier

FIELDS = {"user": 6000, "item": 3000, "city": 200, "hour": 24, "device": 50}
FACTORS, EPOCHS = 8, 4
"""EPOCHS: of plain torch; with more its AUC on this data falls again."""


class Contest:
    """All ways over the same rows; keeps the last model of each."""

    def __init__(self, folder: Path, spark: Any, rows: int, iterations: int) -> None:
        self.iterations, self.models = iterations, {}
        self.codes, self.labels = generate(rows)
        self.learned = rows * 4 // 5
        self.starts = np.concatenate([[0], np.cumsum(list(FIELDS.values()))])
        columns = {name: self.codes[:, place] for place, name in enumerate(FIELDS)}
        parquet.write_table(
            pa.table({**columns, "label": self.labels, "row": np.arange(rows)}), folder / "rows.parquet"
        )
        table = spark.read.parquet(str(folder / "rows.parquet"))
        shifted = [f.col(name) + int(start) for name, start in zip(FIELDS, self.starts, strict=False)]
        table = table.withColumn("features", one_hot(f.array(*shifted), int(self.starts[-1])))
        self.rows: DataFrame = table.where(f"row < {self.learned}").drop("row").repartition(2).cache()
        self.test: DataFrame = table.where(f"row >= {self.learned}").drop("row").cache()
        self.rows.count()
        self.test.count()

    def peer(self) -> None:
        # A step of 0.1: its default of 1.0 is meant for no data in particular.
        estimator = MLlibFM(factorSize=FACTORS, stepSize=0.1, maxIter=self.iterations, seed=0)
        self.models["peer"] = estimator.fit(self.rows.select("label", "features"))

    def ours(self) -> None:
        self.models["ours"] = FMClassifier(factorSize=FACTORS, categoricalCols=list(FIELDS), seed=0).fit(self.rows)

    def from_vectors(self) -> None:
        """Ours on the one-hot vectors that the peer gets."""
        self.models["vectors"] = FMClassifier(factorSize=FACTORS, seed=0).fit(self.rows.select("label", "features"))

    def plain(self) -> None:
        """The same model as one would write it, on ready arrays: autograd, Adam, 4096 rows a step."""
        torch.manual_seed(0)
        rows = torch.from_numpy(self.codes[: self.learned] + self.starts[:-1])
        labels = torch.from_numpy(self.labels[: self.learned].astype(np.float32))
        constant = torch.zeros(1, requires_grad=True)
        linear = torch.zeros(int(self.starts[-1]), requires_grad=True)
        factors = (torch.randn(int(self.starts[-1]), FACTORS) * 0.01).requires_grad_()
        optimizer = torch.optim.Adam([constant, linear, factors], lr=0.01)
        for _ in range(EPOCHS):
            for chosen in torch.randperm(len(rows)).split(4096):
                score = _score(constant, linear, factors, rows[chosen])
                loss = torch.nn.functional.binary_cross_entropy_with_logits(score, labels[chosen])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        self.models["plain"] = constant.detach(), linear.detach(), factors.detach()

    def auc(self, side: str) -> float:
        if side == "plain":
            rows = torch.from_numpy(self.codes[self.learned :] + self.starts[:-1])
            return float(roc_auc_score(self.labels[self.learned :], _score(*self.models["plain"], rows).numpy()))
        one = vector_to_array(f.col("probability"))[1].alias("one")
        answers = self.models[side].transform(self.test).select("label", one).toArrow()
        return float(roc_auc_score(np.asarray(answers["label"]), np.asarray(answers["one"])))


def generate(rows: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Codes `(rows, fields)` by Zipf's law, and labels `(rows,)` by a machine of random weights."""
    rng = np.random.default_rng(0)
    codes = np.empty((rows, len(FIELDS)), dtype=np.int64)
    linear, sums, squares = np.zeros(rows), np.zeros((rows, FACTORS)), np.zeros((rows, FACTORS))
    for place, size in enumerate(FIELDS.values()):
        shares = 1 / np.arange(1, size + 1) ** 0.8
        codes[:, place] = rng.choice(size, rows, p=shares / shares.sum())
        factors = rng.normal(0, 0.35, (size, FACTORS))[codes[:, place]]
        linear += rng.normal(0, 0.5, size)[codes[:, place]]
        sums += factors
        squares += factors**2
    score = linear + 0.5 * (sums**2 - squares).sum(axis=1)
    return codes, (rng.random(rows) < expit(score - score.mean())).astype(np.float64)


def one_hot(places: Any, width: int) -> Any:
    """Sparse vectors of ones at the places, which ascend."""

    def encode(arrays: Iterator[pa.Array]) -> Iterator[pa.Array]:
        for array in arrays:
            indices = array.cast(pa.list_(pa.int32()))
            ones = pa.array(np.ones(len(indices.flatten())))
            values = (
                pa.ListArray.from_arrays(indices.offsets, ones) if len(array) else pa.array([], pa.list_(pa.float64()))
            )
            sizes = pa.array(np.full(len(array), width, np.int32))
            kinds = pa.array(np.zeros(len(array), np.int8))
            yield pa.StructArray.from_arrays(
                [kinds, sizes, indices, values], names=["type", "size", "indices", "values"]
            )

    encode.__annotations__ = {"arrays": Iterator[pa.Array], "return": Iterator[pa.Array]}
    return cast("Any", arrow_udf)(encode, returnType=VectorUDT())(places)


def _score(constant: Any, linear: Any, factors: Any, rows: Any) -> Any:
    held = factors[rows]
    return constant + linear[rows].sum(1) + 0.5 * (held.sum(1).square() - held.square().sum(1)).sum(1)


@cache  # what a quick run, all of it in one process, would measure again under another name
def measure(rows: int, iterations: int, repeats: int, quick: bool) -> Timing:
    """repeats: how often both sides fit after their first; a peer that takes minutes does so once or twice."""
    with tempfile.TemporaryDirectory(prefix="palate-bench-") as folder, spark_session() as spark:
        contest = Contest(Path(folder), spark, rows, iterations)
        firsts = seconds(contest.peer), seconds(contest.ours)
        peer, ours = in_turns(contest.peer, contest.ours, repeats)
        plain, vectors = alternate(contest.plain, contest.from_vectors, 3, quick)
        auc = {side: contest.auc(side) for side in ("peer", "ours", "vectors", "plain")}
        epochs = len(contest.models["ours"].training.objectiveHistory) - 1
    limit = statistics.median(plain)
    note = (
        f"Ours takes the five columns, the peer their one-hot vectors; from those ours took "
        f"{statistics.median(vectors):.3g} s (AUC {auc['vectors']:.4f}). First fits of the session: peer "
        f"{firsts[0]:.1f} s, ours {firsts[1]:.1f} s. The same model in plain torch took {limit:.3g} s for {EPOCHS} "
        f"epochs on ready arrays (AUC {auc['plain']:.4f}): ours, in {epochs} epochs, is "
        f"{statistics.median(ours) / limit:.2f} times that. {blas()}"
    )
    size = f"{rows:,} rows, {len(FIELDS)} fields, {FACTORS} factors"
    return Timing(peer, ours, size, {"AUC": {"peer": auc["peer"], "ours": auc["ours"]}}, note)


def run(quick: bool) -> Timing:
    return measure(2_000, 2, 1, quick) if quick else measure(300_000, 100, 2, quick)


BENCHMARK = Benchmark("spark_fm", "Fitting a factorization machine", "pyspark.ml.classification.FMClassifier", run)
