"""The models of FMClassifier and FMRegressor: what they learned, `transform`, and pyspark.ml's summaries of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Self, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.ml.classification import (
    FMClassificationSummary,
    FMClassificationTrainingSummary,
    _ProbabilisticClassifierParams,
)
from pyspark.ml.functions import array_to_vector
from pyspark.ml.linalg import DenseMatrix, DenseVector, Vector, VectorUDT
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as f
from pyspark.sql.pandas.functions import arrow_udf
from pyspark.sql.types import DoubleType, StructField, StructType
from scipy import sparse
from scipy.special import expit

from palate.errors import NotFittedError, SchemaError
from palate.features.columns import ColumnEncoder
from palate.models.factorization_machine import FactorizationMachine
from palate.spark.stages.base import NativeModel
from palate.spark.stages.blocks import placed, to_block
from palate.spark.stages.columns import (
    NUMERIC,
    by_row,
    named,
    nominal,
    quoted,
    require_categories,
    require_numbers,
    sized,
)
from palate.spark.stages.features import sent
from palate.spark.stages.fm_params import CLASSIFIER_CHECKS, FMParams


@dataclass(frozen=True)
class Training:
    """How training went, epoch by epoch; a model that was loaded has none.

    objectiveHistory: mean training loss before training, then of each epoch. validationHistory: likewise of the rows
    held out, empty where none were. bestIteration: the epoch whose state the model is. diverged: whether training
    ended because the loss was no longer a number.
    """

    objectiveHistory: list[float]
    validationHistory: list[float]
    bestIteration: int
    diverged: bool


class _NativeFMModel(NativeModel, FMParams):
    """What both models share."""

    artifact: FactorizationMachine
    shown: ClassVar[tuple[str, ...]] = ("numFeatures", "factorSize", "fitLinear", "fitIntercept")
    training: Training | None = None

    @property
    def intercept(self) -> float:
        return self.artifact.intercept

    @property
    def linear(self) -> DenseVector:
        """A weight per feature: those of the vector, then the numbers, then the categories' values, sorted."""
        return DenseVector(self.artifact.linear.astype(np.float64))

    @property
    def factors(self) -> DenseMatrix:
        """A row of factors per feature."""
        found = self.artifact.factors.astype(np.float64)
        return DenseMatrix(found.shape[0], found.shape[1], found.ravel().tolist(), isTransposed=True)

    @property
    def numFeatures(self) -> int:
        return self.artifact.n_features

    def _raw(self, value: Vector) -> float:
        """The machine's value for one vector of all features."""
        row = np.asarray(value.toArray(), dtype=np.float64)[None]
        if not np.isfinite(row).all():
            raise SchemaError("the vector holds NaN or infinity.", where="value")
        return float(self.artifact.raw(row)[0])

    def _map(self, dataset: DataFrame, compute: Callable[[npt.NDArray[np.float64]], pa.Array], to: Any) -> Column:
        """A column computed from the machine's value of each row."""
        held = self.artifact
        encoder = held.encoder or ColumnEncoder({}, {})
        require_numbers(dataset, *encoder.numbers)
        require_categories(dataset, *encoder.categories)
        vector = [sent(dataset, self.getFeaturesCol()).alias(_VECTOR)] if held.takes_vector else []
        # Fields by number: Arrow takes any name twice, Spark's struct does not.
        named = [f.col(quoted(name)).alias(str(place)) for place, name in enumerate(encoder.inputs)]
        run = _scorer(held, self.getFeaturesCol(), list(encoder.inputs), compute)
        made: Column = cast("Any", arrow_udf)(run, returnType=to)(f.struct(*vector, *named))
        return made


_VECTOR = "vector"


def _scorer(machine: FactorizationMachine, features: str, names: list[str], compute: Any) -> Any:
    def run(arrays: Iterator[pa.Array]) -> Iterator[pa.Array]:
        for array, task, start in placed(arrays):
            yield compute(machine.raw(rows(array, task, start)))

    def rows(array: pa.StructArray, task: int, start: int) -> Any:
        blocks: list[Any] = []
        if len(array) == 0:
            return np.zeros((0, machine.n_features))
        if machine.takes_vector:
            blocks.append(to_block(array.field(_VECTOR), features, task, start, machine.n_vector))
        if machine.encoder is not None:
            columns = {name: array.field(str(place)) for place, name in enumerate(names)}
            blocks.append(machine.encoder.encode(columns, f"task {task}, row", start))
        return blocks[0] if len(blocks) == 1 else sparse.csr_matrix(sparse.hstack(blocks))

    run.__annotations__ = {"arrays": Iterator[pa.Array], "return": Iterator[pa.Array]}
    return run


class FMClassificationModel(_NativeFMModel, _ProbabilisticClassifierParams):
    """`transform` adds the log odds, the probabilities and the predicted label, each where its column has a name."""

    checks: ClassVar = CLASSIFIER_CHECKS
    shown = ("numClasses", *_NativeFMModel.shown)
    _trained_on: DataFrame | None = None

    def copy(self, extra: Any = None) -> Self:
        """Raises ParameterError for thresholds of `extra` that are none."""
        made = super().copy(extra)
        made._check()
        return made

    @property
    def numClasses(self) -> int:
        return 2

    @property
    def hasSummary(self) -> bool:
        """Whether `summary()` has what it needs: False for a model that was loaded, as in pyspark.ml."""
        return self.training is not None

    def summary(self) -> FMClassificationTrainingSummary:
        """pyspark.ml's own summary of the model on its training rows, with the history of its training.

        A method, as in pyspark.ml. Raises NotFittedError for a model that was loaded.
        """
        if self.training is None or self._trained_on is None:
            raise NotFittedError("a model that was loaded has no training summary.", hint="model.evaluate(dataset)")
        return FMClassificationTrainingSummary(self._java_summary(self._trained_on, self.training.objectiveHistory))

    def evaluate(self, dataset: DataFrame) -> FMClassificationSummary:
        """pyspark.ml's own summary of the model on other rows: accuracy, areaUnderROC, roc, pr, ..."""
        return FMClassificationSummary(self._java_summary(dataset, None))

    def _java_summary(self, dataset: DataFrame, history: list[float] | None) -> Any:
        names = {"probabilityCol": _PROBABILITY, "predictionCol": _PREDICTION}
        missing = {name: column for name, column in names.items() if not self.getOrDefault(name)}
        model = self.copy({self.getParam(name): column for name, column in missing.items()})
        require_numbers(dataset, self.getLabelCol())
        label = f.col(quoted(self.getLabelCol())).cast("double")
        answers = model.transform(dataset.withColumn(self.getLabelCol(), label))
        jvm: Any = dataset.sparkSession.sparkContext._jvm
        package = jvm.org.apache.spark.ml.classification
        arguments = [answers._jdf, model.getProbabilityCol(), model.getPredictionCol(), self.getLabelCol(), "weightCol"]
        if history is None:
            return package.FMClassificationSummaryImpl(*arguments)
        gateway: Any = dataset.sparkSession.sparkContext._gateway
        values = gateway.new_array(jvm.double, len(history))
        for place, value in enumerate(history):
            values[place] = value
        return package.FMClassificationTrainingSummaryImpl(*arguments, values)

    def predictRaw(self, value: Vector) -> DenseVector:
        """The log odds of labels 0 and 1 of one vector of all features."""
        raw = self._raw(value)
        return DenseVector([-raw, raw])

    def predictProbability(self, value: Vector) -> DenseVector:
        """The probabilities of labels 0 and 1 of one vector of all features."""
        raw = self._raw(value)
        return DenseVector([float(expit(-raw)), float(expit(raw))])

    def predict(self, value: Vector) -> float:
        """The label, 0.0 or 1.0, of one vector of all features."""
        return float(self._labels(np.array([self._raw(value)]))[0])

    def _labels(self, raw: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return _labels(raw, self.getThresholds() if self.isDefined("thresholds") else None)

    def _added(self) -> list[StructField]:
        return [field for field in self._fields() if field.name]

    def _fields(self) -> list[StructField]:
        """The columns of the log odds, the probabilities and the label; an empty name leaves one out."""
        two = sized(self.numClasses)
        return [
            StructField(self.getRawPredictionCol(), VectorUDT(), metadata=two),
            StructField(self.getProbabilityCol(), VectorUDT(), metadata=two),
            StructField(self.getPredictionCol(), DoubleType(), metadata=nominal(self.numClasses)),
        ]

    def _transform(self, dataset: DataFrame) -> DataFrame:
        # By its name, not its code: SciPy's functions in it would be looked for in the user's own module.
        dataset = by_row(dataset)
        compute = partial(_answers, thresholds=self.getThresholds() if self.isDefined("thresholds") else None)
        held = dataset.select("*", self._map(dataset, compute, _ANSWERS).alias(_ANSWER))
        raw, zero, one, label = (f.col(f"{_ANSWER}.{name}") for name in _ANSWERS.names)
        made = array_to_vector(f.array(-raw, raw)), array_to_vector(f.array(zero, one)), label
        fields = zip(self._fields(), made, strict=True)
        return held.withColumns({each.name: named(column, each) for each, column in fields if each.name}).drop(_ANSWER)


class FMRegressionModel(_NativeFMModel):
    """`transform` adds `predictionCol`."""

    def predict(self, value: Vector) -> float:
        """The value of one vector of all features."""
        return self._raw(value)

    def _added(self) -> list[StructField]:
        return [StructField(self.getPredictionCol(), DoubleType(), metadata=NUMERIC)]

    def _transform(self, dataset: DataFrame) -> DataFrame:
        dataset = by_row(dataset)
        (field,) = self._added()
        return dataset.withColumn(field.name, named(self._map(dataset, pa.array, DoubleType()), field))


def _labels(raw: npt.NDArray[np.float64], thresholds: list[float] | None) -> npt.NDArray[np.float64]:
    """The label of the larger probability, each divided by its threshold where there are any.

    As in pyspark.ml: label 0 if both are alike; a label whose threshold is 0 wins unless its probability is 0 as well.
    """
    if thresholds is None:
        return (raw > 0).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        zero, one = expit(-raw) / thresholds[0], expit(raw) / thresholds[1]
    return np.asarray((one > zero) | np.isnan(zero), dtype=np.float64)


def _answers(raw: npt.NDArray[np.float64], thresholds: list[float] | None) -> pa.Array:
    parts = [raw, expit(-raw), expit(raw), _labels(raw, thresholds)]
    return pa.StructArray.from_arrays([pa.array(part) for part in parts], names=_ANSWERS.names)


_ANSWERS = StructType([StructField(name, DoubleType()) for name in ("raw", "zero", "one", "label")])
"""What Python answers: numbers, of which Spark makes the vectors. For rows of a columnar scan (Parquet, a cache of
plain columns) Spark 4.3 refuses a function whose answer holds a vector."""
_ANSWER, _PROBABILITY, _PREDICTION = "palate_fm_answer", "palate_fm_probability", "palate_fm_prediction"
