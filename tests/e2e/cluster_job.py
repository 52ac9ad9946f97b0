"""What `test_cluster.py` submits to a cluster whose machines have no package installed: every stage, fitted undisturbed
and with an executor killed in the middle; JSON on standard output."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from palate.spark.session import spark_session


def where_from(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The file a worker imported palate from, and its interpreter."""
    import palate

    for _ in batches:
        pass
    yield pa.RecordBatch.from_pydict({"palate": [str(palate.__file__)], "python": [sys.executable]})


def deadly(marker: Path, seconds: float) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """Passes rows on; the first task that does kills its executor, once, `seconds` later."""

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            try:
                os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                pass
            else:
                daemon = Path(f"/proc/{os.getppid()}/stat").read_text()
                executor = daemon.rsplit(")", 1)[1].split()[1]
                subprocess.Popen(["sh", "-c", f"sleep {seconds}; kill -9 {executor}"], start_new_session=True)
            yield batch

    return run


def tables(spark: SparkSession) -> dict[str, DataFrame]:
    """`points`: 4,000 vectors in four heaps of width 8. `ratings`: 200 users whose taste is one of three. `clicks`: a
    label that is the product of two categories."""
    rng = np.random.default_rng(0)
    heaps = rng.standard_normal((4, 8)) * 10
    points = heaps[np.arange(4_000) % 4] + rng.standard_normal((4_000, 8))
    ratings = [(u, i, 5.0 if u % 3 == i % 3 else 1.0) for u in range(200) for i in range(60) if (u * 7 + i * 3) % 5]
    clicks = [(a, b, float((a < 5) == (b < 5))) for a in range(10) for b in range(10) for _ in range(20)]
    return {
        "points": spark.createDataFrame(pa.table({"features": points.tolist()})).repartition(4),
        "ratings": spark.createDataFrame(ratings, "user int, item int, rating float").repartition(4),
        "clicks": spark.createDataFrame(clicks, "a int, b int, label double").repartition(4),
    }


def fits() -> dict[str, tuple[str, Callable[[DataFrame], Any]]]:
    """Stage to (table, what its fit says of itself: one number that any lost part would change)."""
    from palate.spark import ALS, PCA, FMClassifier, KMeans

    def pca(frame: DataFrame) -> Any:
        return PCA(k=2, inputCol="features", outputCol="out").fit(frame).explainedVariance.toArray().tolist()

    def kmeans(frame: DataFrame) -> Any:
        return sorted(KMeans(k=4, seed=1).fit(frame).summary.clusterSizes)

    def als(frame: DataFrame) -> Any:
        model = ALS(rank=4, maxIter=5, seed=1, userCol="user", itemCol="item", ratingCol="rating").fit(frame)
        error = model.transform(frame).selectExpr("sqrt(avg(pow(prediction - rating, 2))) as rmse").first()
        assert model.engine == "native"
        return error.rmse

    def machine(frame: DataFrame) -> Any:
        model = FMClassifier(categoricalCols=["a", "b"], maxIter=20, seed=1).fit(frame)
        return model.transform(frame).selectExpr("avg(double(prediction = label)) as right").first().right

    return {
        "PCA": ("points", pca),
        "KMeans": ("points", kmeans),
        "ALS": ("ratings", als),
        "FMClassifier": ("clicks", machine),
    }


def main(marks: Path) -> None:
    spark = spark_session("cluster test")
    told: dict[str, Any] = {"workers": [], "fits": {}}
    rows = spark.range(0, 100, 1, 2).mapInArrow(where_from, "palate string, python string").collect()
    told["workers"] = [row.asDict() for row in rows]
    data = tables(spark)
    for name, (table, fit) in fits().items():
        frame = data[table]
        spoilt = frame.mapInArrow(deadly(marks / name, 0.3), frame.schema)
        started = time.perf_counter()
        calm = fit(frame)
        middle = time.perf_counter()
        disturbed = fit(spoilt)
        told["fits"][name] = {
            "calm": calm,
            "disturbed": disturbed,
            "killed": (marks / name).exists(),
            "seconds": [round(middle - started, 1), round(time.perf_counter() - middle, 1)],
        }
    print(json.dumps(told))
    spark.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
