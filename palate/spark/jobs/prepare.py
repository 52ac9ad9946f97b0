"""`prepare`: raw data to a prepared dataset (see `palate.spark.prepared`): checked, indexed, split, described."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from pyarrow import parquet

from palate.dataset.ids import IdMap
from palate.dataset.mapping import ColumnMapping
from palate.dataset.readers import FORMATS
from palate.dataset.validate import REJECTS_SCHEMA
from palate.errors import ConflictError, SchemaError
from palate.spark.about import About, read_about, write_about
from palate.spark.card import describe, fingerprint
from palate.spark.index import ROWS_PER_FILE, coded, id_map, write_ids, write_table
from palate.spark.ingest import stage
from palate.spark.job import CONTEXT, Report, check_output, local_path, output_directory, running
from palate.spark.prepared import CARD, OPTIONAL
from palate.spark.sources import Source, find_source
from palate.spark.splits import METHODS, SplitOptions, with_part

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


@dataclass(frozen=True)
class Options:
    """max_rejects: the share of rows that may break the schema. items, users: the catalogue and the users, where they
    are not in the input's folder. split: None takes the data's own split, else the default one."""

    input: Path
    output: Path
    format: str = "auto"
    items: Path | None = None
    users: Path | None = None
    mapping: ColumnMapping = field(default_factory=ColumnMapping)
    split: SplitOptions = field(default_factory=SplitOptions)
    max_rejects: float = 0.01
    overwrite: bool = False


@dataclass(frozen=True)
class Counts:
    """Rows of the checked table."""

    good: int
    rejected: int
    with_weight: int
    with_timestamp: int
    with_kind: int

    @property
    def share(self) -> float:
        return self.rejected / max(1, self.good + self.rejected)


def prepare(spark: SparkSession, options: Options, report: Report, source: Source, about: About) -> dict[str, Any]:
    """Writes the prepared dataset; returns the data card. Raises SchemaError for what the data lacks."""
    with output_directory(options.output, report, overwrite=options.overwrite) as folder:
        staging = folder / "staging"
        with report.phase("read and check"):
            stage(spark, source, now=time.time()).write.parquet(str(staging))
            checked = spark.read.parquet(str(staging))
            counts = _count(checked)
            _write_rejects(checked, counts, folder / "rejects")
        report.note(rows=counts.good + counts.rejected, rejected=counts.rejected)
        _judge(counts, options, folder / "rejects")
        with report.phase("index"):
            users = id_map(checked, "user", about.users.ids if about.users else None)
            items = id_map(checked, "item", about.items.ids if about.items else None)
            write_ids(users, folder / "user_ids")
            write_ids(items, folder / "item_ids")
            write_about(about, users, items, folder)
            rows = _without_repetitions(checked, counts, source)
            rows = coded(spark, coded(spark, rows, "user", users), "item", items)
        with report.phase("split"):
            _write_parts(with_part(rows, options.split), users, items, counts, options, folder)
        with report.phase("describe"):
            card = _card(spark, folder, options, counts, users, items, about)
            (folder / CARD).write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        shutil.rmtree(staging)
    return card


def _count(checked: DataFrame) -> Counts:
    """Also refuses ids that one row writes as text and another as a number."""
    from pyspark.sql import functions as f

    good = f.col("reason").isNull()
    columns = [
        f.count_if(good).alias("good"),
        f.count_if(~good).alias("rejected"),
        *(f.count_if(good & f.col(name).isNotNull()).alias(f"with_{name}") for name in OPTIONAL),
        *(f.count_if(f.col(f"{name}_is_text")).alias(f"{name} text") for name in ("user", "item")),
        *(f.count_if(~f.col(f"{name}_is_text")).alias(f"{name} number") for name in ("user", "item")),
    ]
    found = checked.agg(*columns).collect()[0].asDict()
    for name in ("user", "item"):
        text, number = found.pop(f"{name} text"), found.pop(f"{name} number")
        if text and number:
            _blame_mixture(checked, name, text=text <= number)
    return Counts(**found)


def _blame_mixture(checked: DataFrame, name: str, *, text: bool) -> None:
    """Raises SchemaError naming the first id that is of the rarer type."""
    from pyspark.sql import functions as f

    rare = checked.where(f.col(f"{name}_is_text") == f.lit(text))
    first = rare.orderBy("file", "row").select("file", "row", name).limit(1).collect()[0]
    kind, others = ("text", "numbers") if text else ("a number", "text")
    raise SchemaError(
        f"the id {first[name][:60]!r} is {kind}, most others are {others}: mixed types of id.",
        where=f"{first['file']}: row {first['row']}, column {name}",
        hint="Write all ids in the same way.",
    )


def _judge(counts: Counts, options: Options, rejects: Path) -> None:
    """Raises SchemaError if there are no rows, too many bad ones, or files that differ in their columns."""
    if counts.good + counts.rejected == 0:
        raise SchemaError("there are no rows.", where=str(options.input))
    if counts.share > options.max_rejects or counts.good == 0:
        kept = options.output.with_name(f"{options.output.name}.rejects")
        first = parquet.read_table(rejects).slice(0, 1).to_pylist()[0]
        _keep(rejects, kept)
        rows = counts.good + counts.rejected
        limit = f", more than the {options.max_rejects:.2%} allowed" if counts.share > options.max_rejects else ""
        raise SchemaError(
            f"{counts.rejected:,} of {rows:,} rows ({counts.share:.2%}) break the schema{limit}; "
            f"the first is row {first['row']} of {first['file']}: {first['reason']}.",
            where=str(options.input),
            hint=f"All of them, with their reasons, are in {kept}.",
        )
    for name in OPTIONAL:
        some = getattr(counts, f"with_{name}")
        if some not in (0, counts.good):
            raise SchemaError(
                f"only {some:,} of {counts.good:,} rows have a {name}: the files differ in their columns.",
                where=str(options.input),
            )


def _keep(rejects: Path, kept: Path) -> None:
    """Moves the table of rejects out of the directory that is about to vanish; replaces only its like."""
    if kept.exists():
        if not kept.is_dir() or any(file.suffix not in ("", ".parquet", ".crc") for file in kept.iterdir()):
            raise ConflictError("is in the way of the table of rejected rows.", where=str(kept), hint="Move it away.")
        shutil.rmtree(kept)
    rejects.rename(kept)


def _write_rejects(checked: DataFrame, counts: Counts, path: Path) -> None:
    if not counts.rejected:
        write_table(REJECTS_SCHEMA.empty_table(), path)
        return
    rejects = checked.where("reason is not null").select("file", "row", "reason")
    rejects.coalesce(1).sortWithinPartitions("file", "row").write.parquet(str(path))


def _without_repetitions(checked: DataFrame, counts: Counts, source: Source) -> DataFrame:
    """Good rows with the columns that the data has; of rows that are equal in all of them the first."""
    from pyspark.sql import functions as f

    columns = ["user", "item", *(name for name in OPTIONAL if getattr(counts, f"with_{name}"))]
    rows = checked.where("reason is null")
    if source.parts:
        given = f.create_map(*(f.lit(value) for pair in source.parts.items() for value in pair))[f.col("file")]
        rows, columns = rows.withColumn("given", given), [*columns, "given"]
    first = f.min(f.struct("file", "row")).alias("first")
    return rows.groupBy(*columns).agg(first).select(*columns, "first.file", "first.row")


def _write_parts(parted: DataFrame, users: IdMap, items: IdMap, counts: Counts, options: Options, folder: Path) -> None:
    """The tables `train` and `test`; raises SchemaError if one would be empty."""
    from pyspark.sql import functions as f

    kinds = {"user": users, "item": items}
    columns = [
        *(f.col(name).cast("bigint" if ids.is_integer else "string").alias(name) for name, ids in kinds.items()),
        f.col("user_code").cast("int").alias("user_code"),
        f.col("item_code").cast("int").alias("item_code"),
        *(f.col(name) for name in OPTIONAL if name in parted.columns),
    ]
    files = max(1, counts.good // ROWS_PER_FILE)
    order = [name for name in ("user_code", "timestamp", "item_code") if name in parted.columns]
    rows = parted.select("part", *columns).repartition(files, "user_code").sortWithinPartitions("part", *order)
    rows.write.partitionBy("part").parquet(str(folder / "parts"))
    for part, doing in (("train", "training"), ("test", "testing")):
        written = folder / "parts" / f"part={part}"
        if not written.is_dir():
            raise SchemaError(
                f"{counts.good:,} interactions leave nothing for {doing}.",
                where=f"split {options.split.method}",
                hint="Give more data, or another share.",
            )
        written.rename(folder / part)
    shutil.rmtree(folder / "parts")


def _card(
    spark: SparkSession, folder: Path, options: Options, counts: Counts, users: IdMap, items: IdMap, about: About
) -> dict[str, Any]:
    from pyspark.sql import functions as f

    train, test = (spark.read.parquet(str(folder / name)).withColumn("part", f.lit(name)) for name in ("train", "test"))
    both = train.unionByName(test)
    described = describe(both)
    whole = described.pop("")
    return {
        "format": 1,
        "source": str(options.input),
        "fingerprint": fingerprint(both),
        **whole,
        "repeated": counts.good - whole["interactions"],
        "rejected": counts.rejected,
        "known_users": len(users),
        "known_items": len(items),
        "catalogue": about.items is not None,
        "id_types": {name: "integer" if ids.is_integer else "text" for name, ids in (("user", users), ("item", items))},
        "split": asdict(options.split),
        **described,
    }


@click.command("prepare", context_settings=CONTEXT)
@click.option("--input", "input_", required=True, metavar="PATH", help="A file or folder of interactions.")
@click.option("--output", required=True, metavar="DIR", help="Where the prepared dataset goes.")
@click.option(
    "--format", "format_", type=click.Choice([str(name) for name in FORMATS]), default="auto", show_default=True
)
@click.option("--items", metavar="PATH", help="The catalogue, where it is not in the input's folder.")
@click.option("--users", metavar="PATH", help="What is known of users, where it is not in the input's folder.")
@click.option("--mapping", metavar="FILE", help="YAML that says which column is what, if the names don't.")
@click.option(
    "--split",
    metavar="METHOD",
    help=f"One of {', '.join(METHODS)}. Default: the data's own split (given) where it has one, else {METHODS[0]}.",
)
@click.option("--test", "share", type=float, default=0.2, show_default=True, help="The share held out for testing.")
@click.option("--n", type=int, default=1, show_default=True, help="Rows per user that leave_last_out holds out.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True)
@click.option(
    "--max-rejects",
    type=click.FloatRange(0, 1),
    default=0.01,
    show_default=True,
    help="The share of rows that may break the schema; above it the job fails.",
)
@click.option("--overwrite", is_flag=True, help="Replace what an earlier run of this job wrote.")
def command(
    input_: str,
    output: str,
    format_: str,
    items: str | None,
    users: str | None,
    mapping: str | None,
    split: str | None,
    share: float,
    n: int,
    seed: int,
    max_rejects: float,
    overwrite: bool,
) -> None:
    """Check, index and split raw interactions; keep what was rejected, with file, row and reason.

    \b
    OUTPUT/train, OUTPUT/test           interactions (Parquet), with ids and codes
    OUTPUT/item_ids, OUTPUT/user_ids    code, id
    OUTPUT/items, OUTPUT/users          what is known of them
    OUTPUT/rejects                      file, row, reason
    OUTPUT/data_card.json               counts, density, time span, weights, fingerprint
    """
    path = local_path(input_, "--input")
    columns = ColumnMapping.read(local_path(mapping, "--mapping")) if mapping else ColumnMapping()
    source = find_source(path, format_, columns)
    method = split.replace("-", "_") if split else ("given" if source.parts else METHODS[0])
    options = Options(
        path,
        local_path(output, "--output"),
        format_,
        local_path(items, "--items") if items else None,
        local_path(users, "--users") if users else None,
        columns,
        SplitOptions(method, share, n, seed),
        max_rejects,
        overwrite,
    )
    told: Sequence[str] = ("input", "output", "format", "items", "users", "split", "max_rejects")
    report = Report("prepare", {name: getattr(options, name) for name in told} | {"mapping": mapping})
    check_output(options.output, overwrite=overwrite)
    about = read_about(path, format_, options.items, options.users, columns)
    with running(report) as spark:
        card = prepare(spark, options, report, source, about)
    report.say(
        f"{card['interactions']:,} interactions of {card['users']:,} users and {card['items']:,} items "
        f"({card['train']['interactions']:,} train, {card['test']['interactions']:,} test, "
        f"{card['rejected']:,} rejected) in {options.output}"
    )
