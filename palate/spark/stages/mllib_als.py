"""MLlib's own ALS behind the same model: for ratings beyond the memory of one machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any, cast

import numpy as np
import pyarrow as pa
from pyspark.errors import PySparkException
from pyspark.ml.recommendation import ALS as MLlibALS
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as f
from pyspark.sql.pandas.functions import arrow_udf
from pyspark.sql.types import ByteType, IntegerType, ShortType
from scipy import sparse

from palate.dataset.ids import IdMap
from palate.errors import SchemaError
from palate.models.factors import Factors
from palate.spark.failures import explain
from palate.spark.stages.base import Stage
from palate.spark.stages.ratings import Refuse, plain_ids

_SAME = (
    "rank", "maxIter", "regParam", "alpha", "implicitPrefs", "nonnegative", "numUserBlocks", "numItemBlocks",
    "blockSize", "checkpointInterval", "intermediateStorageLevel", "finalStorageLevel", "seed",
)  # fmt: skip


def fit_mllib(ratings: DataFrame, names: Mapping[str, str], stage: Stage, seen: bool) -> Factors:
    """Factors by pyspark.ml's ALS with the Params of `stage`.

    ratings: as `select_ratings` gives them. Ids that are not Spark's int are numbered first, from a list of them on the
    driver, which is to hold their factors anyway. Raises SchemaError for what MLlib would refuse or let pass unsaid.
    """
    _refuse(ratings, names)
    maps: dict[str, IdMap | None] = {side: _numbered(ratings, side, names[side]) for side in ("user", "item")}
    values = {name: stage.getOrDefault(name) for name in _SAME if stage.isDefined(name)}
    with ExitStack() as sent:  # all that is computed is collected before it ends
        coded = ratings.select(
            *(_coded(ratings, side, ids, names[side], sent).alias(side) for side, ids in maps.items()), "rating"
        )
        try:
            model = MLlibALS(userCol="user", itemCol="item", ratingCol="rating", **values).fit(coded)
        except PySparkException as error:
            raise explain(error) or error from error
        (users, user_factors), (items, item_factors) = (
            _factors(frame, maps[side]) for side, frame in (("user", model.userFactors), ("item", model.itemFactors))
        )
        pairs = _pairs(coded, users, items, maps) if seen else None
    return Factors(users, items, user_factors, item_factors, pairs, "spark")


def _refuse(ratings: DataFrame, names: Mapping[str, str]) -> None:
    """Raises SchemaError for nulls, for ratings that are not finite, and for no rows; one pass that counts them."""
    value = f.col("rating")
    wrong = {
        "user": ("the id is null", f.col("user").isNull()),
        "item": ("the id is null", f.col("item").isNull()),
        "rating": ("the rating is null, NaN or infinite", value.isNull() | f.isnan(value) | (f.abs(value) == np.inf)),
    }
    counts = ratings.agg(
        f.count(f.lit(1)).alias("rows"), *(f.count_if(bad).alias(at) for at, (_, bad) in wrong.items())
    )
    found = counts.collect()[0]
    if not found["rows"]:
        raise SchemaError("there are no rows to learn from.", where=names["rating"] or "ratings")
    for at, (what, bad) in wrong.items():
        if found[at]:
            one = ratings.where(bad).select(*(side for side in wrong if side != at)).first()
            beside = ", ".join(f"{names[side] or side} {held!r}" for side, held in one.asDict().items()) if one else ""
            rows = f"one of {found[at]} such rows, beside it {beside}"
            raise SchemaError(f"{what} ({rows}).", where=names[at] or at, hint="Mend or drop such rows.")


def _numbered(ratings: DataFrame, side: str, column: str) -> IdMap | None:
    """The distinct ids of a column; None where they are Spark's int and so their own numbers."""
    if isinstance(ratings.schema[side].dataType, IntegerType | ShortType | ByteType):
        return None
    return IdMap.from_values(
        plain_ids(ratings.select(side).distinct().toArrow().column(side), _at(column)), where=column
    )


def _at(column: str) -> Refuse:
    return lambda row, what: SchemaError(what, where=column, hint="Mend or drop such rows.")


def _coded(ratings: DataFrame, side: str, ids: IdMap | None, column: str, stack: ExitStack) -> Column:
    """The ids' numbers. What has to be sent for that is destroyed with the stack."""
    if ids is None:
        return f.col(side).cast("int")
    sent = ratings.sparkSession.sparkContext.broadcast(ids)
    stack.callback(sent.destroy)

    def encode(arrays: Iterator[pa.Array]) -> Iterator[pa.Array]:
        for array in arrays:
            yield pa.array(sent.value.encode(plain_ids(array, _at(column))))

    encode.__annotations__ = {"arrays": Iterator[pa.Array], "return": Iterator[pa.Array]}
    made: Column = cast("Any", arrow_udf)(encode, returnType=IntegerType())(f.col(side))
    return made


def _factors(frame: DataFrame, ids: IdMap | None) -> tuple[IdMap, Any]:
    """MLlib's factors by ascending id."""
    table = frame.toArrow()
    numbers = np.asarray(table.column("id"), dtype=np.int64)
    order = np.argsort(numbers)
    factors = np.asarray(table.column("features").combine_chunks().flatten(), dtype=np.float32)
    held = IdMap(numbers[order]) if ids is None else ids
    return held, factors.reshape(len(numbers), -1)[order]


def _pairs(coded: DataFrame, users: IdMap, items: IdMap, maps: Mapping[str, IdMap | None]) -> sparse.csr_matrix:
    table = coded.select("user", "item").distinct().toArrow()
    rows, columns = (
        np.asarray(table.column(side)) if maps[side] is not None else ids.encode(table.column(side))
        for side, ids in (("user", users), ("item", items))
    )
    made = sparse.csr_matrix((np.ones(len(rows), np.int8), (rows, columns)), shape=(len(users), len(items)))
    made.sort_indices()
    return made
