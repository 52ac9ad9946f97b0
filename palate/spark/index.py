"""Ids to codes in a DataFrame, and id maps as tables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from palate.dataset.ids import IdMap, integer_ids

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

ROWS_PER_FILE = 1_000_000


def id_map(rows: DataFrame, name: str, more: IdMap | None) -> IdMap:
    """The ids of the rows, sorted, then those that only the catalogue has. Integers where all of both are."""
    known = rows.where(f"{name} is not null").select(name)
    ids = integer_ids(known.distinct().toArrow()[name].combine_chunks().cast(pa.large_string()))
    if more is None or not len(more):
        return IdMap.from_values(ids, where=name)
    if pa.types.is_integer(ids.type) != more.is_integer:
        ids = ids.cast(pa.large_string())
        return IdMap.from_values(ids, where=name).extended(more.ids.cast(pa.large_string()))
    return IdMap.from_values(ids, where=name).extended(more.ids)


def coded(spark: SparkSession, rows: DataFrame, name: str, ids: IdMap) -> DataFrame:
    """With the column `NAME_code`."""
    codes = pa.array(np.arange(len(ids), dtype=np.int32))
    table = pa.table({name: ids.ids.cast(pa.string()), f"{name}_code": codes})
    return rows.join(spark.createDataFrame(table), name)


def write_ids(ids: IdMap, folder: Path) -> None:
    """The table code, id."""
    write_table(pa.table({"code": pa.array(np.arange(len(ids), dtype=np.int32)), "id": ids.ids}), folder)


def write_table(table: pa.Table, folder: Path) -> None:
    """A table as a folder of one Parquet file."""
    folder.mkdir()
    parquet.write_table(table, folder / "part-00000.parquet", row_group_size=ROWS_PER_FILE)
