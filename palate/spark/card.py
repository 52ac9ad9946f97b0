"""The data card: what a prepared dataset holds, in numbers, and a fingerprint of its content.

Few jobs for many numbers: on small data it is the jobs that take the time.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_LISTED = 50
"""Weights and kinds that take no more values than this are counted value by value."""
_QUANTILES = [0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0]


def describe(rows: DataFrame) -> dict[str, dict[str, Any]]:
    """Counts, density, time span, weights and kinds: of the whole (under "") and of each `part`.

    rows: user_code, item_code, part, and what else there is of weight, timestamp and kind.
    """
    from pyspark.sql import functions as f

    wanted = [
        f.count(f.lit(1)).alias("interactions"),
        f.countDistinct("user_code").alias("users"),
        f.countDistinct("item_code").alias("items"),
    ]
    if "timestamp" in rows.columns:
        wanted += [f.min("timestamp").alias("from"), f.max("timestamp").alias("to")]
    if "weight" in rows.columns:
        weight = f.col("weight").cast("double")
        wanted += [f.avg(weight).alias("mean"), f.percentile_approx(weight, _QUANTILES, 10_000).alias("quantiles")]
    found = {row["part"] or "": row.asDict() for row in rows.rollup("part").agg(*wanted).collect()}
    counted: dict[str, Any] = {name: _counts(rows, name) for name in ("weight", "kind") if name in rows.columns}
    return {part: _facts(part, row, counted) for part, row in found.items()}


def _counts(rows: DataFrame, name: str) -> dict[str, dict[Any, int]]:
    """Part to value to rows; of the whole under ""."""
    counts: dict[str, dict[Any, int]] = {"": {}}
    limit = 4 * (_LISTED + 1)
    for row in rows.groupBy("part", name).count().orderBy(name, "part").limit(limit).collect():
        of_part = counts.setdefault(row["part"], {})
        of_part[row[name]] = row["count"]
        counts[""][row[name]] = counts[""].get(row[name], 0) + row["count"]
    return counts


def _facts(part: str, row: dict[str, Any], counted: dict[str, dict[str, dict[Any, int]]]) -> dict[str, Any]:
    cells = row["users"] * row["items"]
    facts: dict[str, Any] = {name: row[name] for name in ("interactions", "users", "items")}
    facts["density"] = row["interactions"] / cells if cells else 0.0
    if "from" in row:
        facts["time"] = {"from": row["from"], "to": row["to"]}
    if "mean" in row:
        named = zip(_QUANTILES, row["quantiles"], strict=True)
        facts["weight"] = {"mean": row["mean"], "quantiles": {f"{q:g}": value for q, value in named}}
        if len(counted["weight"][""]) <= _LISTED:
            facts["weight"]["counts"] = {f"{value:g}": n for value, n in counted["weight"].get(part, {}).items()}
    if "kind" in counted and len(counted["kind"][""]) <= _LISTED:
        facts["kinds"] = counted["kind"].get(part, {})
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
