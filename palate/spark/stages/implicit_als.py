"""ImplicitALS and ImplicitBPR: models of the implicit library as stages, with its objectives and parameter names.

    ImplicitALS   Hu, Koren and Volinsky, "Collaborative Filtering for Implicit Feedback Datasets", 2008: confidence
                  alpha r where there is an interaction, a penalty that does not grow with a row's interactions
    ImplicitBPR   Rendle et al., "BPR: Bayesian Personalized Ranking from Implicit Feedback", 2009

pyspark.ml's objective for the same feedback is ALS(implicitPrefs=True); the losses of the two don't compare.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.recommendation import _ALSModelParams
from pyspark.sql import DataFrame
from threadpoolctl import threadpool_limits

from palate.errors import ParameterError
from palate.spark.stages.base import Check, NativeEstimator, above, at_least, between
from palate.spark.stages.factor_model import FilterSeen, NativeFactorModel, cold_start
from palate.spark.stages.gathered import Fitted, fit_gathered
from palate.spark.stages.ratings import Read, select_ratings, task_cores


def _param(name: str, doc: str, kind: Any) -> Any:
    return Param(Params._dummy(), name, doc, typeConverter=kind)


class _ImplicitParams(_ALSModelParams, FilterSeen):
    """What both models of the library have."""

    ratingCol: Param[str] = _param(
        "ratingCol",
        "column name for the weights of interactions; empty gives each the weight 1",
        TypeConverters.toString,
    )
    factors: Param[int] = _param("factors", "the number of latent factors", TypeConverters.toInt)
    regularization: Param[float] = _param("regularization", "the regularization factor", TypeConverters.toFloat)
    iterations: Param[int] = _param("iterations", "passes over the data", TypeConverters.toInt)
    num_threads: Param[int] = _param("num_threads", "threads to fit with; 0 for all cores", TypeConverters.toInt)
    random_state: Param[int] = _param("random_state", "seed of the initial factors", TypeConverters.toInt)

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._setDefault(
            userCol="user", itemCol="item", ratingCol="rating", coldStartStrategy="nan",
            factors=100, regularization=0.01, num_threads=0, random_state=0,
        )  # fmt: skip

    def getColdStartStrategy(self) -> str:
        """Gets the value of coldStartStrategy in lower case."""
        return super().getColdStartStrategy().lower()


_CHECKS: dict[str, Check] = {
    "factors": at_least(1),
    "regularization": at_least(0),
    "iterations": at_least(0),
    "num_threads": at_least(0),
    "random_state": between(0, 2**32 - 1),
    "blockSize": at_least(1),
    "coldStartStrategy": cold_start,
}


class _ImplicitEstimator(NativeEstimator, _ImplicitParams):
    """Fits a model of the library on the matrix of interactions, in one task of one executor."""

    _model: ClassVar[type[NativeFactorModel]]
    _passed: ClassVar[tuple[str, ...]]
    """The Params that the library's class takes."""

    @staticmethod
    def _engine(values: dict[str, Any]) -> Any:
        """The library's class with these parameters."""
        raise NotImplementedError

    def _fit(self, dataset: DataFrame) -> NativeFactorModel:
        names = {"user": self.getUserCol(), "item": self.getItemCol(), "rating": self.getOrDefault(self.ratingCol)}
        frame = select_ratings(dataset, *names.values())
        values = {name: self.getOrDefault(name) for name in self._passed}
        values["num_threads"] = values["num_threads"] or task_cores(dataset.sparkSession) or 0
        engine = self._engine

        def fit(read: Read) -> Fitted:
            from implicit.recommender_base import ModelFitError

            matrix = read.ratings.summed()
            with threadpool_limits(1, "blas"):  # the library's own threads use the cores
                made = engine(values)
                try:
                    made.fit(matrix, show_progress=False)
                except ModelFitError:
                    raise _not_finite() from None
            users, items = np.asarray(made.user_factors), np.asarray(made.item_factors)
            if not (np.isfinite(users).all() and np.isfinite(items).all()):
                raise _not_finite()
            return users, items

        found = fit_gathered(frame, names, fit, self.getOrDefault(self.filterSeen), engine="implicit")
        return self._model(found)._of(self)


def _not_finite() -> ParameterError:
    return ParameterError(
        "the factors are not finite numbers.", where="regularization", hint="Raise it, or scale the weights."
    )


class ImplicitALSModel(NativeFactorModel):
    """A matrix factorization by the implicit library's ALS."""


class ImplicitALS(_ImplicitEstimator):
    """implicit.als.AlternatingLeastSquares as a stage, with the library's names and defaults.

    `random_state` is 0 unless told, so that a fit can be repeated; `num_threads` 0 means the cores of the executor.
    Several interactions of a pair add up to one. An interaction below 0 says dislike, with its size as confidence; one
    of 0 that nothing is known of the pair.
    `fit` raises SchemaError for null or fractional ids, weights that are null, NaN or infinite, and no rows.
    """

    alpha: Param[float] = _param("alpha", "the weight of the interactions", TypeConverters.toFloat)
    use_cg: Param[bool] = _param(
        "use_cg", "whether to use the faster conjugate gradient solver", TypeConverters.toBoolean
    )
    checks: ClassVar[dict[str, Check]] = {**_CHECKS, "alpha": above(0)}
    _model = ImplicitALSModel
    _passed = ("factors", "regularization", "alpha", "use_cg", "iterations", "num_threads", "random_state")

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self._setDefault(alpha=1.0, use_cg=True, iterations=15)

    @staticmethod
    def _engine(values: dict[str, Any]) -> Any:
        from implicit.cpu.als import AlternatingLeastSquares

        return AlternatingLeastSquares(**values)


class ImplicitBPRModel(NativeFactorModel):
    """A matrix factorization by the implicit library's BPR; the last factor of an item is its bias."""


class ImplicitBPR(_ImplicitEstimator):
    """implicit.bpr.BayesianPersonalizedRanking as a stage, with the library's names and defaults, but for two.

    `random_state` is 0 and `num_threads` 1 unless told: with more threads, which write to the factors at the same
    time, no fit can be repeated. What was interacted with counts, not the weight, nor its sign. The predicted rating
    ranks; it is in no unit. `fit` raises what ImplicitALS does.
    """

    learning_rate: Param[float] = _param("learning_rate", "the learning rate of the updates", TypeConverters.toFloat)
    verify_negative_samples: Param[bool] = _param(
        "verify_negative_samples",
        "whether to check that a sampled item has not been interacted with",
        TypeConverters.toBoolean,
    )
    checks: ClassVar[dict[str, Check]] = {**_CHECKS, "learning_rate": above(0)}
    _model = ImplicitBPRModel
    _passed = (
        "factors", "learning_rate", "regularization", "iterations", "num_threads", "verify_negative_samples",
        "random_state",
    )  # fmt: skip

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self._setDefault(learning_rate=0.01, verify_negative_samples=True, iterations=100, num_threads=1)

    @staticmethod
    def _engine(values: dict[str, Any]) -> Any:
        from implicit.cpu.bpr import BayesianPersonalizedRanking

        return BayesianPersonalizedRanking(**values)
