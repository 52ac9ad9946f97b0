"""PCA: pyspark.ml's class, with one pass that sums float32 products on the executors.

Up to GRAM_COLUMNS columns the covariance is summed as a matrix. Beyond that it is never formed: block Lanczos asks
for its product with k + 10 vectors, a pass over the data each, which takes 100,000 sparse columns in its stride. The
driver holds one matrix of columns x columns, or, beyond, of columns x (k + 10) x passes, whatever the number of rows.

Signs: pyspark.ml leaves them to LAPACK; here the entry of largest size of each component is positive.
"""

from __future__ import annotations

import logging
from typing import Any, ClassVar, cast

import numpy as np
import numpy.typing as npt
from pyspark.ml.common import _py2java
from pyspark.ml.feature import _PCAParams
from pyspark.ml.linalg import DenseMatrix, DenseVector, VectorUDT
from pyspark.sql import DataFrame
from pyspark.sql.types import StructField
from scipy.linalg import eigh
from threadpoolctl import threadpool_limits

from palate.errors import ParameterError, SchemaError
from palate.kernels.gram import Moments
from palate.kernels.lanczos import TOLERANCE, leading_eigen
from palate.models.pca import PCA as Artifact
from palate.spark.stages.base import NativeEstimator, NativeModel, at_least
from palate.spark.stages.columns import sized
from palate.spark.stages.features import checked_vectors, sent
from palate.spark.stages.pca_sums import moments, products
from palate.spark.stages.summed import sum_tasks
from palate.spark.stages.tasks import at_once, merged

GRAM_COLUMNS = 4096
"""Beyond this many columns a task's matrix of sums (128 MB of float64 here) costs more than passes over the data."""

ROWS_AT_ONCE = 2048
"""Rows that Spark sends a task at once, which takes as long as to sum them up: more, and one waits for the other."""

PASSES = 15
"""The most passes over the data where columns are many; docs/stages.md says what they cost on the driver."""

_ON_ONE_THREAD = 1024
"""Up to so many columns the driver computes on one thread: the tasks' processes still hold the cores for a moment, and
a second thread that waits for its turn made 0.04 s at 784 columns 0.05 to 0.2."""

Doubles = npt.NDArray[np.float64]
_log = logging.getLogger("palate.spark")


class PCA(NativeEstimator, _PCAParams):
    """Projects vectors onto the `k` directions in which they vary most.

    Params: `k`, `inputCol`, `outputCol`. Source: Jolliffe, Principal Component Analysis, 2002. `fit` raises
    SchemaError for null, ragged, empty or non-finite vectors and for no rows at all, ParameterError if k is above
    their width. With fewer rows than k, or constant columns, the components that explain nothing are any that
    complete an orthonormal set.
    """

    checks: ClassVar = {"k": at_least(1)}

    def _fit(self, dataset: DataFrame) -> PCAModel:
        column, k = self.required("inputCol"), self.required("k")
        frame = merged(dataset.select(sent(dataset, column)))
        with at_once(frame, ROWS_AT_ONCE):
            parts, sums = sum_tasks(frame, moments(column, GRAM_COLUMNS))
        widths = {int(part["width"]) for part in parts}
        if not widths:
            raise SchemaError("there are no rows to learn from.", where=column)
        if len(widths) > 1:
            several = " and ".join(map(str, sorted(widths)))
            raise SchemaError(f"vectors of different partitions are {several} wide.", where=column)
        width = widths.pop()
        if k > width:
            raise ParameterError(f"must be at most the width of the vectors, {width}, not {k}.", where="PCA.k")
        if width <= GRAM_COLUMNS:
            values, vectors, total = _from_gram(parts, sums[width * width].reshape(width, width), k)
        else:
            values, vectors, total = _from_passes(frame, column, parts, sums[2 * width].reshape(2, width), k)
        largest = np.take_along_axis(vectors, np.abs(vectors).argmax(axis=0)[None], axis=0)
        components = (vectors * np.where(largest < 0, -1.0, 1.0)).T
        explained = values / total if total > 0 else np.zeros(k)
        return PCAModel(Artifact(components, explained_variance=explained))._of(self)


class PCAModel(NativeModel, _PCAParams):
    """`transform` adds `outputCol`, the projection without centring, as pyspark.ml does it."""

    artifact: Artifact
    shown = ("k",)
    _sent: tuple[Any, list[Any]] | None = None
    """A JVM, and the components and variances as it has them."""

    @property
    def pc(self) -> DenseMatrix:
        """The components, one per column: `(width, k)`."""
        components = self.artifact.components
        return DenseMatrix(components.shape[1], components.shape[0], components.astype(np.float64).ravel().tolist())

    @property
    def explainedVariance(self) -> DenseVector:
        """The share of the total variance along each component; zeros where there is none to share."""
        return DenseVector(cast("Any", self.artifact.explained_variance))

    def _added(self) -> list[StructField]:
        components = len(self.artifact.components)
        return [StructField(self.getOutputCol(), VectorUDT(), metadata=sized(components))]

    def _transform(self, dataset: DataFrame) -> DataFrame:
        column = self.required("inputCol")
        given = f"{self.uid}__vectors"
        checked = dataset.withColumn(given, checked_vectors(dataset, column, self.artifact.n_features))
        return self._projected(checked, given).drop(given)

    def _projected(self, frame: DataFrame, column: str) -> DataFrame:
        """By pyspark.ml's own model with these components: only to send 60,000 vectors of 784 to Python takes twice as
        long as to project them in the JVM."""
        spark = frame.sparkSession
        if self._sent is None or self._sent[0] is not spark._jvm:
            parts = [_py2java(spark.sparkContext, part) for part in (self.pc, self.explainedVariance)]
            self._sent = spark._jvm, parts
        model = cast("Any", spark._jvm).org.apache.spark.ml.feature.PCAModel(self.uid, *self._sent[1])
        model.set(model.getParam("k"), len(self.artifact.components))
        model.setInputCol(column)
        model.setOutputCol(self.getOutputCol())
        made: DataFrame = cast("Any", DataFrame)(model.transform(frame._jdf), spark)
        return made


def _from_gram(parts: list[Any], gram: Doubles, k: int) -> tuple[Doubles, Doubles, float]:
    """Eigenvalues, eigenvectors and the total variance from the partitions' moments and the sum of their matrices."""
    counts, shifts, totals = ([part[name] for part in parts] for name in ("count", "shift", "total"))
    width = len(gram)
    with threadpool_limits(limits=1 if width <= _ON_ONE_THREAD else None, user_api="blas"):
        covariance = Moments.together(counts, shifts, totals, gram).covariance()
        total = float(np.trace(covariance))
        values, vectors = eigh(covariance, subset_by_index=[width - k, width - 1], check_finite=False, overwrite_a=True)
    return np.maximum(values[::-1], 0.0), vectors[:, ::-1], total


def _from_passes(
    frame: DataFrame, column: str, parts: list[Any], sums: Doubles, k: int
) -> tuple[Doubles, Doubles, float]:
    """The same without the matrix: a pass over the data for each application of the covariance.

    sums: `(2, width)`, of the columns and of their squares.
    """
    count, width = sum(int(part["count"]) for part in parts), sums.shape[1]
    mean = sums[0] / count
    total = float((sums[1] - count * mean**2).sum()) / max(1, count - 1)
    context = frame.sparkSession.sparkContext

    def covariance(vectors: Doubles) -> Doubles:
        sent = context.broadcast(vectors)

        try:
            product = sum_tasks(frame, products(column, sent))[1][vectors.size].reshape(vectors.shape)
        finally:
            sent.destroy()
        product -= np.outer(count * mean, mean @ vectors)
        product /= max(1, count - 1)
        return product

    found = leading_eigen(covariance, width, k, seed=0, most=PASSES)
    _log.info("PCA of %d columns: %d passes, residual %.1e", width, found.applications, found.residual)
    if found.residual > TOLERANCE:
        _log.warning(
            "PCA of %d columns: after %d passes over the data eigenvalues are left a residual of %.0e, not %.0e. "
            "Directions that vary almost alike are not told apart; a smaller k may be.",
            width, found.applications, found.residual, TOLERANCE,
        )  # fmt: skip
    return found.values, found.vectors, total
