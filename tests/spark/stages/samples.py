"""A sample of every stage, which the conformance suite runs. A new stage fails until it has one here.

To add yours: a `Sample` in SAMPLES. `frame` gives the rows it is tried on, small and with one right answer; `same`
says how far two answers of `transform` may be apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pyspark.ml.evaluation import BinaryClassificationEvaluator, ClusteringEvaluator, Evaluator, RegressionEvaluator
from pyspark.ml.functions import array_to_vector
from pyspark.ml.linalg import Vector
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as f


@dataclass(frozen=True)
class Sample:
    """A stage and what it is compared with.

    peer: the class of pyspark.ml, as "module.Class"; empty if there is none. make: Params -> the stage.
    frame: rows to fit and transform, at least 20, with a column `row` that numbers them. outputs: the columns that
    `transform` adds. features: the column of vectors, where the stage takes one. tuned: a Param and two values of it,
    for param maps. tried: a Param and two values, of which `evaluator` finds the first better. same: (answers, other
    answers) -> whether they agree; answers are one array per output column, by `row`. default: Param to why its
    default is not the peer's.
    """

    name: str
    peer: str
    make: Callable[..., Any]
    frame: Callable[[SparkSession], DataFrame]
    outputs: tuple[str, ...]
    same: Callable[[Any, Any], bool]
    evaluator: Callable[[], Evaluator]
    tried: tuple[str, Any, Any]
    features: str = ""
    tuned: tuple[str, Any, Any] = ("", None, None)
    defaults: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name


class Spread(Evaluator):
    """The variance of vectors `out`, summed over their columns."""

    def _evaluate(self, dataset: DataFrame) -> float:
        return float(answers(dataset, ("out",))[0].var(axis=0).sum())


def by_rating() -> Evaluator:
    return RegressionEvaluator(labelCol="rating")


def close(tolerance: float) -> Callable[[Any, Any], bool]:
    """All numbers of all output columns agree within `tolerance`."""
    return lambda ours, theirs: all(np.allclose(a, b, atol=tolerance) for a, b in zip(ours, theirs, strict=True))


def answers(frame: DataFrame, columns: tuple[str, ...]) -> list[Any]:
    """One array per column, in the order of `row`."""
    rows = sorted(frame.select("row", *columns).collect(), key=lambda row: row["row"])
    return [np.array([plain(row[column]) for row in rows]) for column in columns]


def plain(value: Any) -> Any:
    return value.toArray() if isinstance(value, Vector) else value


def vectors(spark: SparkSession, rows: np.ndarray, **columns: Any) -> DataFrame:
    """`row`, `features` (VectorUDT) and more columns, in two partitions."""
    names = list(columns)
    data = [(n, row.tolist(), *(columns[name][n].item() for name in names)) for n, row in enumerate(rows)]
    kinds = ", ".join(["row int", "values array<double>", *(f"{name} double" for name in names)])
    frame = spark.createDataFrame(data, kinds).repartition(2)
    return frame.select("row", array_to_vector(f.col("values")).alias("features"), *names)


def stretched(spark: SparkSession) -> DataFrame:
    """60 vectors of width 5 whose columns vary by 5, 4, 3, 2, 1: every direction is its own."""
    rng = np.random.default_rng(3)
    centred = rng.standard_normal((60, 5))
    centred -= centred.mean(axis=0)
    return vectors(spark, np.linalg.qr(centred)[0] * [5, 4, 3, 2, 1] * 10 + [100, 0, -20, 3, 0])


def _pca(**params: Any) -> Any:
    from palate.spark import PCA

    return PCA(**{"k": 2, "inputCol": "features", "outputCol": "out", **params})


def tastes(spark: SparkSession) -> DataFrame:
    """All ratings of 12 users for 8 items, whose tastes are two: `row`, `user` (text), `item` (int), `rating`."""
    rng = np.random.default_rng(4)
    table = rng.uniform(0.5, 2, (12, 2)) @ rng.uniform(0.5, 2, (2, 8))
    rows = [(8 * u + i, f"u{u}", i, float(table[u, i])) for u in range(12) for i in range(8)]
    return spark.createDataFrame(rows, "row int, user string, item int, rating double").repartition(2)


def numbered_tastes(spark: SparkSession) -> DataFrame:
    """As `tastes`, the users numbered: MLlib knows no others."""
    return tastes(spark).withColumn("user", f.substring("user", 2, 9).cast("int"))


def _als(**params: Any) -> Any:
    from palate.spark import ALS

    return ALS(**{"rank": 2, "maxIter": 8, "regParam": 0.01, "seed": 1, **params})


def _implicit_als(**params: Any) -> Any:
    from palate.spark import ImplicitALS

    return ImplicitALS(**{"factors": 2, "iterations": 20, "regularization": 0.1, **params})


def _implicit_bpr(**params: Any) -> Any:
    from palate.spark import ImplicitBPR

    return ImplicitBPR(**{"factors": 2, "iterations": 10, **params})


def interacting(spark: SparkSession) -> DataFrame:
    """200 vectors of width 4 and labels 0 and 1: the sign of x0 + 2 x1 x2, none close to it."""
    rows = np.random.default_rng(4).uniform(-1, 1, (400, 4))
    values = rows[:, 0] + 2 * rows[:, 1] * rows[:, 2]
    chosen = np.flatnonzero(np.abs(values) > 0.4)[:200]
    return vectors(spark, rows[chosen], label=(values[chosen] > 0).astype(float))


def products(spark: SparkSession) -> DataFrame:
    """200 vectors of width 4 and as labels 0.5 + x0 + 2 x1 x2, which has no noise: a fit that has converged finds it.

    The offset is small, since pyspark.ml's intercept starts at 0 and moves by `stepSize` an iteration.
    """
    rows = np.random.default_rng(4).uniform(-1, 1, (200, 4))
    return vectors(spark, rows, label=0.5 + rows[:, 0] + 2 * rows[:, 1] * rows[:, 2])


def corners(spark: SparkSession) -> DataFrame:
    """60 vectors of width 3 near four points that lie far apart."""
    rng = np.random.default_rng(6)
    return vectors(
        spark, np.array([[9, 0, 0], [0, 9, 0], [0, 0, 9], [9, 9, 9]])[rng.integers(0, 4, 60)] + rng.normal(size=(60, 3))
    )


def same_clusters(ours: Any, theirs: Any) -> bool:
    """The same rows are together, whatever the clusters are called."""
    pairs = set(zip(ours[0], theirs[0], strict=True))
    return len(pairs) == len(set(ours[0])) == len(set(theirs[0]))


def _kmeans(**params: Any) -> Any:
    from palate.spark import KMeans

    return KMeans(**{"k": 4, "seed": 2, **params})


def same_labels(ours: Any, theirs: Any) -> bool:
    """The last column agrees in 97 rows of 100."""
    return bool(np.mean(ours[-1] == theirs[-1]) > 0.97)


def _fm_classifier(**params: Any) -> Any:
    from palate.spark import FMClassifier

    return FMClassifier(**{**_FM, **params})


def _fm_regressor(**params: Any) -> Any:
    from palate.spark import FMRegressor

    # Without noise Adam's steps never become small, and an epoch now and then is far off: the best of them is kept.
    return FMRegressor(**{**_FM, "validationFraction": 0.1, "patience": 100, **params})


_FM = {"factorSize": 4, "stepSize": 0.05, "maxIter": 100, "validationFraction": 0.0, "initStd": 0.1, "seed": 1}
"""seed: pyspark.ml's own default is another one in every process."""
_FM_DEFAULTS = {"stepSize": "a step here is one of a small batch, and pyspark.ml's 1.0 one of all rows"}

SAMPLES = [
    Sample(
        "ALS",
        peer="pyspark.ml.recommendation.ALS",
        make=_als,
        frame=numbered_tastes,
        evaluator=by_rating,
        tried=("regParam", 0.01, 100.0),
        outputs=("prediction",),
        same=close(0.05),
        tuned=("blockSize", 16, 32),
    ),
    Sample(
        "ImplicitALS",
        peer="",
        make=_implicit_als,
        frame=tastes,
        evaluator=by_rating,
        tried=("regularization", 0.1, 1e6),
        outputs=("prediction",),
        same=close(1e-4),
        tuned=("blockSize", 16, 32),
    ),
    Sample(
        "ImplicitBPR",
        peer="",
        make=_implicit_bpr,
        frame=tastes,
        evaluator=by_rating,
        tried=("learning_rate", 0.001, 0.1),
        outputs=("prediction",),
        same=close(1e-4),
        tuned=("blockSize", 16, 32),
    ),
    Sample(
        "FMClassifier",
        peer="pyspark.ml.classification.FMClassifier",
        make=_fm_classifier,
        frame=interacting,
        evaluator=BinaryClassificationEvaluator,
        tried=("maxIter", 50, 1),
        outputs=("rawPrediction", "probability", "prediction"),
        same=same_labels,
        features="features",
        tuned=("factorSize", 2, 3),
        defaults=_FM_DEFAULTS,
    ),
    Sample(
        "FMRegressor",
        peer="pyspark.ml.regression.FMRegressor",
        make=_fm_regressor,
        frame=products,
        evaluator=RegressionEvaluator,
        tried=("maxIter", 50, 1),
        outputs=("prediction",),
        same=close(0.15),
        features="features",
        tuned=("factorSize", 2, 3),
        defaults=_FM_DEFAULTS,
    ),
    Sample(
        "KMeans",
        peer="pyspark.ml.clustering.KMeans",
        make=_kmeans,
        frame=corners,
        evaluator=ClusteringEvaluator,
        tried=("k", 4, 2),
        outputs=("prediction",),
        same=same_clusters,
        features="features",
        tuned=("k", 2, 3),
    ),
    Sample(
        "PCA",
        peer="pyspark.ml.feature.PCA",
        make=_pca,
        frame=stretched,
        evaluator=Spread,
        tried=("k", 3, 1),
        outputs=("out",),
        same=lambda ours, theirs: np.allclose(np.abs(ours[0]), np.abs(theirs[0]), atol=1e-3),
        features="features",
        tuned=("k", 1, 3),
    ),
]
