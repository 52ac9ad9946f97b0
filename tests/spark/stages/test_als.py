"""ALS beyond what every stage does: engines, ids of all kinds, recommendations, bad ratings."""

from __future__ import annotations

import gc
import logging
import os
import time
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

pytest.importorskip("pyspark", reason="needs pyspark: pip install 'palate[spark]'")

from pyspark.errors import PySparkException
from pyspark.ml.recommendation import ALS as MLlibALS
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as f
from scipy import sparse
from threadpoolctl import threadpool_limits

from palate.errors import ParameterError, SchemaError
from palate.kernels.als import Objective, loss
from palate.kernels.ratings import Ratings
from palate.spark import ALS, ALSModel, ImplicitALS, ImplicitBPR
from palate.spark.stages import gathered

pytestmark = pytest.mark.spark
FAR = 2**40
"""Where item ids of `frame` begin: beyond Spark's int."""


@pytest.fixture(scope="module")
def table() -> pa.Table:
    """900 ratings of 40 users (text ids) for 30 items (ids beyond 2^31), some below 0, some pairs twice."""
    rng = np.random.default_rng(0)
    users, items = rng.integers(0, 40, 900), rng.integers(0, 30, 900)
    tastes = np.einsum("ij,ij->i", rng.normal(size=(40, 3))[users], rng.normal(size=(30, 3))[items])
    ratings = np.round(8 * (tastes + 0.3 * rng.normal(size=900))) / 8  # whose sums float32 holds in any order
    names = pa.array([f"u{user:02}" for user in users])
    return pa.table({"user": names, "item": items + FAR, "rating": ratings, "number": users.astype(np.int32)})


@pytest.fixture(scope="module")
def frame(spark: SparkSession, table: pa.Table) -> DataFrame:
    return spark.createDataFrame(table).repartition(3).cache()


@pytest.fixture(scope="module")
def model(frame: DataFrame) -> ALSModel:
    return ALS(rank=4, maxIter=5, regParam=0.05, filterSeen=True).fit(frame)


def matrix(table: pa.Table) -> Ratings:
    users, items = np.asarray(table["number"]), (np.asarray(table["item"]) - FAR).astype(np.int32)
    return Ratings.from_pieces([users], [items], [np.asarray(table["rating"]).astype(np.float32)], 40, 30)


@pytest.mark.parametrize(
    ("implicit", "nonnegative", "penalty", "engine"),
    [(False, False, 0.2, "spark"), (True, False, 0.5, "auto"), (False, True, 0.8, "spark")],
)
def test_both_engines_reach_the_same_loss_and_hold_the_same_pairs(
    frame: DataFrame,
    table: pa.Table,
    implicit: bool,
    nonnegative: bool,
    penalty: float,
    engine: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """MLlib's engine where it is asked for, and where no memory is left for the native one. With such penalties, fits
    from any start end in one minimum."""
    monkeypatch.setattr(gathered, "MEMORY_SHARE", 1e-12)
    ratings, objective = matrix(table), Objective(implicit, penalty, 3.0, nonnegative)
    values = {"rank": 4, "maxIter": 8, "regParam": penalty, "alpha": 3.0, "filterSeen": True}
    values |= {"implicitPrefs": implicit, "nonnegative": nonnegative}
    native = ALS(**values, engine="native").fit(frame)
    files = set(os.listdir(frame.sparkSession.sparkContext._temp_dir))
    with caplog.at_level(logging.WARNING, "palate.spark"):
        theirs = ALS(**values, engine=engine, numUserBlocks=2, numItemBlocks=2).fit(frame)
    assert set(os.listdir(frame.sparkSession.sparkContext._temp_dir)) <= files
    assert (native.engine, theirs.engine) == ("native", "spark")
    assert ("too many for one executor" in caplog.text) == (engine == "auto")
    ours, mllib = native.artifact, theirs.artifact
    assert (ours.users, ours.items) == (mllib.users, mllib.items)
    assert (ours.seen != mllib.seen).nnz == 0
    assert ours.seen.nnz == len(set(zip(table["user"].to_pylist(), table["item"].to_pylist(), strict=True)))
    if nonnegative:
        assert min(ours.user_factors.min(), ours.item_factors.min()) == 0
    losses = [loss(ratings, objective, model.user_factors, model.item_factors) for model in (ours, mllib)]
    assert losses[0] == pytest.approx(losses[1], rel=0.01)


def test_shuffled_rows_in_other_partitions_give_the_same_loss(frame: DataFrame, table: pa.Table) -> None:
    """Factors too, since float32 holds the sums of these ratings."""
    ratings, objective, held = matrix(table), Objective(False, 0.05, 1.0), []
    for count in (1, 3, 20):
        shuffled = frame.orderBy(f.rand(count)).repartition(count)
        held.append(ALS(rank=4, maxIter=5, regParam=0.05).fit(shuffled).artifact)
    losses = [loss(ratings, objective, each.user_factors, each.item_factors) for each in held]
    assert losses == pytest.approx(losses[:1] * 3, rel=0.01)
    for other in held[1:]:
        np.testing.assert_allclose(other.user_factors, held[0].user_factors, rtol=1e-3, atol=1e-4)


def test_what_was_sent_for_models_that_are_gone_goes_too(frame: DataFrame, model: ALSModel) -> None:
    """A session may fit and use many models; a frame that one of them gave can still be computed after it."""
    asked, context = frame.limit(1).cache(), frame.sparkSession.sparkContext
    expected = model.transform(asked).first()

    def fresh() -> ALSModel:
        made = model.copy()
        made._sent = {}
        return made

    def files() -> set[str]:
        return set(os.listdir(context._temp_dir))

    before = files()
    waiting = fresh().transform(asked).select("prediction")
    its = files() - before
    fresh().transform(asked).collect()
    gone = files() - before - its
    assert len(its) == len(gone) == 1
    end = time.monotonic() + 60
    while gone & files() and time.monotonic() < end:  # the collectors of garbage take their time
        gc.collect()
        context._jvm.System.gc()
        fresh().transform(asked)
    assert not gone & files()
    assert its <= files()
    assert waiting.first()["prediction"] == expected["prediction"]


def test_ids_may_be_of_any_numeric_type_if_they_are_whole(frame: DataFrame) -> None:
    item = f.col("item") - FAR
    shaped = frame.select(f.col("number").cast("double").alias("user"), item.cast("decimal(9,0)").alias("item"))
    model = ALS(rank=2, maxIter=1, ratingCol="").fit(shaped)
    assert dict(model.userFactors.dtypes) == {"id": "int", "features": "array<float>"}
    assert model.artifact.users.ids.to_pylist() == list(range(40))
    assert model.transform(shaped).where("isnan(prediction)").isEmpty()


def test_recommendations_are_the_largest_products_of_what_was_not_seen(
    frame: DataFrame, table: pa.Table, model: ALSModel
) -> None:
    held = model.artifact
    for by_user, answer in ((True, model.recommendForAllUsers(5)), (False, model.recommendForAllItems(5))):
        asked, given = ("user", "item")[:: 1 if by_user else -1]
        scores = held.user_factors @ held.item_factors.T
        scores[held.seen.toarray() > 0] = -np.inf
        scores = scores if by_user else scores.T
        rows = {row[asked]: row["recommendations"] for row in answer.collect()}
        ids, answers = (held.users.ids, held.items.ids)[:: 1 if by_user else -1]
        assert rows.keys() == set(ids.to_pylist())
        for code, one in enumerate(ids.to_pylist()):
            best = [at for at in np.argsort(-scores[code], kind="stable")[:5] if scores[code, at] > -np.inf]
            assert [row[given] for row in rows[one]] == answers.take(pa.array(best)).to_pylist()
            np.testing.assert_allclose([row["rating"] for row in rows[one]], scores[code, best], rtol=1e-5)


def test_a_subset_is_answered_once_each_and_the_unknown_not_at_all(frame: DataFrame, model: ALSModel) -> None:
    spark = frame.sparkSession
    asked = spark.createDataFrame([("u03",), ("u03",), ("nobody",), (None,), ("u01",)], "user string")
    answer = model.copy({model.filterSeen: False}).recommendForUserSubset(asked, 100).collect()
    assert sorted(row["user"] for row in answer) == ["u01", "u03"]
    assert all(len(row["recommendations"]) == len(model.artifact.items) for row in answer)
    items = spark.createDataFrame([(FAR + 2,)], "item long")
    assert [row["item"] for row in model.recommendForItemSubset(items, 1).collect()] == [FAR + 2]
    with pytest.raises(SchemaError, match="ids are text"):
        model.recommendForUserSubset(spark.range(3).withColumnRenamed("id", "user"), 1)
    with pytest.raises(ParameterError, match="at least 1"):
        model.recommendForAllUsers(0)


def test_the_columns_and_types_are_those_of_mllib(frame: DataFrame) -> None:
    numbered = frame.select(f.col("number").alias("user"), (f.col("item") - FAR).cast("int").alias("item"), "rating")
    values = {"rank": 2, "maxIter": 1, "numUserBlocks": 1, "numItemBlocks": 1}
    ours, theirs = ALS(**values).fit(numbered), MLlibALS(**values).fit(numbered)
    for make in (
        lambda model: model.recommendForAllUsers(2),
        lambda model: model.recommendForAllItems(2),
        lambda model: model.transform(numbered),
        lambda model: model.userFactors,
    ):
        assert make(ours).dtypes == make(theirs).dtypes
    assert ours.rank == theirs.rank == 2


def test_seen_pairs_are_held_only_if_asked_for(frame: DataFrame) -> None:
    model = ALS(rank=2, maxIter=1).fit(frame)
    assert model.artifact.seen is None
    with pytest.raises(ParameterError, match="Fit with filterSeen=True"):
        model.setFilterSeen(True).recommendForAllUsers(1)


@pytest.mark.parametrize("kind", [ALS, ImplicitALS, ImplicitBPR])
def test_pairs_that_occur_twice_are_seen_as_well(frame: DataFrame, table: pa.Table, kind: Any) -> None:
    twice = frame.union(frame.where("number % 3 = 0"))
    model = kind(filterSeen=True).fit(twice)
    seen = set(zip(table["user"].to_pylist(), table["item"].to_pylist(), strict=True))
    found = {(row.user, one.item) for row in model.recommendForAllUsers(5).collect() for one in row.recommendations}
    assert found
    assert not found & seen


def test_the_unknown_is_predicted_nan_or_dropped(frame: DataFrame, model: ALSModel) -> None:
    rows = [("u03", FAR + 1), ("nobody", FAR + 1), ("u03", 7)]
    asked = frame.sparkSession.createDataFrame(rows, "user string, item long")
    found = [row["prediction"] for row in model.transform(asked).collect()]
    assert np.isnan(found).tolist() == [False, True, True]
    dropped = model.copy({model.coldStartStrategy: "drop"}).transform(asked).collect()
    assert [row["prediction"] for row in dropped] == found[:1]


def test_what_cannot_be_an_id_is_refused_at_transform(frame: DataFrame, model: ALSModel) -> None:
    spark = frame.sparkSession
    with pytest.raises(PySparkException, match=r"user: task \d+, row 0: the id is null"):
        model.transform(spark.createDataFrame([(None, 5)], "user string, item long")).collect()
    with pytest.raises(SchemaError, match="item: the model's ids are whole numbers"):
        model.transform(spark.createDataFrame([("u1", "5")], "user string, item string"))
    with pytest.raises(SchemaError, match="no column 'item'"):
        model.transform(spark.createDataFrame([("u1",)], "user string"))


BAD = {
    "a null user": (("user", "cast(null as string)"), "user: .* null"),
    "a null item": (("item", "cast(null as long)"), "item: .* null"),
    "a fraction of an item": (("item", "1.5D"), "item: .* whole"),
    "an infinite item": (("item", "double('inf')"), "item: .* whole"),
    "a null rating": (("rating", "cast(null as double)"), "rating: .* null"),
    "NaN": (("rating", "double('nan')"), "rating: .*(nan|NaN)"),
    "infinity": (("rating", "double('-inf')"), "rating: .*(inf|NaN)"),
    "more than float32 holds": (("rating", "1e39D"), "rating: .*(inf|NaN)"),
}


@pytest.mark.parametrize(
    "stage",
    [ALS(rank=2, maxIter=1), ALS(rank=2, maxIter=1, engine="spark"), ImplicitALS(factors=2, iterations=1)],
    ids=["auto", "spark", "implicit"],
)
@pytest.mark.parametrize("what", BAD)
def test_bad_rows_are_refused_by_name(frame: DataFrame, stage: Any, what: str) -> None:
    (column, value), message = BAD[what]
    rows = frame.limit(20).withColumn("row", f.monotonically_increasing_id())
    rows = rows.withColumn(column, f.when(f.col("row") == 7, f.expr(value)).otherwise(f.col(column)))
    with pytest.raises(SchemaError, match=message):
        stage.fit(rows)


def test_bad_columns_are_refused_before_any_job(frame: DataFrame) -> None:
    for spoilt, message in (
        (frame.withColumn("item", f.array("item")), "item: ids must be"),
        (frame.withColumn("user", f.lit(True)), "user: ids must be"),
        (frame.withColumn("rating", f.lit("5")), "rating: ratings must be numbers"),
        (frame.drop("rating"), "no column 'rating'"),
        (frame.drop("user"), "no column 'user'"),
    ):
        with pytest.raises(SchemaError, match=message):
            ALS().fit(spoilt)
    for engine in ("auto", "spark"):
        with pytest.raises(SchemaError, match="no rows"):
            ALS(engine=engine).fit(frame.limit(0))


@pytest.mark.parametrize(
    "values",
    [
        {"rank": 0}, {"regParam": -0.1}, {"alpha": -1.0}, {"maxIter": -1}, {"coldStartStrategy": "guess"},
        {"engine": "gpu"}, {"intermediateStorageLevel": "NONE"}, {"finalStorageLevel": "SOMEWHERE"},
        {"checkpointInterval": 0}, {"numItemBlocks": 0}, {"nonnegative": "perhaps"},
    ],
)  # fmt: skip
def test_wrong_params_are_refused_at_construction(values: dict[str, Any]) -> None:
    with pytest.raises(ParameterError, match=next(iter(values))):
        ALS(**values)


def test_factors_that_outgrow_their_numbers_are_refused(frame: DataFrame) -> None:
    with pytest.raises(ParameterError, match="not finite"):
        ALS(rank=2, maxIter=2, regParam=0.0).fit(frame.withColumn("rating", f.lit(1e38)))


def test_blocks_are_set_together() -> None:
    als = ALS().setNumBlocks(3)
    assert (als.getNumUserBlocks(), als.getNumItemBlocks()) == (3, 3)


def test_the_implicit_library_gives_the_same_factors_by_itself(frame: DataFrame, table: pa.Table) -> None:
    """Of the sum of what each pair has: some are 0, some below."""
    from implicit.cpu.als import AlternatingLeastSquares
    from implicit.cpu.bpr import BayesianPersonalizedRanking

    pairs = np.asarray(table["number"]), np.asarray(table["item"]) - FAR
    clicks = sparse.coo_matrix((np.asarray(table["rating"]).astype(np.float32), pairs), (40, 30)).tocsr()
    assert clicks.nnz < len(table)
    assert (clicks.data == 0).any()
    assert (clicks.data < 0).any()
    for stage, library, values in (
        (ImplicitALS, AlternatingLeastSquares, {"factors": 4, "iterations": 3, "alpha": 2.0}),
        (ImplicitBPR, BayesianPersonalizedRanking, {"factors": 4, "iterations": 3, "num_threads": 1}),
    ):
        model = stage(**values).fit(frame)
        with threadpool_limits(1, "blas"):
            engine = library(**values, random_state=0)
            engine.fit(clicks, show_progress=False)
        assert model.engine == "implicit"
        np.testing.assert_allclose(model.artifact.user_factors, engine.user_factors, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(model.artifact.item_factors, engine.item_factors, rtol=1e-4, atol=1e-6)


def test_bad_params_of_the_implicit_library_are_refused_at_construction() -> None:
    with pytest.raises(ParameterError, match=r"ImplicitBPR\.learning_rate"):
        ImplicitBPR(learning_rate=0.0)
