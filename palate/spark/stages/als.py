"""ALS: pyspark.ml's class, with its objective, fitted by one executor in native code while the ratings fit there.

`engine` says who fits: "native" is `palate.kernels.als`, "spark" is pyspark.ml's own, spread over the cluster. "auto"
begins with the native one. Its task counts the ratings as they come, and gives up as soon as their matrix would take
more than MEMORY_SHARE of the memory that is left on its executor; then MLlib takes over. Nothing is counted beforehand.
"""

from __future__ import annotations

import logging
from typing import Any, ClassVar

import numpy as np
from pyspark import StorageLevel
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.recommendation import _ALSParams
from pyspark.sql import DataFrame

from palate.errors import ParameterError
from palate.kernels.als import Objective, als
from palate.spark.stages.base import Check, NativeEstimator, at_least, one_of
from palate.spark.stages.factor_model import FilterSeen, NativeFactorModel, cold_start
from palate.spark.stages.gathered import Fit, Fitted, fit_gathered
from palate.spark.stages.mllib_als import fit_mllib
from palate.spark.stages.ratings import Read, TooManyError, select_ratings, task_cores

_log = logging.getLogger("palate.spark")


def storage_level(value: str) -> str | None:
    return None if isinstance(getattr(StorageLevel, value, None), StorageLevel) else f"is no storage level: {value!r}."


class _Engine(Params):
    """The Param `engine`."""

    engine: Param[str] = Param(
        Params._dummy(),
        "engine",
        "who fits: native (one executor), spark (pyspark.ml's own, distributed), or auto (native while memory allows)",
        typeConverter=TypeConverters.toString,
    )

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._setDefault(engine="auto")


class ALSModel(NativeFactorModel):
    """A matrix factorization by ALS. `engine` says who fitted it."""


class ALS(NativeEstimator, _ALSParams, _Engine, FilterSeen):
    """Alternating least squares with pyspark.ml's objective; see `palate.kernels.als`.

    Params: those of pyspark.ml, and `engine` and `filterSeen`. Ids are integers of up to 64 bits, whole numbers of any
    numeric type, or text. `fit` raises SchemaError for null or fractional ids, for ratings that are null, NaN or
    infinite, and for no rows; ParameterError if the factors outgrow float32. Several ratings of a pair all count.
    `numUserBlocks`, `numItemBlocks`, `blockSize`, `checkpointInterval` and the storage levels matter to the engine
    "spark" only.
    """

    checks: ClassVar[dict[str, Check]] = {
        "rank": at_least(1),
        "maxIter": at_least(0),
        "regParam": at_least(0),
        "alpha": at_least(0),
        "numUserBlocks": at_least(1),
        "numItemBlocks": at_least(1),
        "blockSize": at_least(1),
        "checkpointInterval": lambda value: None if value == -1 or value >= 1 else "must be -1 or at least 1.",
        "intermediateStorageLevel": lambda value: "must not be NONE." if value == "NONE" else storage_level(value),
        "finalStorageLevel": storage_level,
        "coldStartStrategy": cold_start,
        "engine": one_of("auto", "native", "spark"),
    }

    def getColdStartStrategy(self) -> str:
        """Gets the value of coldStartStrategy in lower case."""
        return super().getColdStartStrategy().lower()

    def setNumBlocks(self, value: int) -> ALS:
        """Sets both numUserBlocks and numItemBlocks."""
        return self._set(numUserBlocks=value, numItemBlocks=value)

    def _fit(self, dataset: DataFrame) -> ALSModel:
        names = {"user": self.getUserCol(), "item": self.getItemCol(), "rating": self.getRatingCol()}
        ratings = select_ratings(dataset, *names.values())
        engine, seen = self.getOrDefault(self.engine), self.getOrDefault(self.filterSeen)
        if engine != "spark":
            fit = self._native(task_cores(dataset.sparkSession))
            try:
                found = fit_gathered(ratings, names, fit, seen, bounded=engine == "auto")
                _log.info("ALS: the native engine fitted %d users and %d items.", len(found.users), len(found.items))
                return ALSModel(found)._of(self)
            except TooManyError as error:
                _log.warning("ALS: MLlib's engine takes over: the ratings are too many for one executor; %s.", error)
        return ALSModel(fit_mllib(ratings, names, self, seen))._of(self)

    def _native(self, threads: int | None) -> Fit:
        objective = Objective(self.getImplicitPrefs(), self.getRegParam(), self.getAlpha(), self.getNonnegative())
        rank, iterations, seed = self.getRank(), self.getMaxIter(), self.getSeed()

        def fit(read: Read) -> Fitted:
            users, items = als(read.ratings, objective, rank, iterations, seed % 2**64, threads)
            if not (np.isfinite(users).all() and np.isfinite(items).all()):
                raise ParameterError(
                    "the factors are not finite numbers.", where="ALS.regParam", hint="Raise it, or scale the ratings."
                )
            return users, items

        return fit
