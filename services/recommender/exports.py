"""Events as Parquet, page by page: the same cursor gives the same bytes, however often and by whichever worker."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

MEDIA = "application/vnd.apache.parquet"
SCHEMA = pa.schema(
    [
        ("user", pa.large_string()),
        ("item", pa.large_string()),
        ("weight", pa.float64()),
        ("timestamp", pa.int64()),
        ("kind", pa.large_string()),
        ("id", pa.large_string()),
        ("recommendation_id", pa.large_string()),
        ("received", pa.float64()),
    ]
)
"""The columns of interactions first, as `prepare` reads them; ids are always text."""


def parquet(rows: Iterable[Any]) -> bytes:
    """The file of these events, in their order. Nothing in it depends on when or where it is written."""
    columns: dict[str, list[Any]] = {name: [] for name in SCHEMA.names}
    for row in rows:
        values = row._mapping
        for name in ("user", "item", "kind", "id", "received"):
            columns[name].append(values[name])
        columns["weight"].append(1.0 if row.weight is None else row.weight)
        columns["timestamp"].append(int(row.timestamp))
        columns["recommendation_id"].append(row.recommendation)
    sink = pa.BufferOutputStream()
    # One thread, one row group size and fixed settings: the bytes follow from the rows.
    pq.write_table(pa.table(columns, schema=SCHEMA), sink, version="2.6", compression="zstd", row_group_size=1 << 17)
    return bytes(sink.getvalue())
