"""The Params of factorization machines: pyspark.ml's, ours beside them, and what their values have to be."""

from __future__ import annotations

from typing import Any

import numpy as np
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.regression import _FactorizationMachinesParams

from palate.kernels.fm_solver import SOLVERS
from palate.spark.stages.base import Check, above, at_least, between, one_of


class FMParams(_FactorizationMachinesParams):
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
        "epochs in a row that save less than a thousandth of the validation loss after which training ends; each makes "
        "the step a tenth; the best state is kept.",
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


def _thresholds(values: list[float]) -> str | None:
    """As pyspark.ml has it: a label's probability is divided by its threshold, and the larger quotient wins."""
    rule = "two thresholds, none below 0 and at most one 0"
    fine = len(values) == 2 and all(np.isfinite(values)) and min(values) >= 0 and max(values) > 0
    return None if fine else f"must be {rule}, not {values!r}."


CHECKS = {
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
CLASSIFIER_CHECKS = {"thresholds": _thresholds}
