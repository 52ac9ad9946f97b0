"""KMeans: pyspark.ml's class, with Lloyd's iterations on rows that each executor reads once.

A fit is one Spark job. Its tasks run together: each reads its rows into a float32 array, and from then on they only
sum centres with each other, which takes less than a millisecond a time.
"""

from __future__ import annotations

import importlib.util
import logging
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.ml.clustering import _KMeansParams
from pyspark.ml.linalg import Vector
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.sql import DataFrame
from pyspark.sql import functions as f
from pyspark.sql.types import IntegerType, NumericType, StructField

from palate.errors import NotFittedError, SchemaError
from palate.kernels.kmeans_start import MODES
from palate.models.kmeans import DISTANCES
from palate.models.kmeans import KMeans as Artifact
from palate.spark.stages.base import NativeEstimator, NativeModel, at_least, one_of
from palate.spark.stages.blocks import Block
from palate.spark.stages.columns import by_row, named, nominal, quoted, require_column
from palate.spark.stages.features import map_features, sent
from palate.spark.stages.group import run_together
from palate.spark.stages.kmeans_fit import Options
from palate.spark.stages.kmeans_rows import of_length_one

_log = logging.getLogger("palate.spark")


class _NativeKMeansParams(_KMeansParams):
    nInit: Param[int] = Param(
        Params._dummy(),
        "nInit",
        "How many times to start anew; the fit of least cost is kept. Must be > 0.",
        typeConverter=TypeConverters.toInt,
    )

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._setDefault(nInit=1)


class KMeans(NativeEstimator, _NativeKMeansParams):
    """Parts vectors into `k` clusters around their means.

    Params: pyspark.ml's, where `initMode` may also be "k-means++", and `nInit`. `solver`, `maxBlockSizeInMB` and
    `intermediateStorageLevel` are taken and change nothing: rows are always computed in blocks, and nothing
    intermediate is stored. Source: palate.kernels.lloyd, palate.kernels.kmeans_start.

    `fit` raises SchemaError for null, ragged, empty or non-finite vectors, for null, negative or non-finite weights,
    for vectors of zeros where the distance is cosine, for no rows and for no weight at all. Fewer different vectors
    than k give as many clusters as there are.
    """

    checks: ClassVar = {
        "k": at_least(2),
        "initMode": one_of(*MODES),
        "initSteps": at_least(1),
        "maxIter": at_least(0),
        "tol": at_least(0),
        "distanceMeasure": one_of(*DISTANCES),
        "solver": one_of("auto", "row", "block"),
        "maxBlockSizeInMB": at_least(0),
        "nInit": at_least(1),
    }

    def _fit(self, dataset: DataFrame) -> KMeansModel:
        column, weight = self.getFeaturesCol(), self.getOrDefault("weightCol") if self.isDefined("weightCol") else ""
        columns = [sent(dataset, column)]
        if weight:
            _require_number(dataset, weight)
            columns.append(f.col(quoted(weight)).cast("double").alias(weight))
        distance = self.getDistanceMeasure()
        options = Options(
            column, weight, self.getK(), self.getInitMode(), self.getInitSteps(), self.getMaxIter(), self.getTol(),
            distance == "cosine", self.getOrDefault("nInit"), self.getSeed() % 2**64,
        )  # fmt: skip
        parts = run_together(dataset.select(*columns), options.work, tasks=_tasks(), ordered=True)
        if not parts:  # Spark knew that there are none, and ran no task
            raise SchemaError("there are no rows to learn from.", where=column)
        (found,) = parts
        model = KMeansModel(Artifact(found["centers"], distance))._of(self)
        sizes = np.zeros(self.getK(), dtype=np.int64)
        sizes[: len(found["sizes"])] = found["sizes"]
        model._summary = KMeansSummary(
            model, dataset, float(found["cost"]), sizes.tolist(), int(found["iterations"]), self.getK()
        )
        return model


class KMeansModel(NativeModel, _NativeKMeansParams):
    """`transform` adds `predictionCol`: the number of the closest centre."""

    artifact: Artifact
    shown = ("k", "distanceMeasure", "numFeatures")
    _summary: KMeansSummary | None = None

    def clusterCenters(self) -> list[npt.NDArray[np.float64]]:
        """The centres, each `(numFeatures,) float64`; of length one where the distance is cosine."""
        return list(self.artifact.centers.copy())

    @property
    def numFeatures(self) -> int:
        return self.artifact.n_features

    def predict(self, value: Vector) -> int:
        """The cluster of one vector. Raises SchemaError if it has another width."""
        row = np.asarray(value.toArray() if isinstance(value, Vector) else value, dtype=np.float64)
        if row.shape != (self.numFeatures,):
            raise SchemaError(f"the vector has shape {row.shape}, not ({self.numFeatures},).", where="predict")
        if not np.isfinite(row).all():
            raise SchemaError("the vector holds NaN or infinity.", where="predict")
        return int(self.artifact.closest(row[None])[0])

    @property
    def hasSummary(self) -> bool:
        """Whether this is a model that `fit` gave or a copy of one, and not one that was loaded."""
        return self._summary is not None

    @property
    def summary(self) -> KMeansSummary:
        """Raises NotFittedError where `hasSummary` is False."""
        if self._summary is None:
            raise NotFittedError("a model that was loaded has no training summary.", where="KMeansModel.summary")
        return self._summary

    def _added(self) -> list[StructField]:
        clusters = len(self.artifact.centers)
        return [StructField(self.getPredictionCol(), IntegerType(), metadata=nominal(clusters))]

    def _transform(self, dataset: DataFrame) -> DataFrame:
        column, artifact = self.getFeaturesCol(), self.artifact
        dataset = by_row(dataset)

        def predict(block: Block, task: int, start: int) -> pa.Array:
            if artifact.distance == "cosine":
                block = of_length_one(block, column, task, start)
            return pa.array(artifact.closest(block))

        found = map_features(dataset, column, predict, IntegerType(), artifact.n_features)
        (field,) = self._added()
        return dataset.withColumn(field.name, named(found, field))


@dataclass(frozen=True)
class KMeansSummary:
    """How a fit went, by pyspark.ml's names.

    trainingCost: the weighted sum of squared distances (of 1 - cos, where the distance is cosine) to the centres of
    the model. clusterSizes: rows per cluster, k of them. numIter: iterations taken. k: what was asked for.
    """

    model: KMeansModel
    dataset: DataFrame
    trainingCost: float
    clusterSizes: list[int]
    numIter: int
    k: int

    @property
    def featuresCol(self) -> str:
        return self.model.getFeaturesCol()

    @property
    def predictionCol(self) -> str:
        return self.model.getPredictionCol()

    @property
    def predictions(self) -> DataFrame:
        """What `transform` gives of the training data."""
        return self.model.transform(self.dataset)

    @property
    def cluster(self) -> DataFrame:
        """The column of clusters alone."""
        return self.predictions.select(self.predictionCol)


def _tasks() -> int | None:
    """As many as can run at once, or one where there is no torch, through whose gloo they talk."""
    if importlib.util.find_spec("torch") is not None:
        return None
    _log.warning("KMeans computes in one task: pip install 'palate[torch]' lets all cores take part.")
    return 1


def _require_number(frame: DataFrame, column: str) -> None:
    kind = require_column(frame, column)
    if not isinstance(kind, NumericType):
        raise SchemaError(f"weights must be numbers, not {kind.simpleString()}.", where=column)
