"""Fitting PCA from a cached DataFrame of vectors; what the other PCA benchmarks share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from pyspark.ml.feature import PCA as MLlibPCA
from pyspark.sql import DataFrame
from sklearn.decomposition import PCA as SklearnPCA

from benchmarks.harness import Benchmark, Timing, seconds
from benchmarks.spark import blas
from benchmarks.spark_kmeans import cached, in_turns
from palate.spark import PCA

Shape = tuple[int, int, int]
"""Rows, columns, components."""
FULL: Shape = (60_000, 784, 50)
TINY: Shape = (300, 12, 3)


def images(shape: Shape) -> npt.NDArray[np.float32]:
    """Rows like those of MNIST: a spectrum that falls off slowly, every component its own, and an offset."""
    rows, width, _ = shape
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.standard_normal((width, width)))[0].astype(np.float32)
    made = rng.standard_normal((rows, width), np.float32) * np.float32(0.97) ** np.arange(width, dtype=np.float32)
    return 50 * (made @ turn) + 100


def measure(shape: Shape, column: str, repeats: int) -> Timing:
    """MLlib takes vectors only; ours takes `column`."""
    rows = images(shape)
    found: dict[str, Any] = {}

    def fit(side: str, kind: Callable[..., Any], given: str, frame: DataFrame) -> None:
        found[side] = kind(k=shape[2], inputCol=given, outputCol="projection").fit(frame)

    with cached(rows) as frame:
        sides = (lambda: fit("peer", MLlibPCA, "vector", frame)), (lambda: fit("ours", PCA, column, frame))
        firsts = seconds(sides[0]), seconds(sides[1])
        took = in_turns(*sides, repeats)
        theirs, ours = (np.abs(found[side].pc.toArray()) for side in ("peer", "ours"))
    limit = min(seconds(lambda: SklearnPCA(shape[2], svd_solver="covariance_eigh").fit(rows)) for _ in range(2))
    note = (
        f"Components differ by {np.abs(theirs - ours).max():.1e} at most, signs aside. First fits of the session: peer "
        f"{firsts[0]:.1f} s, ours {firsts[1]:.1f} s. The in-memory limit, scikit-learn's covariance_eigh on the same "
        f"array, took {limit:.2f} s: ours is {min(took[1]) / limit:.2f} times that. {blas()}"
    )
    return Timing(*took, f"{shape[0]:,} x {shape[1]}, {shape[2]} components", note=note)


def run(quick: bool) -> Timing:
    return measure(TINY if quick else FULL, "vector", 1 if quick else 2)


BENCHMARK = Benchmark("spark_pca", "PCA, from a DataFrame of vectors", "pyspark.ml.feature.PCA", run)
