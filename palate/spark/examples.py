"""A prepared dataset as labelled examples: a row per user and item, with what is known of both, for models that learn
from rows rather than from a matrix.

Everything here is a function of the rows' own values and the seed, so that the examples are the same whatever the
partitions were.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyspark.sql import DataFrame
from pyspark.sql import functions as f

from palate.errors import SchemaError
from palate.spark.prepared import PARTS, Prepared

if TYPE_CHECKING:
    from pyspark.sql import Column, SparkSession

LABEL = "label"


@dataclass(frozen=True)
class Examples:
    """Rows with the column LABEL; the names of the columns that are categories."""

    train: DataFrame
    test: DataFrame
    categories: tuple[str, ...]


def examples(
    spark: SparkSession,
    prepared: Prepared,
    *,
    classes: bool,
    liked: float | None = None,
    negatives: int = 1,
    item_attributes: Sequence[str] = (),
    user_attributes: Sequence[str] = (),
    seed: int = 0,
) -> Examples:
    """The interactions of both parts, labelled.

    Of a regression the label is the weight. Of a classification it is whether the weight is at least `liked`; without
    `liked` every interaction is a 1, and for each one up to `negatives` items are drawn that the user has in neither
    part, as 0. Columns beside the label: `user`, `item`, `item_category` (the first one, where there is a catalogue)
    and each attribute asked for as `item_NAME` or `user_NAME`, as text, null where it is not known.
    Raises SchemaError without weights or tables that this needs.
    """
    parts = {name: spark.read.parquet(str(prepared.path / name)) for name in PARTS}
    if (not classes or liked is not None) and "weight" not in parts["train"].columns:
        raise SchemaError("its interactions have no weights.", where=str(prepared.path), hint="Use --loss logistic.")
    known = _Known.read(spark, prepared, item_attributes, user_attributes)
    found = {}
    for name, rows in parts.items():
        if not classes:
            labelled = rows.select("user", "item", f.col("weight").cast("double").alias(LABEL))
        elif liked is not None:
            labelled = rows.select("user", "item", (f.col("weight") >= liked).cast("double").alias(LABEL))
        else:
            labelled = _with_negatives(spark, prepared, rows, list(parts.values()), negatives, seed)
        found[name] = known.join(labelled)
    return Examples(found["train"], found["test"], ("user", "item", *known.names))


def _with_negatives(
    spark: SparkSession, prepared: Prepared, rows: DataFrame, parts: list[DataFrame], negatives: int, seed: int
) -> DataFrame:
    pair = ["user", "item", "user_code", "item_code"]
    positives = rows.select(*pair).distinct()
    ids = spark.read.parquet(str(prepared.path / "item_ids"))
    drawn = f.pmod(f.xxhash64("user_code", "item_code", "draw", f.lit(seed)), f.lit(len(prepared.items)))
    tried = positives.withColumn("draw", f.explode(f.sequence(f.lit(1), f.lit(negatives))))
    tried = tried.select("user", "user_code", drawn.cast("int").alias("item_code")).distinct()
    had = parts[0].select("user_code", "item_code").unionByName(parts[1].select("user_code", "item_code"))
    never = tried.join(had, ["user_code", "item_code"], "left_anti")
    named = never.join(ids.select(f.col("code").alias("item_code"), f.col("id").alias("item")), "item_code")
    ones = positives.select("user", "item", f.lit(1.0).alias(LABEL))
    return ones.unionByName(named.select("user", "item", f.lit(0.0).alias(LABEL)))


@dataclass(frozen=True)
class _Known:
    """What is known of items and users: frames by `item` and `user`, None where nothing is asked of them."""

    items: DataFrame | None
    users: DataFrame | None
    names: tuple[str, ...]

    @classmethod
    def read(cls, spark: SparkSession, prepared: Prepared, items: Sequence[str], users: Sequence[str]) -> _Known:
        has_items, has_users = (prepared.path / "items").is_dir(), (prepared.path / "users").is_dir()
        for what, asked, has in (("items", items, has_items), ("users", users, has_users)):
            if asked and not has:
                raise SchemaError(f"nothing is known of its {what}.", where=str(prepared.path))
        item_names, user_names = [f"item_{name}" for name in items], [f"user_{name}" for name in users]
        catalogue, people = None, None
        if has_items:
            category = f.col("categories")[0].alias("item_category")
            table = spark.read.parquet(str(prepared.path / "items"))
            catalogue = table.select(f.col("id").alias("item"), category, *_attributes(items, item_names))
            item_names = ["item_category", *item_names]
        if users:
            table = spark.read.parquet(str(prepared.path / "users"))
            people = table.select(f.col("id").alias("user"), *_attributes(users, user_names))
        return cls(catalogue, people, (*item_names, *user_names))

    def join(self, rows: DataFrame) -> DataFrame:
        if self.items is not None:
            rows = rows.join(self.items, "item", "left")
        if self.users is not None:
            rows = rows.join(self.users, "user", "left")
        return rows.select(LABEL, "user", "item", *self.names)


def _attributes(names: Sequence[str], aliases: Sequence[str]) -> list[Column]:
    """The attributes of a JSON object, as text; null for what it lacks, and for what is no JSON."""
    paths = ["$['" + name.replace("'", "") + "']" for name in names]
    return [f.get_json_object("attributes", path).alias(alias) for path, alias in zip(paths, aliases, strict=True)]
