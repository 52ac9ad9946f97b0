"""Raw interactions to one checked table, on the executors: every row is either good or has a reason why not.

Spark splits text files at any line, so a line's number is not at hand where it is parsed. A first pass counts the
lines of each block; with those sums known, each block numbers its own. Parquet is read by row group, whose numbers
are known beforehand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlparse

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from palate.dataset.readers import Format
from palate.dataset.validate import validate_interactions
from palate.spark.lines import Layout, Numbers, parse_lines
from palate.spark.sources import Source

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

STAGED = (
    "user string, item string, weight float, timestamp long, kind string, "
    "user_is_text boolean, item_is_text boolean, file string, row long, reason string"
)
"""The checked table, for Spark. A row with a `reason` is a rejected one, and has only file and row besides.
`..._is_text`: whether the file wrote the id as text or as a number; null where it knows no types (CSV)."""

_SCHEMA = pa.schema(
    [
        ("user", pa.string()),
        ("item", pa.string()),
        ("weight", pa.float32()),
        ("timestamp", pa.int64()),
        ("kind", pa.string()),
        ("user_is_text", pa.bool_()),
        ("item_is_text", pa.bool_()),
        ("file", pa.string()),
        ("row", pa.int64()),
        ("reason", pa.string()),
    ]
)

Batches = Iterator[pa.RecordBatch]


def stage(spark: SparkSession, source: Source, *, now: float) -> DataFrame:
    """The checked table of a source, with the columns of `STAGED`. `now`: seconds since 1970 UTC."""
    if source.format is Format.PARQUET:
        return _stage_parquet(spark, source, now)
    return _stage_text(spark, source, now)


# -- text --------------------------------------------------------------------------------------------------------------


def _stage_text(spark: SparkSession, source: Source, now: float) -> DataFrame:
    from pyspark.sql import functions as f

    lines = (
        spark.read.option("__globPaths__", "false")  # a name may hold [, { or *
        .text(list(source.files))
        .select(
            f.col("value").cast("binary").alias("line"),
            f.col("_metadata.file_path").alias("file"),
            f.col("_metadata.file_block_start").alias("block"),
        )
    )
    firsts = _first_rows(lines) if any(_splits(spark, file) for file in source.files) else {}
    return lines.mapInArrow(_text_stager(source.files, firsts, now), STAGED)


def _splits(spark: SparkSession, file: str) -> bool:
    """Whether Spark may read the file in more than one block; gzip never, and nothing as small as one block."""
    if file.lower().endswith(".gz"):
        return False
    parse = spark._jvm.org.apache.spark.network.util.JavaUtils.byteStringAsBytes  # type: ignore[union-attr]
    names = ("spark.sql.files.maxPartitionBytes", "spark.sql.files.openCostInBytes")
    smallest = min(int(parse(str(spark.conf.get(name)))) for name in names)
    return Path(file).stat().st_size > smallest


def _first_rows(lines: DataFrame) -> dict[tuple[str, int], int]:
    """(file, where a block starts) to the number of the block's first line."""
    firsts: dict[tuple[str, int], int] = {}
    first, before = 1, ""
    for row in lines.groupBy("file", "block").count().orderBy("file", "block").collect():
        first = 1 if row["file"] != before else first
        before = row["file"]
        firsts[row["file"], row["block"]] = first
        first += row["count"]
    return firsts


def _text_stager(
    layouts: dict[str, Layout], firsts: dict[tuple[str, int], int], now: float
) -> Callable[[Batches], Batches]:
    def run(batches: Batches) -> Batches:
        met: dict[tuple[str, int], int] = {}
        for batch in batches:
            files, blocks = batch.column("file"), batch.column("block")
            for start, stop in _runs(files, blocks):
                key = (files[start].as_py(), blocks[start].as_py())
                first = firsts.get(key, 1) + met.get(key, 0)
                met[key] = met.get(key, 0) + stop - start
                path = unquote(urlparse(key[0]).path)
                layout = layouts[path]
                rows = np.arange(first, first + stop - start, dtype=np.int64)
                parsed = parse_lines(batch.column("line").slice(start, stop - start), rows, layout)
                yield from staged(parsed.fields, parsed.rows, path, layout.timestamp_unit, now)
                yield from _rejected(path, parsed.rejects)

    return run


def _runs(files: pa.Array, blocks: pa.Array) -> list[tuple[int, int]]:
    """Stretches of equal file and block, as (start, stop)."""
    n = len(files)
    if n == 0:
        return []
    codes = np.asarray(files.dictionary_encode().indices)
    starts = np.asarray(blocks)
    changes = np.flatnonzero((codes[1:] != codes[:-1]) | (starts[1:] != starts[:-1])) + 1
    edges = [0, *changes.tolist(), n]
    return list(pairwise(edges))


# -- Parquet -----------------------------------------------------------------------------------------------------------


def _stage_parquet(spark: SparkSession, source: Source, now: float) -> DataFrame:
    groups: list[tuple[str, int, int]] = []
    for file, layout in source.files.items():
        with parquet.ParquetFile(file) as opened:
            schema = opened.schema_arrow
            fields = {field: schema.field(str(name)).type for field, name in layout.columns.items()}
            empty = pa.table({field: pa.array([], kind) for field, kind in fields.items()})
            validate_interactions(empty, file=file, now=now)  # a column of an impossible type is no matter of rows
            first = 1
            for group in range(opened.num_row_groups):
                groups.append((file, group, first))
                first += opened.metadata.row_group(group).num_rows
    frame = spark.createDataFrame(groups, "file string, group int, first long")
    tasks = max(1, min(len(groups), 4 * spark.sparkContext.defaultParallelism))
    return frame.repartition(tasks).mapInArrow(_parquet_stager(source.files, now), STAGED)


def _parquet_stager(layouts: dict[str, Layout], now: float) -> Callable[[Batches], Batches]:
    def run(batches: Batches) -> Batches:
        for batch in batches:
            for file, group, first in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                layout = layouts[file]
                names = [str(name) for name in layout.columns.values()]
                with parquet.ParquetFile(file) as opened:
                    for part in opened.iter_batches(row_groups=[group], columns=names):
                        table = pa.Table.from_batches([part])
                        fields = pa.table({field: table[str(name)] for field, name in layout.columns.items()})
                        rows = np.arange(first, first + len(table), dtype=np.int64)
                        first += len(table)
                        for name in ("user", "item"):
                            kind = fields[name].type
                            text = not (pa.types.is_integer(kind) or pa.types.is_decimal(kind))
                            fields = fields.append_column(f"{name}_is_text", pa.array(np.full(len(rows), text)))
                        yield from staged(fields, rows, file, layout.timestamp_unit, now)

    return run


# -- both --------------------------------------------------------------------------------------------------------------


def staged(fields: pa.Table, rows: Numbers, file: str, unit: str, now: float) -> Batches:
    """Batches of `STAGED`: the good rows, then the rejected ones. Uses the validator that the readers use."""
    if fields.num_rows == 0:
        return
    good, rejects = validate_interactions(fields, file=file, first_row=0, now=now, timestamp_unit=unit)
    kept = np.ones(fields.num_rows, dtype=bool)
    bad = np.asarray(rejects["row"], dtype=np.int64)
    kept[bad] = False
    if good.num_rows:
        columns = {name: good[name] for name in good.column_names}
        for name in ("user", "item"):
            flag = f"{name}_is_text"
            if flag in fields.column_names:
                columns[flag] = fields[flag].filter(pa.array(kept))
        columns["file"] = pa.repeat(pa.scalar(file, pa.string()), good.num_rows)
        columns["row"] = pa.array(rows[kept])
        yield from _conformed(columns, good.num_rows)
    yield from _rejected(
        file, list(zip(rows[bad].tolist(), rejects["reason"].to_pylist(), strict=True)) if len(bad) else []
    )


def _rejected(file: str, rejects: list[tuple[int, str]]) -> Batches:
    if rejects:
        columns = {
            "file": pa.repeat(pa.scalar(file, pa.string()), len(rejects)),
            "row": pa.array([row for row, _ in rejects], pa.int64()),
            "reason": pa.array([reason for _, reason in rejects], pa.string()),
        }
        yield from _conformed(columns, len(rejects))


def _conformed(columns: dict[str, pa.Array], n: int) -> Batches:
    table = pa.table(
        {
            field.name: columns[field.name].cast(field.type) if field.name in columns else pa.nulls(n, field.type)
            for field in _SCHEMA
        },
        schema=_SCHEMA,
    )
    yield from table.to_batches()
