"""Spark: stages for pyspark.ml pipelines, and the jobs that `spark-submit` runs.

    from palate.spark import PCA, KMeans, ALS

Stages have the names, Params and output columns of pyspark.ml's own classes; docs/stages.md lists what differs. They
are imported when asked for, so that a job that needs none of them starts without them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from palate.spark.stages.als import ALS as ALS
    from palate.spark.stages.als import ALSModel as ALSModel
    from palate.spark.stages.endpoint import EndpointModel as EndpointModel
    from palate.spark.stages.fm import FMClassifier as FMClassifier
    from palate.spark.stages.fm import FMRegressor as FMRegressor
    from palate.spark.stages.fm_model import FMClassificationModel as FMClassificationModel
    from palate.spark.stages.fm_model import FMRegressionModel as FMRegressionModel
    from palate.spark.stages.implicit_als import ImplicitALS as ImplicitALS
    from palate.spark.stages.implicit_als import ImplicitALSModel as ImplicitALSModel
    from palate.spark.stages.implicit_als import ImplicitBPR as ImplicitBPR
    from palate.spark.stages.implicit_als import ImplicitBPRModel as ImplicitBPRModel
    from palate.spark.stages.kmeans import KMeans as KMeans
    from palate.spark.stages.kmeans import KMeansModel as KMeansModel
    from palate.spark.stages.pca import PCA as PCA
    from palate.spark.stages.pca import PCAModel as PCAModel

STAGES = {
    "ALS": "als",
    "ALSModel": "als",
    "EndpointModel": "endpoint",
    "FMClassificationModel": "fm_model",
    "FMClassifier": "fm",
    "FMRegressionModel": "fm_model",
    "FMRegressor": "fm",
    "ImplicitALS": "implicit_als",
    "ImplicitALSModel": "implicit_als",
    "ImplicitBPR": "implicit_als",
    "ImplicitBPRModel": "implicit_als",
    "KMeans": "kmeans",
    "KMeansModel": "kmeans",
    "PCA": "pca",
    "PCAModel": "pca",
}
"""Public class to its module in palate.spark.stages."""

__all__ = [
    "ALS",
    "PCA",
    "ALSModel",
    "EndpointModel",
    "FMClassificationModel",
    "FMClassifier",
    "FMRegressionModel",
    "FMRegressor",
    "ImplicitALS",
    "ImplicitALSModel",
    "ImplicitBPR",
    "ImplicitBPRModel",
    "KMeans",
    "KMeansModel",
    "PCAModel",
]


def __getattr__(name: str) -> Any:
    if name in STAGES:
        return getattr(importlib.import_module(f"palate.spark.stages.{STAGES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
