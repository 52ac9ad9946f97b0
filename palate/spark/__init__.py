"""Spark: stages for pyspark.ml pipelines, and the jobs that `spark-submit` runs.

    from palate.spark import PCA, KMeans, ALS

Stages have the names, Params and output columns of pyspark.ml's own classes; docs/stages.md lists what differs. They
are imported when asked for, so that a job that needs none of them starts without them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from palate.spark.stages.endpoint import EndpointModel as EndpointModel
    from palate.spark.stages.fm import FMClassificationModel as FMClassificationModel
    from palate.spark.stages.fm import FMClassifier as FMClassifier
    from palate.spark.stages.fm import FMRegressionModel as FMRegressionModel
    from palate.spark.stages.fm import FMRegressor as FMRegressor
    from palate.spark.stages.kmeans import KMeans as KMeans
    from palate.spark.stages.kmeans import KMeansModel as KMeansModel
    from palate.spark.stages.pca import PCA as PCA
    from palate.spark.stages.pca import PCAModel as PCAModel

STAGES = {
    "EndpointModel": "endpoint",
    "FMClassificationModel": "fm",
    "FMClassifier": "fm",
    "FMRegressionModel": "fm",
    "FMRegressor": "fm",
    "KMeans": "kmeans",
    "KMeansModel": "kmeans",
    "PCA": "pca",
    "PCAModel": "pca",
}
"""Public class to its module in palate.spark.stages."""

__all__ = [
    "PCA",
    "EndpointModel",
    "FMClassificationModel",
    "FMClassifier",
    "FMRegressionModel",
    "FMRegressor",
    "KMeans",
    "KMeansModel",
    "PCAModel",
]


def __getattr__(name: str) -> Any:
    if name in STAGES:
        return getattr(importlib.import_module(f"palate.spark.stages.{STAGES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
