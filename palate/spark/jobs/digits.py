"""`digits`: handwritten digits through PCA and k-means, the smallest whole example of a pipeline of ours.

1,797 images of 8 x 8 pixels come with scikit-learn. Their labels are used for one thing only: to see whether clusters
that were found without them mean anything.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import click
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from palate.bundle import write_bundle
from palate.models.pipeline import ArtifactPipeline, Stage
from palate.spark.job import CONTEXT, Report, check_output, local_path, output_directory, running

SIDE = 8
"""Pixels of an image, each way."""


@dataclass(frozen=True)
class Options:
    output: Path
    components: int = 16
    clusters: int = 10
    restarts: int = 10
    seed: int = 0
    overwrite: bool = False


def purity(clusters: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """The share of rows whose label is the commonest of their cluster."""
    _, rows = np.unique(np.asarray(clusters), return_inverse=True)
    _, columns = np.unique(np.asarray(labels), return_inverse=True)
    table = np.zeros((rows.max() + 1, columns.max() + 1))
    np.add.at(table, (rows, columns), 1)
    return float(table.max(axis=1).sum() / table.sum())


def drawn(pictures: npt.NDArray[Any], names: list[str], cell: int = 9) -> str:
    """Pictures `(n, 64)`, brightness 0 to 16, side by side as SVG, each with its name below."""
    side, gap, parts = SIDE * cell, 12, []
    for number, (picture, name) in enumerate(zip(pictures, names, strict=True)):
        left = number * (side + gap)
        for place, value in enumerate(np.clip(picture / 16, 0, 1)):
            x, y, grey = left + place % SIDE * cell, place // SIDE * cell, round(255 * (1 - value))
            parts.append(f'<rect x="{x}" y="{y}" width="{cell}" height="{cell}" fill="rgb({grey},{grey},{grey})"/>')
        parts.append(f'<text x="{left + side / 2}" y="{side + 16}" text-anchor="middle" font-size="12">{name}</text>')
    width, height = len(pictures) * (side + gap) - gap, side + 24
    style = 'font-family="sans-serif"'
    shapes = "\n".join(parts)
    return f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" {style}>\n{shapes}\n</svg>\n'


@click.command("digits", context_settings=CONTEXT)
@click.option("--output", required=True, metavar="DIR", help="Where the clusters, the picture and the bundle go.")
@click.option(
    "--components", type=click.IntRange(1, SIDE * SIDE), default=16, show_default=True, help="Width after PCA."
)
@click.option("--clusters", type=click.IntRange(2, 1000), default=10, show_default=True)
@click.option("--restarts", type=click.IntRange(1, 1000), default=10, show_default=True, help="Starts of k-means.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True)
@click.option("--overwrite", is_flag=True, help="Replace what an earlier run of this job wrote.")
def command(output: str, **values: Any) -> None:
    """Group handwritten digits without their labels: PCA, then k-means.

    \b
    OUTPUT/clusters      row, label, cluster (Parquet)
    OUTPUT/centres.svg   the cluster centres as images
    OUTPUT/model         PCA and k-means as a bundle
    """
    options = Options(local_path(output, "--output"), **values)
    report = Report("digits", asdict(options))
    check_output(options.output, overwrite=options.overwrite)
    with running(report) as spark, output_directory(options.output, report, overwrite=options.overwrite) as folder:
        from pyspark.ml import Pipeline
        from sklearn.datasets import load_digits

        from palate.spark import PCA, KMeans

        digits = load_digits()
        images = digits.data.astype(np.float32)
        features = pa.FixedSizeListArray.from_arrays(images.ravel(), images.shape[1]).cast(pa.list_(pa.float32()))
        rows, labels = np.arange(len(images), dtype=np.int32), digits.target.astype(np.int32)
        frame = spark.createDataFrame(pa.table({"row": rows, "label": labels, "features": features})).cache()
        stages: list[Any] = [
            PCA(k=options.components, inputCol="features", outputCol="projection"),
            KMeans(
                k=options.clusters, nInit=options.restarts, maxIter=100, seed=options.seed,
                featuresCol="projection", predictionCol="cluster",
            ),
        ]  # fmt: skip
        with report.phase("fit"):
            model = Pipeline(stages=stages).fit(frame)
        with report.phase("group"):
            answer = model.transform(frame).select("row", "label", "cluster")
            answer.write.parquet(str(folder / "clusters"))
            table = answer.orderBy("row").toArrow()
        pca, kmeans = cast("list[Any]", model.stages)
        found = np.asarray(table["cluster"])
        metrics = {
            "purity": purity(found, labels),
            "variance_kept": float(pca.artifact.explained_variance.sum()),
            "cost": kmeans.summary.trainingCost,
        }
        # A centre lies in the space of the components; multiplied by them, it is an image again.
        pictures = kmeans.artifact.centers @ pca.artifact.components
        common = [np.bincount(labels[found == cluster], minlength=10).argmax() for cluster in range(kmeans.artifact.k)]
        (folder / "centres.svg").write_text(drawn(pictures, [f"mostly {digit}" for digit in common]), encoding="utf-8")
        artifact = ArtifactPipeline(
            [Stage("pca", pca.artifact), Stage("kmeans", kmeans.artifact, {"features": "projection"})]
        )
        write_bundle(artifact, folder / "model", metrics=metrics, lineage={"job": "digits", "seed": options.seed})
        report.note(**metrics)
        report.say(
            f"{len(images):,} images in {kmeans.artifact.k} clusters, purity {metrics['purity']:.3f}; "
            f"{options.components} components keep {metrics['variance_kept']:.0%} of the variance"
        )
