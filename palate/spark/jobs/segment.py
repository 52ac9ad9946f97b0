"""`segment`: PCA and k-means over content vectors of items and of users, each as one pyspark.ml Pipeline.

The artifacts that the fitted stages hold go into a bundle, whose `predict` answers as Spark's `transform` does. A
user's vector is the weighted mean of the vectors of the items in their training history.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click
import numpy as np
import pyarrow as pa

from palate.bundle import write_bundle
from palate.dataset.ids import IdMap
from palate.errors import SchemaError
from palate.features import ContentEncoder
from palate.models.kmeans import KMeans
from palate.models.pca import PCA
from palate.models.pipeline import ArtifactPipeline, Stage
from palate.spark.content import Columns, item_frame, most_varied, user_frame
from palate.spark.job import CONTEXT, Report, check_output, local_path, output_directory, running
from palate.spark.prepared import Prepared

if TYPE_CHECKING:
    from pyspark.ml import PipelineModel
    from pyspark.sql import DataFrame


@dataclass(frozen=True)
class Options:
    input: Path
    output: Path
    components: int = 16
    item_segments: int = 20
    user_segments: int = 10
    max_features: int = 256
    seed: int = 0
    overwrite: bool = False


@dataclass(frozen=True)
class Segmentation:
    """A fitted pipeline, as Spark has it and as numpy.

    pca: takes narrow vectors. artifact: PCA and k-means over the encoder's whole space.
    silhouette: -1 to 1, by squared Euclidean distance; None where all rows fell into one segment.
    """

    model: PipelineModel
    pca: PCA
    kmeans: KMeans
    artifact: ArtifactPipeline
    silhouette: float | None
    rows: int


def fit_segments(
    vectors: DataFrame, columns: Columns, *, components: int, segments: int, seed: int, what: str
) -> Segmentation:
    """Fits PCA and k-means on narrow vectors (columns code, features: array<float>).

    components and segments are lowered to what the data has: the width of the vectors, the number of different ones.
    Raises SchemaError if there are fewer than two different vectors.
    """
    from pyspark.ml import Pipeline

    from palate.spark import PCA as PCAStage
    from palate.spark import KMeans as KMeansStage

    rows = vectors.count()
    different = vectors.select("features").distinct().limit(segments).count() if rows else 0
    if different < 2:
        raise SchemaError(f"there are too few different {what} to part them into segments.", where=what)
    reduce = PCAStage(k=min(components, len(columns.kept)), inputCol="features", outputCol="projection")
    cluster = KMeansStage(k=different, seed=seed, featuresCol="projection", predictionCol="cluster")
    model = Pipeline(stages=[reduce, cluster]).fit(vectors)
    pca, kmeans = (stage.artifact for stage in cast("list[Any]", model.stages))
    whole = PCA(columns.widen(pca.components), explained_variance=pca.explained_variance)
    artifact = ArtifactPipeline([Stage("pca", whole), Stage("kmeans", kmeans, {"features": "projection"})])
    return Segmentation(model, pca, kmeans, artifact, _silhouette(model.transform(vectors)), rows)


def _silhouette(frame: DataFrame) -> float | None:
    from pyspark.ml.evaluation import ClusteringEvaluator

    if frame.select("cluster").distinct().limit(2).count() < 2:
        return None
    evaluator = ClusteringEvaluator(featuresCol="projection", predictionCol="cluster")
    return float(evaluator.evaluate(frame))


def assign(vectors: DataFrame, pca: PCA, kmeans: KMeans, ids: IdMap) -> DataFrame:
    """Columns id, segment, distance: what the artifacts say of narrow vectors, computed on the executors."""
    kind = "bigint" if ids.is_integer else "string"
    return vectors.mapInArrow(_assigner(pca, kmeans, ids), f"id {kind}, segment int, distance float")


def _assigner(pca: PCA, kmeans: KMeans, ids: IdMap) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            features = batch.column("features")
            dense = np.asarray(features.flatten(), dtype=np.float32).reshape(len(features), -1)
            clusters, distances = kmeans.assign(pca.transform(dense))
            named = ids.ids.take(batch.column("code"))
            if pa.types.is_large_string(named.type):
                named = named.cast(pa.string())
            yield pa.RecordBatch.from_pydict(
                {"id": named, "segment": pa.array(clusters), "distance": pa.array(distances)}
            )

    return run


@click.command("segment", context_settings=CONTEXT)
@click.option("--input", "input_", required=True, metavar="DIR", help="What `prepare` wrote, with a catalogue.")
@click.option("--output", required=True, metavar="DIR", help="Where segments (Parquet) and bundles go.")
@click.option("--components", type=click.IntRange(1, 4096), default=16, show_default=True, help="Width after PCA.")
@click.option("--item-segments", type=click.IntRange(2, 10_000), default=20, show_default=True)
@click.option("--user-segments", type=click.IntRange(2, 10_000), default=10, show_default=True)
@click.option(
    "--max-features",
    type=click.IntRange(1, 4096),
    default=256,
    show_default=True,
    help="Columns of the content vectors that PCA sees: those that vary most.",
)
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True)
@click.option("--overwrite", is_flag=True, help="Replace what an earlier run of this job wrote.")
def command(input_: str, output: str, **values: Any) -> None:
    """Part items and users into segments by their content: PCA, then k-means.

    \b
    OUTPUT/items, OUTPUT/users        id, segment, distance (Parquet)
    OUTPUT/models/items, .../users    PCA and k-means as bundles; they take the vectors of
    OUTPUT/models/encoder             the content encoder, itself a bundle
    """
    options = Options(local_path(input_, "--input"), local_path(output, "--output"), **values)
    report = Report("segment", asdict(options))
    check_output(options.output, overwrite=options.overwrite)
    prepared = Prepared(options.input)
    with running(report) as spark, output_directory(options.output, report, overwrite=options.overwrite) as folder:
        with report.phase("encode items"):
            catalogue = prepared.described()
            encoder = ContentEncoder().fit(catalogue)
            wide = encoder.encode(catalogue)
            columns = most_varied(wide, options.max_features)
            narrow = columns.narrow(wide)
            write_bundle(encoder, folder / "models" / "encoder", lineage={"fingerprint": prepared.fingerprint})
        train = spark.read.parquet(str(options.input / "train"))
        tasks = max(1, min(prepared.card["train"]["interactions"] // 10_000, 4 * spark.sparkContext.defaultParallelism))
        for what, frame, ids, segments in (
            ("items", item_frame(spark, narrow), prepared.items, options.item_segments),
            ("users", user_frame(train, narrow, tasks), prepared.users, options.user_segments),
        ):
            with report.phase(f"segment {what}"):
                frame = frame.cache()
                found = fit_segments(
                    frame, columns, components=options.components, segments=segments, seed=options.seed, what=what
                )
                assign(frame, found.pca, found.kmeans, ids).write.parquet(str(folder / what))
                metrics = {} if found.silhouette is None else {"silhouette": found.silhouette}
                lineage = {"fingerprint": prepared.fingerprint, "job": "segment", "of": what, "seed": options.seed}
                write_bundle(found.artifact, folder / "models" / what, metrics=metrics, lineage=lineage)
                frame.unpersist()
            report.note(**{what: {"rows": found.rows, "segments": found.kmeans.k, "silhouette": found.silhouette}})
            told = "" if found.silhouette is None else f", silhouette {found.silhouette:.3f}"
            report.say(f"{found.rows:,} {what} in {found.kmeans.k} segments{told}")
