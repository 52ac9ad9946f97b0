"""The data card: what a prepared dataset holds, in numbers, and a fingerprint of its content."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_LISTED = 50
"""Weights that take no more values than this are counted value by value; others get quantiles only."""
_QUANTILES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)


def describe(rows: DataFrame) -> dict[str, Any]:
    """Counts, density, time span, weights and kinds of rows with user_code, item_code and what else they have."""
    from pyspark.sql import functions as f

    wanted = [
        f.count(f.lit(1)).alias("interactions"),
        f.countDistinct("user_code").alias("users"),
        f.countDistinct("item_code").alias("items"),
    ]
    if "timestamp" in rows.columns:
        wanted += [f.min("timestamp").alias("from"), f.max("timestamp").alias("to")]
    if "weight" in rows.columns:
        wanted += [f.avg(f.col("weight").cast("double")).alias("mean")]
    row = rows.agg(*wanted).first()
    found: dict[str, Any] = row.asDict() if row is not None else {}
    cells = found["users"] * found["items"]
    facts: dict[str, Any] = {name: found[name] for name in ("interactions", "users", "items")}
    facts["density"] = found["interactions"] / cells if cells else 0.0
    if "timestamp" in rows.columns:
        facts["time"] = {"from": found["from"], "to": found["to"]}
    if "weight" in rows.columns:
        facts["weight"] = {"mean": found["mean"], **_weights(rows)}
    if "kind" in rows.columns:
        facts["kinds"] = {row["kind"]: row["count"] for row in rows.groupBy("kind").count().orderBy("kind").collect()}
    return facts


def _weights(rows: DataFrame) -> dict[str, Any]:
    counted = rows.groupBy("weight").count().orderBy("weight").limit(_LISTED + 1).collect()
    quantiles = rows.approxQuantile("weight", list(_QUANTILES), 0.001)
    facts: dict[str, Any] = {"quantiles": {f"{q:g}": value for q, value in zip(_QUANTILES, quantiles, strict=True)}}
    if len(counted) <= _LISTED:
        facts["counts"] = {f"{row['weight']:g}": row["count"] for row in counted}
    return facts


def fingerprint(rows: DataFrame) -> str:
    """sha256 over what the rows say (user, item, weight, timestamp, kind, part), whatever their order or partitions.

    Each user's rows are sorted and hashed on the executors; the users' hashes are sorted and hashed here.
    """
    from pyspark.sql import functions as f

    names = [name for name in ("user", "item", "weight", "timestamp", "kind", "part") if name in rows.columns]
    lines = f.array_sort(f.collect_list(f.to_json(f.struct(*names))))
    hashed = rows.groupBy("user").agg(f.sha2(f.array_join(lines, "\n"), 256).alias("hash")).select("hash").toArrow()
    digest = hashlib.sha256(",".join(names).encode())
    for value in sorted(hashed["hash"].to_pylist()):
        digest.update(value.encode())
    return digest.hexdigest()
