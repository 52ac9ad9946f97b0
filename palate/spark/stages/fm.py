"""FMClassifier and FMRegressor: pyspark.ml's classes, trained by mini-batches in torch on the executors.

`maxIter` counts epochs, at most; training ends when a held-out share of the rows stops getting better. Columns of
categories and numbers are taken as they are (`categoricalCols`, `numericCols`), beside vectors or instead of them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.ml.classification import (
    FMClassificationSummary,
    FMClassificationTrainingSummary,
    _ProbabilisticClassifierParams,
)
from pyspark.ml.linalg import DenseMatrix, DenseVector, Vector, VectorUDT
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.regression import _FactorizationMachinesParams
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as f
from pyspark.sql.pandas.functions import arrow_udf
from pyspark.sql.types import DataType, DoubleType, IntegralType, NumericType, StringType, StructType
from scipy import sparse
from scipy.special import expit

from palate.errors import NotFittedError, ParameterError, SchemaError
from palate.features.columns import ColumnEncoder
from palate.kernels.fm import FMOptions
from palate.kernels.fm_solver import SOLVERS
from palate.models.factorization_machine import FactorizationMachine
from palate.spark.stages.base import Check, NativeEstimator, NativeModel, above, at_least, between, one_of
from palate.spark.stages.features import require_features, to_block, vector_array
from palate.spark.stages.fm_training import Columns, tasks_for, train

_log = logging.getLogger("palate.spark")


class _FMParams(_FactorizationMachinesParams):
    """pyspark.ml's Params, and ours."""

    categoricalCols: Param[list[str]] = Param(
        Params._dummy(),
        "categoricalCols",
        "columns of strings or integers, each value of which is a feature; values unseen in training are none.",
        TypeConverters.toListString,
    )
    numericCols: Param[list[str]] = Param(
        Params._dummy(),
        "numericCols",
        "columns of numbers, each a feature; they are standardised, and must neither be null nor NaN.",
        TypeConverters.toListString,
    )
    batchSize: Param[int] = Param(
        Params._dummy(), "batchSize", "rows per step of the solver, of all tasks together.", TypeConverters.toInt
    )
    validationFraction: Param[float] = Param(
        Params._dummy(),
        "validationFraction",
        "share of the rows held out to tell when to stop; 0 trains for maxIter epochs.",
        TypeConverters.toFloat,
    )
    patience: Param[int] = Param(
        Params._dummy(),
        "patience",
        "epochs without a better validation loss after which training ends; the best state is kept.",
        TypeConverters.toInt,
    )
    numWorkers: Param[int] = Param(
        Params._dummy(),
        "numWorkers",
        "tasks that train together; 0: one while the rows fit it, then as many as can run at once.",
        TypeConverters.toInt,
    )

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._setDefault(
            categoricalCols=[],
            numericCols=[],
            batchSize=1024,
            validationFraction=0.1,
            patience=2,
            numWorkers=0,
            stepSize=0.01,
        )


def _unsupported(_: Any) -> str:
    return "is not supported: all rows weigh the same (pyspark.ml trains as if it were not set)."


def _share(value: float) -> str | None:
    return None if 0 < value <= 1 else f"must lie in (0, 1], not {value!r}."


def _finite(check: Check) -> Check:
    return lambda value: check(value) if np.isfinite(value) else f"must be a finite number, not {value!r}."


_CHECKS = {
    "factorSize": at_least(0),
    "regParam": _finite(at_least(0)),
    "miniBatchFraction": _share,
    "initStd": _finite(at_least(0)),
    "maxIter": at_least(1),
    "stepSize": _finite(above(0)),
    "tol": at_least(0),
    "solver": one_of(*SOLVERS),
    "batchSize": at_least(1),
    "validationFraction": between(0, 0.9),
    "patience": at_least(1),
    "numWorkers": at_least(0),
    "weightCol": _unsupported,
}


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


class _NativeFM(NativeEstimator, _FMParams):
    """What both estimators share."""

    checks: ClassVar = _CHECKS
    _task: ClassVar[str]
    _loss: ClassVar[str]

    def _train(self, dataset: DataFrame) -> tuple[FactorizationMachine, Training]:
        columns = self._columns(dataset)
        double, as_is = (columns.label, *columns.numbers), (columns.features, *columns.categories)
        frame = dataset.select(
            *(f.col(_quoted(name)).cast("double").alias(name) for name in double),
            *(f.col(_quoted(name)) for name in as_is if name is not None),
        )
        fit, encoder = train(frame, columns, self._options(), tasks_for(frame, self.getOrDefault(self.numWorkers)))
        if fit.diverged:
            name = f"{type(self).__name__}.stepSize"
            if fit.best == 0:
                raise ParameterError(
                    "training diverged: after the first epoch the loss is no number.",
                    where=name,
                    hint=f"Lower it; it is {self.getStepSize():g}.",
                )
            _log.warning("%s: training diverged; the state of epoch %d is kept. Lower the step size.", name, fit.best)
        machine = FactorizationMachine(fit.intercept, fit.linear, fit.factors, self._task, encoder)
        return machine, Training(fit.history, fit.validation, fit.best, fit.diverged)

    def _options(self) -> FMOptions:
        return FMOptions(
            loss=self._loss,
            factors=self.getFactorSize(),
            intercept=self.getFitIntercept(),
            linear=self.getFitLinear(),
            init_std=self.getInitStd(),
            solver=self.getSolver(),
            step_size=self.getStepSize(),
            decay=self.getRegParam(),
            batch_size=self.getOrDefault(self.batchSize),
            epochs=self.getMaxIter(),
            fraction=self.getMiniBatchFraction(),
            validation=self.getOrDefault(self.validationFraction),
            patience=self.getOrDefault(self.patience),
            tolerance=self.getTol(),
            seed=self.getSeed() % (1 << 63),
        )

    def _columns(self, dataset: DataFrame) -> Columns:
        """Which columns are what. Raises SchemaError for one that is missing, of a wrong type or named twice."""
        numbers: tuple[str, ...] = tuple(self.getOrDefault("numericCols"))
        categories: tuple[str, ...] = tuple(self.getOrDefault("categoricalCols"))
        features = self.getFeaturesCol() if self.isSet("featuresCol") or not (numbers or categories) else None
        named = [self.getLabelCol(), *([features] if features else []), *numbers, *categories]
        for name in named:
            if named.count(name) > 1:
                raise ParameterError(f"the column {name!r} is named twice.", where=type(self).__name__)
        if features is not None:
            require_features(dataset, features)
        for name in (self.getLabelCol(), *numbers):
            _require_type(dataset, name, NumericType, "no numbers", "Cast it to double.")
        for name in categories:
            _require_type(dataset, name, (StringType, IntegralType), "no categories", "Cast it to string.")
        return Columns(self.getLabelCol(), features, numbers, categories, self._task == "classification")


def _quoted(name: str) -> str:
    """The name of a column as Spark's expressions take it, dots included."""
    return f"`{name.replace('`', '``')}`"


def _require_type(dataset: DataFrame, name: str, kinds: Any, what: str, hint: str) -> None:
    if name not in dataset.columns:
        raise SchemaError(f"there is no column {name!r}.", where=name, hint=f"There is: {', '.join(dataset.columns)}.")
    kind: DataType = dataset.schema[name].dataType
    if not isinstance(kind, kinds):
        raise SchemaError(f"the column holds {kind.simpleString()}, {what}.", where=name, hint=hint)


class FMClassifier(_NativeFM, _ProbabilisticClassifierParams):
    """A factorization machine of degree two (Rendle 2010) for labels 0 and 1, trained on the logistic loss.

    Params beyond pyspark.ml's: `categoricalCols`, `numericCols`, `batchSize`, `validationFraction`, `patience`,
    `numWorkers`. With columns named, `featuresCol` counts only where it was set. `maxIter` counts epochs. Of a
    single class the model learns just that. `fit` raises SchemaError, naming column and row, for labels other than 0
    and 1, for numbers, labels or vectors that are null or not finite, for ragged vectors and for no rows at all;
    ParameterError if training diverges at once.
    """

    _task, _loss = "classification", "logistic"

    def _fit(self, dataset: DataFrame) -> FMClassificationModel:
        machine, training = self._train(dataset)
        model = FMClassificationModel(machine)._of(self)
        model.training, model._trained_on = training, dataset
        return model


class FMRegressor(_NativeFM):
    """A factorization machine of degree two (Rendle 2010), trained on the squared loss.

    Params and errors as FMClassifier, except that labels are any finite numbers.
    """

    _task, _loss = "regression", "squared"

    def _fit(self, dataset: DataFrame) -> FMRegressionModel:
        machine, training = self._train(dataset)
        model = FMRegressionModel(machine)._of(self)
        model.training = training
        return model


class _NativeFMModel(NativeModel, _FMParams):
    """What both models share."""

    artifact: FactorizationMachine
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
        if held.takes_vector:
            require_features(dataset, self.getFeaturesCol())
        encoder = held.encoder or ColumnEncoder({}, {})
        for name in encoder.numbers:
            _require_type(dataset, name, NumericType, "no numbers", "Cast it to double.")
        for name in encoder.categories:
            _require_type(dataset, name, (StringType, IntegralType), "no categories", "Cast it to string.")
        vector = [f.col(_quoted(self.getFeaturesCol())).alias(_VECTOR)] if held.takes_vector else []
        # Fields by number: Arrow takes any name twice, Spark's struct does not.
        named = [f.col(_quoted(name)).alias(str(place)) for place, name in enumerate(encoder.inputs)]
        run = _scorer(held, self.getFeaturesCol(), list(encoder.inputs), compute)
        made: Column = cast("Any", arrow_udf)(run, returnType=to)(f.struct(*vector, *named))
        return made


_VECTOR = "vector"


def _scorer(machine: FactorizationMachine, features: str, names: list[str], compute: Any) -> Any:
    def run(arrays: Iterator[pa.Array]) -> Iterator[pa.Array]:
        from pyspark import TaskContext

        context = TaskContext.get()
        task, start = (context.partitionId() if context is not None else 0), 0
        for array in arrays:
            yield compute(machine.raw(rows(array, task, start)))
            start += len(array)

    def rows(array: pa.StructArray, task: int, start: int) -> Any:
        blocks: list[Any] = []
        if len(array) == 0:
            return np.zeros((0, machine.n_features))
        if machine.takes_vector:
            blocks.append(to_block(array.field(_VECTOR), features, task, start, machine.n_vector))
        if machine.encoder is not None:
            columns = {name: array.field(str(place)) for place, name in enumerate(names)}
            blocks.append(machine.encoder.encode(columns))
        return blocks[0] if len(blocks) == 1 else sparse.csr_matrix(sparse.hstack(blocks))

    run.__annotations__ = {"arrays": Iterator[pa.Array], "return": Iterator[pa.Array]}
    return run


class FMClassificationModel(_NativeFMModel, _ProbabilisticClassifierParams):
    """`transform` adds the log odds, the probabilities and the predicted label, each where its column has a name."""

    _trained_on: DataFrame | None = None

    @property
    def numClasses(self) -> int:
        return 2

    @property
    def hasSummary(self) -> bool:
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
        _require_type(dataset, self.getLabelCol(), NumericType, "no numbers", "Cast it to double.")
        label = f.col(_quoted(self.getLabelCol())).cast("double")
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
        one = float(expit(self._raw(value)))
        return DenseVector([1 - one, one])

    def predict(self, value: Vector) -> float:
        return float(self._labels(np.array([self._raw(value)]))[0])

    def _labels(self, raw: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return _labels(raw, self.getThresholds() if self.isDefined("thresholds") else None)

    def transformSchema(self, schema: StructType) -> StructType:
        for name, kind in self._outputs():
            schema = schema.add(name, kind)
        return schema

    def _outputs(self) -> list[tuple[str, DataType]]:
        """The columns that `transform` adds; an empty name leaves one out."""
        kinds: list[tuple[str, DataType]] = [
            (self.getRawPredictionCol(), VectorUDT()),
            (self.getProbabilityCol(), VectorUDT()),
            (self.getPredictionCol(), DoubleType()),
        ]
        return [(name, kind) for name, kind in kinds if name]

    def _transform(self, dataset: DataFrame) -> DataFrame:
        thresholds = self.getThresholds() if self.isDefined("thresholds") else None
        fields = [("raw", VectorUDT()), ("probability", VectorUDT()), ("prediction", DoubleType())]
        named = [self.getRawPredictionCol(), self.getProbabilityCol(), self.getPredictionCol()]
        # By its name, not its code: SciPy's functions in it would be looked for in the user's own module.
        compute = partial(_answers, thresholds=thresholds)
        answer = self._map(dataset, compute, _struct(fields))
        held = dataset.select("*", answer.alias(_ANSWER))
        wanted = {name: f.col(f"{_ANSWER}.{field}") for name, (field, _) in zip(named, fields, strict=True) if name}
        return held.withColumns(wanted).drop(_ANSWER)


class FMRegressionModel(_NativeFMModel):
    """`transform` adds `predictionCol`."""

    def predict(self, value: Vector) -> float:
        """The value of one vector of all features."""
        return self._raw(value)

    def transformSchema(self, schema: StructType) -> StructType:
        return schema.add(self.getPredictionCol(), DoubleType())

    def _transform(self, dataset: DataFrame) -> DataFrame:
        return dataset.withColumn(self.getPredictionCol(), self._map(dataset, pa.array, DoubleType()))


def _labels(raw: npt.NDArray[np.float64], thresholds: list[float] | None) -> npt.NDArray[np.float64]:
    """The label of the larger probability, each divided by its threshold where there are any, as in pyspark.ml."""
    if thresholds is None:
        return (raw > 0).astype(np.float64)
    one = expit(raw)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(one / thresholds[1] > (1 - one) / thresholds[0], 1.0, 0.0)


def _answers(raw: npt.NDArray[np.float64], thresholds: list[float] | None) -> pa.Array:
    parts = [
        vector_array(np.stack([-raw, raw], axis=1)),
        vector_array(np.stack([expit(-raw), expit(raw)], axis=1)),
        pa.array(_labels(raw, thresholds)),
    ]
    return pa.StructArray.from_arrays(parts, names=["raw", "probability", "prediction"])


def _struct(fields: list[tuple[str, Any]]) -> StructType:
    made = StructType()
    for name, kind in fields:
        made = made.add(name, kind)
    return made


_ANSWER, _PROBABILITY, _PREDICTION = "palate_fm_answer", "palate_fm_probability", "palate_fm_prediction"
