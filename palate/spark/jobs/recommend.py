"""`recommend`: the best items for every user, computed on the executors, written as one Parquet table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np
import pyarrow as pa
from pyarrow.dataset import dataset, field

from palate.bundle import load_recommender
from palate.dataset.ids import IdMap
from palate.errors import ParameterError
from palate.models.protocol import Recommender
from palate.spark.job import CONTEXT, Report, check_output, local_path, output_directory, running
from palate.spark.prepared import Prepared

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

BLOCK = 1024
"""Users ranked in one call. Blocks are cut by user code, never by partition: a matrix product may differ in its last
bit with the number of rows, and the answer must not depend on how many executors there are."""


@dataclass(frozen=True)
class Options:
    bundle: Path
    input: Path
    output: Path
    n: int = 10
    exclude_seen: bool = True
    overwrite: bool = False


def recommendations(spark: SparkSession, bundle: Path, users: IdMap, n: int, *, exclude_seen: bool = True) -> DataFrame:
    """Columns user, rank (from 1), item, score, personal (False where the answer is mere popularity).

    Each Python worker maps the bundle into memory; the machine holds it once. A user who has seen everything has no
    rows. Raises BundleError if the bundle is none, ParameterError if it ranks no items or `n` is below 1.
    """
    model = load_recommender(bundle)
    if n < 1:
        raise ParameterError(f"must be at least 1, not {n}.", where="n")
    types = [("user", users), ("item", model.items)]
    user_type, item_type = ("bigint" if ids.is_integer else "string" for _, ids in types)
    blocks = -(-len(users) // BLOCK)
    tasks = max(1, min(blocks, 4 * spark.sparkContext.defaultParallelism))
    ranker = _ranker(str(bundle), users, n, exclude_seen)
    schema = f"user {user_type}, rank int, item {item_type}, score float, personal boolean"
    return spark.range(0, blocks, 1, tasks).mapInArrow(ranker, schema)


def _ranker(
    bundle: str, users: IdMap, n: int, exclude_seen: bool
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        model: Recommender | None = None
        for batch in batches:
            for block in batch.column("id").to_pylist():
                model = model or load_recommender(Path(bundle))
                yield rank_block(model, users.ids.slice(block * BLOCK, BLOCK), n, exclude_seen)

    return run


def rank_block(model: Recommender, users: pa.Array, n: int, exclude_seen: bool) -> pa.RecordBatch:
    """One row per user and rank, without the padding."""
    found = model.recommend(users, n, exclude="seen" if exclude_seen else None)
    row, place = np.nonzero(found.codes >= 0)
    columns = {
        "user": users.take(pa.array(row)),
        "rank": pa.array((place + 1).astype(np.int32)),
        "item": found.items.ids.take(pa.array(found.codes[row, place].astype(np.int64))),
        "score": pa.array(found.scores[row, place]),
        "personal": pa.array(found.personal[row]),
    }
    for name in ("user", "item"):  # Spark's strings have 32-bit offsets
        if pa.types.is_large_string(columns[name].type):
            columns[name] = columns[name].cast(pa.string())
    return pa.RecordBatch.from_pydict(columns)


@click.command("recommend", context_settings=CONTEXT)
@click.option("--bundle", required=True, metavar="DIR", help="The model: a bundle that ranks items.")
@click.option("--input", "input_", required=True, metavar="DIR", help="What `prepare` wrote; its users are ranked for.")
@click.option("--output", required=True, metavar="DIR", help="Where the table goes: user, rank, item, score, personal.")
@click.option("--n", type=click.IntRange(1, 10_000), default=10, show_default=True, help="Items per user.")
@click.option("--include-seen", is_flag=True, help="Recommend also what the user has interacted with.")
@click.option("--overwrite", is_flag=True, help="Replace what an earlier run of this job wrote.")
def command(bundle: str, input_: str, output: str, n: int, include_seen: bool, overwrite: bool) -> None:
    """The N best items for every user, as Parquet; items seen in training left out."""
    options = Options(
        local_path(bundle, "--bundle"),
        local_path(input_, "--input"),
        local_path(output, "--output"),
        n,
        not include_seen,
        overwrite,
    )
    report = Report("recommend", asdict(options))
    check_output(options.output, overwrite=overwrite)
    users = Prepared(options.input).users
    model = load_recommender(options.bundle)
    report.note(model=model.kind, users=len(users), items=len(model.items))
    with running(report) as spark, output_directory(options.output, report, overwrite=overwrite) as folder:
        with report.phase("rank"):
            table = recommendations(spark, options.bundle, users, n, exclude_seen=options.exclude_seen)
            table.write.parquet(str(folder / "recommendations"))
        written = dataset(folder / "recommendations", format="parquet")
        report.note(rows=written.count_rows(), served=written.count_rows(filter=field("rank") == 1))
    report.say(f"{report.facts['rows']:,} rows for {report.facts['served']:,} users in {options.output}")
