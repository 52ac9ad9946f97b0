"""`evaluate`: a bundle measured on the held-out part of a prepared dataset, by the full ranking of
`palate evaluate`. Many users are ranked on the executors, in the same blocks, so that the numbers are the same."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
import pyarrow as pa
from scipy import sparse

from palate.bundle import load_recommender, read_manifest
from palate.cli.evaluate import parse_cutoffs
from palate.evaluation.protocol import evaluate
from palate.evaluation.ranking import Queries, Ranker, Ranking, blocks, rank
from palate.evaluation.report import write_json
from palate.evaluation.result import Evaluation
from palate.models.protocol import Recommender
from palate.settings import Settings
from palate.spark.job import CONTEXT, Report, check_output, local_path, output_directory, running
from palate.spark.jobs.train import read_interactions
from palate.spark.prepared import Prepared

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

METRICS = "metrics.json"
PLACES = ("auto", "driver", "executors")


@dataclass(frozen=True)
class Options:
    """ks: rank cut-offs. seed: of the intervals. ranking: where users are ranked, one of `PLACES`; "auto" takes the
    executors once there is more than one block of users. log: whether MLflow gets a run with the metrics."""

    bundle: Path
    input: Path
    output: Path
    ks: tuple[int, ...] = (10, 20)
    seed: int = 0
    ranking: str = "auto"
    log: bool = False
    overwrite: bool = False


def on_executors(spark: SparkSession, bundle: Path) -> Ranker:
    """A ranker that sends each block of users, with what is masked for them, to an executor, which maps the bundle
    into memory and sends back the item codes. The driver holds `(n_users, k)` codes, as it would without."""

    def run(model: Recommender, queries: Queries, k: int) -> Ranking:
        width = min(k, len(model.items))
        parts = blocks(model, len(queries))
        frame = spark.createDataFrame(_block_table(queries, parts))
        tasks = max(1, min(len(parts), 4 * spark.sparkContext.defaultParallelism))
        answers = frame.repartition(tasks).mapInArrow(
            lambda batches: _rank_blocks(str(bundle), width, batches),
            "first long, codes array<int>, personal array<boolean>",
        )
        ranking = Ranking(np.full((len(queries), width), -1, np.int32), np.zeros(len(queries), dtype=bool))
        for row in answers.toArrow().to_batches():
            for first, codes, personal in zip(row["first"], row["codes"], row["personal"], strict=True):
                flags = personal.values.to_numpy(zero_copy_only=False)
                part = slice(first.as_py(), first.as_py() + len(flags))
                ranking.codes[part] = codes.values.to_numpy().reshape(len(flags), width)
                ranking.personal[part] = flags
        return ranking

    return run


def _block_table(queries: Queries, parts: list[slice]) -> pa.Table:
    """A row per block: the place of its first user, the users' ids, and the rows of `masked` as CSR."""
    rows = [queries.masked[part] for part in parts]
    ids = [pa.array(queries.ask(part)) for part in parts]
    kind = pa.int64() if pa.types.is_integer(ids[0].type) else pa.string()
    return pa.table(
        {
            "first": pa.array([part.start for part in parts], pa.int64()),
            "users": pa.array([one.to_pylist() for one in ids], pa.list_(kind)),
            "ends": pa.array([row.indptr for row in rows], pa.list_(pa.int64())),
            "masked": pa.array([row.indices for row in rows], pa.list_(pa.int32())),
        }
    )


def _rank_blocks(bundle: str, width: int, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    model: Recommender | None = None
    for batch in batches:
        for row in range(batch.num_rows):
            model = model or load_recommender(Path(bundle))
            first, users, ends, masked = (batch.column(name)[row] for name in ("first", "users", "ends", "masked"))
            indices = masked.values.to_numpy()
            shape = (len(users.values), len(model.items))
            matrix = sparse.csr_matrix((np.ones(len(indices), np.float32), indices, ends.values.to_numpy()), shape)
            found = rank(model, Queries(users.values.__getitem__, matrix, sparse.csr_matrix(shape)), width)
            yield pa.RecordBatch.from_pydict(
                {
                    "first": pa.array([first.as_py()], pa.int64()),
                    "codes": pa.array([found.codes.ravel()], pa.list_(pa.int32())),
                    "personal": pa.array([found.personal], pa.list_(pa.bool_())),
                }
            )


def measured(spark: SparkSession, options: Options, report: Report) -> Evaluation:
    """The bundle's metrics on the held-out part. Raises SchemaError where that holds nothing to test on."""
    prepared = Prepared(options.input)
    model = load_recommender(options.bundle)
    with report.phase("read"):
        train, test = (read_interactions(spark, prepared, part) for part in ("train", "test"))
        items, users = prepared.catalogue(), prepared.people()
    place = options.ranking
    if place == "auto":
        place = "executors" if len(blocks(model, len(np.unique(test.user_codes)))) > 1 else "driver"
    ranker = on_executors(spark, options.bundle) if place == "executors" else None
    with report.phase("rank"):
        found = evaluate(model, train, test, options.ks, items, users, options.seed, ranker=ranker)
    metrics = {name: value for name, value in found.metrics.items() if math.isfinite(value)}
    report.note(model=found.model, metrics=metrics, ranked_on=place, test_users=found.data.test_users)
    return found


def log(options: Options, found: Evaluation) -> str:
    """The metrics as an MLflow run, named like the bundle; its id."""
    from palate.tracking import Tracker

    lineage = read_manifest(options.bundle).lineage
    tags = {"palate.job": "evaluate", "palate.kind": found.model, "palate.bundle": str(options.bundle)}
    told: Mapping[str, Any] = {"seed": found.seed, "k": list(found.ks), "model": found.model, **found.params}
    with Tracker(Settings.read()).run(f"evaluate {options.bundle.name}", params=told, tags=tags) as run:
        run.log(metrics=found.metrics, tags={f"lineage.{key}": str(value) for key, value in lineage.items()})
    return run.id


@click.command("evaluate", context_settings=CONTEXT)
@click.option("--bundle", required=True, metavar="DIR", help="The model: a bundle that ranks items.")
@click.option("--input", "input_", required=True, metavar="DIR", help="What `prepare` wrote, train and test.")
@click.option("--output", required=True, metavar="DIR", help="Where metrics.json goes.")
@click.option("--k", default="10,20", show_default=True, metavar="K,K", help="Rank cut-offs.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, help="Of the intervals.")
@click.option(
    "--ranking",
    type=click.Choice(PLACES),
    default="auto",
    show_default=True,
    help="Where users are ranked; auto takes the executors when there are many.",
)
@click.option("--log", "log_", is_flag=True, help="Log the metrics to MLflow, as a run.")
@click.option("--overwrite", is_flag=True, help="Replace what an earlier run of this job wrote.")
def command(
    bundle: str, input_: str, output: str, k: str, seed: int, ranking: str, log_: bool, overwrite: bool
) -> None:
    """Measure a model on what `prepare` held out: all items ranked for every test user, training items masked.

    \b
    OUTPUT/metrics.json    means, 95 % intervals and what was measured on, as `palate evaluate --json` writes them
    """
    options = Options(
        local_path(bundle, "--bundle"),
        local_path(input_, "--input"),
        local_path(output, "--output"),
        parse_cutoffs(k),
        seed,
        ranking,
        log_,
        overwrite,
    )
    report = Report("evaluate", asdict(options))
    check_output(options.output, overwrite=overwrite)
    Prepared(options.input)
    load_recommender(options.bundle)
    with running(report) as spark, output_directory(options.output, report, overwrite=overwrite) as folder:
        found = measured(spark, options, report)
        write_json(found, folder / METRICS)
        if options.log:
            with report.phase("log"):
                report.note(mlflow_run=log(options, found))
    top = options.ks[-1]
    told = ", ".join(f"{name}@{top} {found.metrics[f'{name}@{top}']:.4f}" for name in ("ndcg", "recall", "coverage"))
    report.say(f"{told} for {found.data.test_users:,} users in {options.output}")
