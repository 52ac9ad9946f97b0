"""The cluster of each row of a cached DataFrame."""

from __future__ import annotations

from typing import Any

from pyspark.ml.clustering import KMeans as MLlibKMeans

from benchmarks.harness import Benchmark, Timing, alternate, seconds
from benchmarks.spark import blas
from benchmarks.spark_kmeans import Size, blobs, cached, sink
from palate.spark import KMeans


def run(quick: bool) -> Timing:
    size = Size(500, 5, 3) if quick else Size(60_000, 50, 100)
    with cached(blobs(size)) as frame:

        def model(kind: Any) -> Any:
            return kind(k=size.clusters, maxIter=2, featuresCol="vector", seed=1).fit(frame)

        peer, ours = model(MLlibKMeans), model(KMeans)
        took = alternate(
            lambda: sink(peer.transform(frame), "prediction"),
            lambda: sink(ours.transform(frame), "prediction"),
            7,
            quick,
        )
        ours.setFeaturesCol("array")
        from_arrays = min(seconds(lambda: sink(ours.transform(frame), "prediction")) for _ in range(3))
    note = f"From VectorUDT; ours from `array<float>` took {from_arrays:.2f} s. {blas()}"
    return Timing(*took, f"{size.rows:,} x {size.width}, {size.clusters} clusters", note=note)


BENCHMARK = Benchmark(
    "spark_kmeans_transform", "The cluster of each row of a DataFrame", "pyspark.ml.clustering.KMeansModel", run
)
