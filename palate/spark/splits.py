"""The splits of `palate.dataset.splits` on DataFrames: the same names, parameters and rows.

One differs: "random" goes by a hash of each row, for the rows of a DataFrame have no order to draw from. Its share is
met on average, and the rows are others than those of `random_split`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from palate.errors import ParameterError, SchemaError

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

METHODS = ("leave_last_fraction", "leave_last_out", "time", "random", "cold_items", "cold_users", "given")
TIMED = ("leave_last_fraction", "leave_last_out", "time")


@dataclass(frozen=True)
class SplitOptions:
    """method: one of `METHODS`. share: of rows (of items or users where these are held out) for testing.
    n: of "leave_last_out". seed: of the random ones."""

    method: str = "leave_last_fraction"
    share: float = 0.2
    n: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ParameterError(
                f"there is no split {self.method[:60]!r}.", where="split", hint=f"Known: {', '.join(METHODS)}."
            )
        if not 0 < self.share < 1:
            raise ParameterError(f"must lie between 0 and 1, not {self.share}.", where="test share")
        if self.n < 1:
            raise ParameterError(f"must be at least 1, not {self.n}.", where="n")


def with_part(rows: DataFrame, options: SplitOptions) -> DataFrame:
    """`rows` with a column `part`, "train" or "test".

    rows: user_code, item_code, file, row; timestamp where the split goes by time; `given` for the split of that name.
    Raises SchemaError where the columns do not allow the split.
    """
    from pyspark.sql import functions as f

    if options.method in TIMED and "timestamp" not in rows.columns:
        raise SchemaError(
            f"the split {options.method} goes by time, but the interactions have no timestamps.",
            where="timestamp",
            hint="Give --split random, or name the column in a mapping file.",
        )
    if options.method == "given":
        if "given" not in rows.columns:
            raise SchemaError(
                "the data does not come split.", where="split", hint="Only a folder with train.txt and test.txt does."
            )
        return rows.withColumn("part", f.col("given"))
    if options.method in ("leave_last_fraction", "leave_last_out"):
        return _leave_last(rows, options)
    held = {"time": _late, "random": _random, "cold_items": _cold, "cold_users": _cold}[options.method](rows, options)
    return rows.withColumn("part", f.when(held, "test").otherwise("train"))


def _leave_last(rows: DataFrame, options: SplitOptions) -> DataFrame:
    """Counted from the end of each user's history; of one second the larger item code, then the later row is last."""
    from pyspark.sql import Window
    from pyspark.sql import functions as f

    history = Window.partitionBy("user_code")
    backwards = history.orderBy(*(f.desc(name) for name in ("timestamp", "item_code", "file", "row")))
    count = f.count(f.lit(1)).over(history)
    if options.method == "leave_last_out":
        wanted: Column = f.lit(options.n)
    else:
        wanted = f.greatest(f.floor(count * options.share + 1e-9), f.lit(1))
    held = f.row_number().over(backwards) <= f.least(wanted, count - 1)
    return rows.withColumn("part", f.when(held, "test").otherwise("train"))


def _late(rows: DataFrame, options: SplitOptions) -> Column:
    """From the second on from which about the share is left."""
    from pyspark.sql import functions as f

    seconds = rows.groupBy("timestamp").count().toArrow().sort_by("timestamp")
    ends = np.cumsum(np.asarray(seconds["count"]))
    place = min(int(ends[-1] * (1 - options.share)), int(ends[-1]) - 1)
    at = int(seconds["timestamp"][int(np.searchsorted(ends, place, side="right"))].as_py())
    return f.col("timestamp") >= f.lit(at)


def _random(rows: DataFrame, options: SplitOptions) -> Column:
    from pyspark.sql import functions as f

    names = [name for name in ("user_code", "item_code", "timestamp", "weight", "kind") if name in rows.columns]
    bits = f.xxhash64(f.lit(options.seed), *names).bitwiseAND(f.lit((1 << 53) - 1))
    return bits < f.lit(int(options.share * (1 << 53)))


def _cold(rows: DataFrame, options: SplitOptions) -> Column:
    """The codes that `palate.dataset.splits` draws from the same seed."""
    from pyspark.sql import functions as f

    name = "item_code" if options.method == "cold_items" else "user_code"
    present = np.sort(np.asarray(rows.select(name).distinct().toArrow()[name]))
    count = min(max(round(len(present) * options.share), 1), len(present) - 1)
    chosen = np.random.default_rng(options.seed).permutation(present)[: max(count, 0)]
    return f.col(name).isin([int(code) for code in chosen])
