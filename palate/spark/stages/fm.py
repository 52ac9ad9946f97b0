"""FMClassifier and FMRegressor: pyspark.ml's classes, trained by mini-batches in torch on the executors.

`maxIter` counts epochs, at most; training ends when a held-out share of the rows stops getting better. Columns of
categories and numbers are taken as they are (`categoricalCols`, `numericCols`), beside vectors or instead of them.
"""

from __future__ import annotations

import logging
from typing import ClassVar

from pyspark.ml.classification import _ProbabilisticClassifierParams
from pyspark.sql import DataFrame
from pyspark.sql import functions as f

from palate.errors import ParameterError
from palate.kernels.fm import FMOptions
from palate.models.factorization_machine import FactorizationMachine
from palate.spark.stages.base import NativeEstimator
from palate.spark.stages.columns import quoted, require_categories, require_numbers
from palate.spark.stages.features import require_features, sent
from palate.spark.stages.fm_model import FMClassificationModel, FMRegressionModel, Training
from palate.spark.stages.fm_params import CHECKS, CLASSIFIER_CHECKS, FMParams
from palate.spark.stages.fm_training import Columns, tasks_for, train

_log = logging.getLogger("palate.spark")


class _NativeFM(NativeEstimator, FMParams):
    """What both estimators share."""

    checks: ClassVar = CHECKS
    _task: ClassVar[str]
    _loss: ClassVar[str]

    def _train(self, dataset: DataFrame) -> tuple[FactorizationMachine, Training]:
        columns = self._columns(dataset)
        frame = dataset.select(
            *(f.col(quoted(name)).cast("double").alias(name) for name in (columns.label, *columns.numbers)),
            *([] if columns.features is None else [sent(dataset, columns.features)]),
            *(f.col(quoted(name)).alias(name) for name in columns.categories),
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
        elif fit.best == 0 and fit.validation:
            _log.warning("%s: no epoch was better than the best constant, which the model is.", type(self).__name__)
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
        require_numbers(dataset, self.getLabelCol(), *numbers)
        require_categories(dataset, *categories)
        return Columns(self.getLabelCol(), features, numbers, categories, self._task == "classification")


class FMClassifier(_NativeFM, _ProbabilisticClassifierParams):
    """A factorization machine of degree two (Rendle 2010) for labels 0 and 1, trained on the logistic loss.

    Params beyond pyspark.ml's: `categoricalCols`, `numericCols`, `batchSize`, `validationFraction`, `patience`,
    `numWorkers`. With columns named, `featuresCol` counts only where it was set. `maxIter` counts epochs. Of a
    single class the model learns just that. `fit` raises SchemaError, naming column and row, for labels other than 0
    and 1, for numbers, labels or vectors that are null or not finite, for ragged vectors and for no rows at all;
    ParameterError if training diverges at once.
    """

    checks: ClassVar = {**CHECKS, **CLASSIFIER_CHECKS}
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
