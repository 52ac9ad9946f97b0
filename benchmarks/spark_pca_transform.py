"""The projection of each row of a cached DataFrame."""

from __future__ import annotations

from typing import Any

from pyspark.ml.feature import PCA as MLlibPCA

from benchmarks.harness import Benchmark, Timing, alternate, seconds
from benchmarks.spark import blas
from benchmarks.spark_kmeans import cached, sink
from benchmarks.spark_pca import FULL, TINY, images
from palate.spark import PCA


def run(quick: bool) -> Timing:
    shape = TINY if quick else FULL
    with cached(images(shape)) as frame:

        def model(kind: Any) -> Any:
            return kind(k=shape[2], inputCol="vector", outputCol="projection").fit(frame.limit(1000))

        peer, ours = model(MLlibPCA), model(PCA)
        took = alternate(
            lambda: sink(peer.transform(frame), "projection"),
            lambda: sink(ours.transform(frame), "projection"),
            5,
            quick,
        )
        ours.setInputCol("array")
        from_arrays = min(seconds(lambda: sink(ours.transform(frame), "projection")) for _ in range(3))
    note = f"From VectorUDT; ours from `array<float>` took {from_arrays:.2f} s. {blas()}"
    return Timing(*took, f"{shape[0]:,} x {shape[1]}, {shape[2]} components", note=note)


BENCHMARK = Benchmark(
    "spark_pca_transform", "The projection of each row of a DataFrame", "pyspark.ml.feature.PCAModel", run
)
