"""What the models of ALS and its kin have in common: a prediction per pair, and the best items and users.

Factors are sent to the executors once and stay in their Python workers; scores are computed in tiles that never leave
the processor's cache, so that no executor ever holds more than its share of the answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyspark import Broadcast, SparkContext
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.recommendation import _ALSModelParams
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as f
from pyspark.sql.pandas.functions import arrow_udf
from pyspark.sql.types import (
    ArrayType,
    DataType,
    FloatType,
    IntegerType,
    LongType,
    StringType,
    StructField,
    StructType,
)
from scipy import sparse
from threadpoolctl import threadpool_limits

from palate.dataset.ids import IdMap
from palate.errors import ParameterError, SchemaError
from palate.kernels.top_n import Targets, top_n
from palate.models.factors import Factors
from palate.spark.stages.base import Check, NativeModel, at_least
from palate.spark.stages.blocks import bad_row
from palate.spark.stages.columns import by_row, quoted
from palate.spark.stages.ratings import Refuse, plain_ids, require_ids
from palate.spark.stages.sent import send
from palate.spark.stages.tasks import Batches, numbered, slots, task_number

_SCORED = 1024
"""Rows of an answer computed at once."""


def cold_start(value: str) -> str | None:
    return None if value.lower() in ("nan", "drop") else f"must be one of nan, drop, not {value!r}."


class FilterSeen(Params):
    """The Param `filterSeen`."""

    filterSeen: Param[bool] = Param(
        Params._dummy(),
        "filterSeen",
        "whether recommendations leave out the pairs of the training data; the model then holds them",
        typeConverter=TypeConverters.toBoolean,
    )

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._setDefault(filterSeen=False)


class NativeFactorModel(NativeModel, _ALSModelParams, FilterSeen):
    """A factorized rating matrix: `transform`, `userFactors`, `itemFactors` and the `recommendFor...` of pyspark.ml.

    Ids have the type of the training data: text, or integers (Spark's int if all fit, else long). An id that the
    model lacks is predicted NaN, or its row is dropped, by `coldStartStrategy`; a null one raises SchemaError where
    the frame is computed.
    """

    checks: ClassVar[dict[str, Check]] = {"coldStartStrategy": cold_start, "blockSize": at_least(1)}
    artifact: Factors
    shown = ("rank",)

    def __init__(self, artifact: Factors | None = None, **values: Any) -> None:
        super().__init__(artifact, **values)
        self._sent: dict[bool, tuple[SparkContext, Broadcast[Factors]]] = {}

    def getColdStartStrategy(self) -> str:
        """Gets the value of coldStartStrategy in lower case."""
        return super().getColdStartStrategy().lower()

    @property
    def rank(self) -> int:
        return self.artifact.rank

    @property
    def engine(self) -> str:
        """What fitted the model: native, spark or implicit."""
        return self.artifact.engine

    @property
    def userFactors(self) -> DataFrame:
        """`id`, and `features` array<float>."""
        return _factor_frame(self.artifact.users, self.artifact.user_factors)

    @property
    def itemFactors(self) -> DataFrame:
        """`id`, and `features` array<float>."""
        return _factor_frame(self.artifact.items, self.artifact.item_factors)

    def recommendForAllUsers(self, numItems: int) -> DataFrame:
        """The `numItems` best items of every user: `userCol`, and `recommendations` array<struct<itemCol, rating>>."""
        return self._recommend(None, numItems, by_user=True)

    def recommendForAllItems(self, numUsers: int) -> DataFrame:
        """The `numUsers` best users of every item: `itemCol`, and `recommendations` array<struct<userCol, rating>>."""
        return self._recommend(None, numUsers, by_user=False)

    def recommendForUserSubset(self, dataset: DataFrame, numItems: int) -> DataFrame:
        """As `recommendForAllUsers`, for the users of the column `userCol` that the model knows, each once."""
        return self._recommend(dataset, numItems, by_user=True)

    def recommendForItemSubset(self, dataset: DataFrame, numUsers: int) -> DataFrame:
        """As `recommendForAllItems`, for the items of the column `itemCol` that the model knows, each once."""
        return self._recommend(dataset, numUsers, by_user=False)

    def _added(self) -> list[StructField]:
        return [StructField(self.getPredictionCol(), FloatType())]

    def _transform(self, dataset: DataFrame) -> DataFrame:
        columns = self.getUserCol(), self.getItemCol()
        for column, ids in zip(columns, (self.artifact.users, self.artifact.items), strict=True):
            _require_kind(dataset, column, ids)
        sent = self._send(dataset.sparkSession, seen=False)

        def predict(arrays: Iterator[tuple[pa.Array, pa.Array]]) -> Iterator[pa.Array]:
            model, start = sent.value, 0
            for users, items in arrays:
                codes = (
                    model.users.encode(plain_ids(users, _refusing(columns[0], start))),
                    model.items.encode(plain_ids(items, _refusing(columns[1], start))),
                )
                start += len(users)
                yield pa.array(model.ratings(*codes))

        predict.__annotations__ = {"arrays": Iterator[tuple[pa.Array, pa.Array]], "return": Iterator[pa.Array]}
        drop = self.getColdStartStrategy() == "drop"
        function = cast("Any", arrow_udf)(predict, returnType=FloatType())
        if drop:  # otherwise Spark would compute it once to filter by and once more to give it out
            function = function.asNondeterministic()
        name = self.getPredictionCol()
        answer = by_row(dataset).withColumn(name, function(*(f.col(quoted(column)) for column in columns)))
        return answer.where(~f.isnan(quoted(name))) if drop else answer

    def _send(self, spark: SparkSession, *, seen: bool) -> Broadcast[Factors]:
        """The factors on their way to the executors, once for a context; with the pairs seen if asked for."""
        context = spark.sparkContext
        if seen not in self._sent or self._sent[seen][0] is not context:
            held = self.artifact
            pairs = held.require_seen() if seen else None
            value = Factors(held.users, held.items, held.user_factors, held.item_factors, pairs, held.engine)
            self._sent[seen] = context, send(spark, value)
        return self._sent[seen][1]

    def copy(self, extra: Any = None) -> Any:
        made = super().copy(extra)
        made._sent = dict(self._sent)
        return made

    def _recommend(self, subset: DataFrame | None, n: int, *, by_user: bool) -> DataFrame:
        if isinstance(n, bool) or not isinstance(n, int) or n < 1:
            raise ParameterError(f"must be a whole number of at least 1, not {n!r}.", where="n")
        asked, given = (self.getUserCol(), self.getItemCol())[:: 1 if by_user else -1]
        held = (self.artifact.users, self.artifact.items)[:: 1 if by_user else -1]
        spark = SparkSession.active() if subset is None else subset.sparkSession
        if subset is None:
            count = len(held[0])
            frame = spark.range(0, count, 1, max(1, min(slots(spark.range(1)), -(-count // _SCORED))))
        else:
            _require_kind(subset, asked, held[0])
            ids = f.col(quoted(asked))
            frame = subset.select(ids).where(ids.isNotNull()).distinct()
        seen = bool(self.getOrDefault(self.filterSeen))
        sent = self._send(spark, seen=seen)
        known = subset is None

        def recommend(batches: Batches) -> Batches:
            queries = _Queries(sent.value, by_user, seen)
            with threadpool_limits(1, "blas"):  # as many tasks as cores run beside this one
                for batch in batches:
                    column = batch.column(0)
                    codes = np.asarray(column) if known else queries.encode(plain_ids(column, _refusing(asked, 0)))
                    for start in range(0, len(codes), _SCORED):
                        yield queries.answer(codes[start : start + _SCORED], n, asked, given)

        kinds = [_id_type(ids) for ids in held]
        one = StructType([StructField(given, kinds[1]), StructField("rating", FloatType())])
        schema = StructType([StructField(asked, kinds[0]), StructField("recommendations", ArrayType(one))])
        return numbered(frame).mapInArrow(recommend, schema)


def _refusing(column: str, start: int) -> Refuse:
    """The error for a row of an array that begins at row `start` of its task."""
    return lambda row, what: bad_row(column, task_number(), start + row, what)


class _Queries:
    """On an executor: rows of one side of the factors that ask for the best of the other."""

    def __init__(self, model: Factors, by_user: bool, seen: bool) -> None:
        sides = (model.users, model.user_factors), (model.items, model.item_factors)
        (self.ids, self.queries), (self.answers, targets) = sides if by_user else sides[::-1]
        self.targets = Targets.of(targets)
        self.seen: sparse.csr_matrix | None = None
        if seen:
            self.seen = model.require_seen() if by_user else model.require_seen().T.tocsr()
            self.seen.sort_indices()

    def encode(self, ids: pa.Array) -> npt.NDArray[np.int32]:
        codes = self.ids.encode(ids)
        return codes[codes >= 0]

    def answer(self, codes: npt.NDArray[Any], n: int, asked: str, given: str) -> pa.RecordBatch:
        seen = None if self.seen is None else self.seen[codes]
        left_out = None if seen is None else (seen.indptr, seen.indices)
        n = min(n, len(self.targets))
        best, scores = top_n(self.queries[codes], self.targets, n, left_out)
        found = best >= 0
        offsets = np.concatenate([[0], np.cumsum(found.sum(axis=1))]).astype(np.int32)
        ids = self.answers.ids.take(pa.array(best[found]))
        pairs = pa.StructArray.from_arrays(
            [ids.cast(_arrow_type(self.answers)), pa.array(scores[found])], names=[given, "rating"]
        )
        queries = self.ids.ids.take(pa.array(codes)).cast(_arrow_type(self.ids))
        return pa.RecordBatch.from_arrays(
            [queries, pa.ListArray.from_arrays(offsets, pairs)], names=[asked, "recommendations"]
        )


def _factor_frame(ids: IdMap, factors: npt.NDArray[np.float32]) -> DataFrame:
    offsets = np.arange(0, factors.size + 1, factors.shape[1], dtype=np.int32)
    lists = pa.ListArray.from_arrays(offsets, np.ascontiguousarray(factors).reshape(-1))
    table = pa.table({"id": ids.ids.cast(_arrow_type(ids)), "features": lists})
    schema = StructType([StructField("id", _id_type(ids)), StructField("features", ArrayType(FloatType()))])
    return SparkSession.active().createDataFrame(cast("Any", table), schema)


def _arrow_type(ids: IdMap) -> pa.DataType:
    """How ids leave the model: as Spark's int where all fit, which is what pyspark.ml gives; else long, or text."""
    if not ids.is_integer:
        return pa.string()
    if len(ids) == 0:
        return pa.int32()
    extremes = pc.min_max(ids.ids).as_py()
    return pa.int32() if extremes["min"] >= -(2**31) and extremes["max"] < 2**31 else pa.int64()


def _id_type(ids: IdMap) -> DataType:
    kind = _arrow_type(ids)
    return StringType() if kind == pa.string() else IntegerType() if kind == pa.int32() else LongType()


def _require_kind(frame: DataFrame, column: str, ids: IdMap) -> None:
    """Raises SchemaError unless the column could hold ids of the map."""
    kind = require_ids(frame, column)
    if isinstance(kind, StringType) == ids.is_integer:
        ours = "whole numbers" if ids.is_integer else "text"
        raise SchemaError(f"the model's ids are {ours}, the column holds {kind.simpleString()}.", where=column)
