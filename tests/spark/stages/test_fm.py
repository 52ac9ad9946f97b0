"""FMClassifier and FMRegressor beyond what all stages share: columns, classes, workers, divergence, summaries."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("pyspark", reason="needs pyspark: pip install 'palate[spark]'")

from pyspark.errors import PythonException
from pyspark.ml.evaluation import BinaryClassificationEvaluator
from pyspark.ml.linalg import Vectors
from pyspark.ml.tuning import CrossValidator, ParamGridBuilder
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as f
from sklearn.metrics import roc_auc_score

from palate.dataset.ids import IdMap
from palate.errors import NotFittedError, ParameterError, SchemaError
from palate.features.columns import ColumnEncoder
from palate.models.factorization_machine import FactorizationMachine
from palate.spark import FMClassificationModel, FMClassifier, FMRegressor
from palate.spark.stages.fm_training import tasks_for

pytestmark = pytest.mark.spark
COLUMNS = {"categoricalCols": ["person", "shop"], "numericCols": ["price"]}


@pytest.fixture(scope="module")
def visits(spark: SparkSession) -> DataFrame:
    """3000 visits; somebody buys where their kind and the shop's agree, and when it is cheap."""
    rng = np.random.default_rng(0)
    person, shop, price = rng.integers(0, 20, 3000), rng.integers(0, 10, 3000), rng.normal(5000, 1000, 3000)
    log_odds = np.where(person % 2 == shop % 2, 2.0, -2.0) - (price - 5000) / 1000
    rows = pd.DataFrame({"person": [f"p{value}" for value in person], "shop": shop, "price": price})
    rows["label"] = (rng.logistic(size=3000) < log_odds).astype(float)
    rows["spent"] = 1e6 + 1e4 * log_odds
    frame = spark.createDataFrame(rows).repartition(3).cache()
    assert frame.count() == 3000
    return frame


@pytest.fixture(scope="module")
def model(visits: DataFrame) -> FMClassificationModel:
    return FMClassifier(**COLUMNS).fit(visits)


def auc(answers: DataFrame) -> float:
    rows = answers.select("label", "probability").collect()
    return float(roc_auc_score([row.label for row in rows], [row.probability[1] for row in rows]))


def test_columns_are_learned_without_vectors(model: FMClassificationModel, visits: DataFrame) -> None:
    assert model.numFeatures == 31
    assert auc(model.transform(visits)) > 0.85
    assert len(model.training.validationHistory) == len(model.training.objectiveHistory)
    # What the bundle serves is what the stage answers.
    rows = visits.limit(20).toPandas()
    served = model.artifact.predict({name: rows[name].tolist() for name in ("person", "shop", "price")})
    answers = model.transform(visits.sparkSession.createDataFrame(rows)).collect()
    assert served["score"] == pytest.approx([row.probability[1] for row in answers])
    assert served["predicted_label"] == [row.prediction for row in answers]


@pytest.mark.parametrize("workers", [1, 2])
def test_partitions_and_workers_change_the_auc_by_less_than_a_hundredth(
    model: FMClassificationModel, visits: DataFrame, workers: int
) -> None:
    """3 partitions, sorted in one, and shuffled in twenty."""
    reference = auc(model.transform(visits))
    moved = visits.orderBy("price").coalesce(1) if workers == 1 else visits.orderBy(f.rand(7)).repartition(20, "shop")
    again = FMClassifier(**COLUMNS, numWorkers=workers).fit(moved)
    assert auc(again.transform(visits)) == pytest.approx(reference, abs=0.01)


def test_workers_without_rows(visits: DataFrame) -> None:
    few = visits.limit(40).repartition(1).unionByName(visits.where("price < 0"))
    made = FMClassifier(**COLUMNS, numWorkers=2, maxIter=3).fit(few)
    assert made.training.bestIteration == 3


def test_one_task_learns_few_rows_whose_size_spark_does_not_know(spark: SparkSession) -> None:
    rows = spark.createDataFrame(spark.sparkContext.parallelize([(1.0, "a", "b", "c")]), ["label", "x", "y", "z"])
    assert tasks_for(rows.select("label"), 0) == 1
    assert tasks_for(rows, 2) == 2


def test_unseen_and_missing_values_are_zero_vectors(model: FMClassificationModel, spark: SparkSession) -> None:
    rows = spark.createDataFrame(
        [("nobody", 99, 5000.0), (None, None, 5000.0)], "person string, shop int, price double"
    )
    first, second = model.transform(rows).collect()
    assert first.probability == second.probability
    price = model.artifact.encoder.numbers["price"]
    expected = model.intercept + model.linear[0] * (5000 - price[0]) / price[1]
    assert first.rawPrediction[1] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("source", ["cache", "parquet"])
def test_rows_of_a_columnar_scan_are_answered(spark: SparkSession, tmp_path: Path, source: str) -> None:
    """Spark hands over columns, not rows, where all of them are numbers."""
    encoder = ColumnEncoder({"price": (5.0, 2.0)}, {"shop": IdMap.from_values([3, 4])})
    model = FMClassificationModel(
        FactorizationMachine(0.5, [1.0, 2.0, 3.0], np.ones((3, 2)), "classification", encoder)
    )
    rows = spark.range(0, 40, 1, 2).selectExpr("int(id % 5) as shop", "double(id) as price")
    if source == "cache":
        read = rows.cache()
        assert read.count() == 40
    else:
        rows.write.parquet(str(tmp_path / "rows"))
        read = spark.read.parquet(str(tmp_path / "rows"))
    expected = {row.price: row for row in model.transform(rows).collect()}
    assert {row.price: row for row in model.transform(read).collect()} == expected
    assert expected[7.0].rawPrediction[1] == pytest.approx(0.5 + 1.0)


def test_vectors_and_columns_together(visits: DataFrame) -> None:
    from pyspark.ml.feature import VectorAssembler

    both = VectorAssembler(inputCols=["price"], outputCol="features").transform(visits)
    made = FMRegressor(labelCol="spent", featuresCol="features", categoricalCols=["person", "shop"], stepSize=0.03)
    fitted = made.fit(both)
    assert fitted.numFeatures == 31
    answers = fitted.transform(both).select("spent", "prediction").toPandas()
    assert ((answers.spent - answers.prediction) ** 2).mean() < 0.1 * answers.spent.var()
    bare = FMRegressor(labelCol="spent", featuresCol="features", maxIter=5).fit(both)
    assert bare.numFeatures == 1
    vector = Vectors.dense([6000.0])
    assert bare.predict(vector) == pytest.approx(bare.intercept + 6000 * bare.linear[0], rel=1e-6)


def test_one_vector_is_answered_as_a_row(visits: DataFrame, spark: SparkSession) -> None:
    rows = spark.createDataFrame([(1.0, Vectors.dense(1.0)), (0.0, Vectors.sparse(1, [], []))], ["label", "features"])
    made = FMClassifier(factorSize=2).setSeed(11).fit(rows)  # the example of pyspark.ml's documentation
    assert made.getMaxIter() == 100
    values = spark.createDataFrame([(Vectors.dense(value),) for value in (-1.0, 1.0, 2.0)], ["features"])
    for row in made.transform(values).collect():
        assert made.predictRaw(row.features).toArray() == pytest.approx(row.rawPrediction.toArray())
        assert made.predictProbability(row.features).toArray() == pytest.approx(row.probability.toArray())
        assert made.predict(row.features) == row.prediction == float(row.features[0] > 0)
    assert made.factors.toArray().shape == (1, 2)
    assert (made.numClasses, len(made.linear)) == (2, 1)
    with pytest.raises(SchemaError, match="takes 1"):
        made.predict(Vectors.dense([1.0, 2.0]))


ODDS = (-800.0, -2.0, -1.0, 0.0, 1.0, 2.0, 800.0)


@pytest.mark.parametrize(
    ("thresholds", "labels"),
    [
        ([0.2, 0.8], [0, 0, 0, 0, 0, 1, 1]),
        ([3.0, 3.0], [0, 0, 0, 0, 1, 1, 1]),
        ([0.0, 1.0], [0, 0, 0, 0, 0, 0, 1]),  # its threshold is 0, but where its probability is 0, too
        ([1.0, 0.0], [0, 1, 1, 1, 1, 1, 1]),
    ],
)
def test_thresholds_divide_the_probabilities(spark: SparkSession, thresholds: list[float], labels: list[float]) -> None:
    """As MLlib's ProbabilisticClassificationModel.probability2prediction."""
    model = FMClassificationModel(FactorizationMachine(0.0, [1.0], np.zeros((1, 0)), "classification"))
    model.setThresholds(thresholds)
    rows = model.transform(spark.createDataFrame([(Vectors.dense(odds),) for odds in ODDS], ["features"])).collect()
    assert [row.prediction for row in rows] == labels
    assert [model.predict(row.features) for row in rows] == labels
    assert [model.predictProbability(row.features) for row in rows] == [row.probability for row in rows]


@pytest.mark.parametrize("thresholds", [[0.5], [0.5, 0.5, 0.5], [-0.1, 1.0], [0.0, 0.0], [float("nan"), 1.0]])
def test_thresholds_that_are_none_are_refused(model: FMClassificationModel, thresholds: list[float]) -> None:
    for refuse in (
        lambda: FMClassifier(thresholds=thresholds),
        lambda: model.copy().setThresholds(thresholds),
        lambda: model.copy({model.thresholds: thresholds}),
    ):
        with pytest.raises(ParameterError, match=r"thresholds: must be two thresholds, none below 0"):
            refuse()


def test_empty_column_names_leave_columns_out(model: FMClassificationModel, visits: DataFrame) -> None:
    short = model.copy({model.rawPredictionCol: "", model.predictionCol: ""}).transform(visits)
    assert short.columns == [*visits.columns, "probability"]


def test_a_name_in_the_user_s_module_is_no_obstacle(
    model: FMClassificationModel, visits: DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pickle finds a function of SciPy's in whichever module holds it, the user's script among them."""
    from scipy.special import expit

    monkeypatch.setattr(sys.modules["__main__"], "expit", expit, raising=False)
    assert len(model.transform(visits.limit(3)).collect()) == 3


def test_the_summary_is_pyspark_s(model: FMClassificationModel, visits: DataFrame, tmp_path: Path) -> None:
    summary = model.summary()
    assert summary.areaUnderROC == pytest.approx(auc(model.transform(visits)), abs=1e-3)
    answers = model.transform(visits)
    assert summary.accuracy == pytest.approx(answers.where("label = prediction").count() / 3000)
    assert summary.objectiveHistory == model.training.objectiveHistory
    assert summary.totalIterations == len(summary.objectiveHistory) - 1
    assert model.evaluate(visits).accuracy == pytest.approx(summary.accuracy)
    model.save(str(tmp_path / "model"))
    loaded = FMClassificationModel.load(str(tmp_path / "model"))
    assert not loaded.hasSummary
    with pytest.raises(NotFittedError, match="no training summary"):
        loaded.summary()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # pyspark leaves its pool open
def test_it_is_tuned_by_cross_validation(visits: DataFrame) -> None:
    estimator = FMClassifier(**COLUMNS, maxIter=4)
    grid = ParamGridBuilder().addGrid(estimator.stepSize, [1e-6, 0.02]).build()
    found = CrossValidator(
        estimator=estimator, estimatorParamMaps=grid, evaluator=BinaryClassificationEvaluator(), numFolds=2, seed=1
    ).fit(visits)
    assert found.bestModel.getStepSize() == 0.02
    assert found.avgMetrics[1] > found.avgMetrics[0]


def test_one_class_is_learned_as_just_that(visits: DataFrame) -> None:
    made = FMClassifier(**COLUMNS, maxIter=3).fit(visits.withColumn("label", f.lit(1)))
    assert made.transform(visits).where("prediction = 1").count() == 3000


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda rows: rows.withColumn("label", f.col("shop")), r"label: task 0, row \d+: the label \d is neither"),
        (lambda rows: rows.withColumn("label", f.when(f.col("shop") > 3, 1.0)), r"label: .* row \d+: .*null"),
        (lambda rows: rows.withColumn("price", f.lit(float("nan"))), "price: task 0, row 0: nan"),
        (lambda rows: rows.withColumn("price", f.lit(float("inf"))), "price: task 0, row 0: inf"),
        (lambda rows: rows.withColumn("label", f.lit(float("nan"))), "label: task 0, row 0: nan is not finite"),
        (lambda rows: rows.withColumn("label", f.lit(float("-inf"))), "label: task 0, row 0: -inf is not finite"),
        (lambda rows: rows.withColumn("price", f.when(f.col("price") < 0, 1.0)), "price: .* row 0: .*null"),
        (
            lambda rows: rows.withColumn("price", f.lit(-1e300)),
            "price: task 0, row 0: -1e.300 is too large for float32",
        ),
        (lambda rows: rows.withColumn("label", f.lit("yes")), "label: the column holds string, no numbers"),
        (lambda rows: rows.withColumn("price", f.lit("dear")), "price: the column holds string, no numbers"),
        (lambda rows: rows.withColumn("shop", f.lit(0.5)), "shop: the column holds .*, no categories"),
        (lambda rows: rows.drop("shop"), "no column 'shop'"),
        (lambda rows: rows.where("price < 0"), "no rows"),
    ],
)
@pytest.mark.parametrize(("partitions", "workers"), [(1, 1), (20, 2)])
def test_bad_input_is_refused_by_name(
    visits: DataFrame, spoil: Any, message: str, partitions: int, workers: int
) -> None:
    with pytest.raises(SchemaError, match=message):
        FMClassifier(**COLUMNS, numWorkers=workers).fit(spoil(visits).repartition(partitions))


@pytest.mark.parametrize(
    ("value", "message"),
    [(None, "no number .null."), (float("nan"), "nan is not finite"), (1e39, "1e.39 is too large for float32")],
)
def test_a_regression_needs_finite_labels(visits: DataFrame, value: float | None, message: str) -> None:
    """All rows of some partitions of twenty are fine, and some partitions are empty."""
    spent = f.when(f.col("shop") == 4, f.lit(value).cast("double")).otherwise(f.col("spent"))
    moved = visits.withColumn("spent", spent).repartition(20, "shop")
    with pytest.raises(SchemaError, match=rf"spent: task \d, row \d+: .*{message}"):
        FMRegressor(**COLUMNS, labelCol="spent").fit(moved)


def test_vectors_too_large_or_of_several_widths_are_refused(spark: SparkSession) -> None:
    """The widths differ between partitions only, each of which one task reads."""
    rows, pair = spark.range(0, 6, 1, 2).withColumn("label", f.lit(0.0)), f.array(f.lit(1.0), f.lit(2.0))
    mixed = rows.withColumn("features", f.when(f.col("id") < 3, pair).otherwise(f.concat(pair, pair)))
    with pytest.raises(SchemaError, match=r"features: vectors of different .* are 2 and 4 wide"):
        FMClassifier(numWorkers=2).fit(mixed)
    with pytest.raises(SchemaError, match=r"features: task 0, row 3: the vector is not 2 wide"):
        FMClassifier().fit(mixed)
    large = rows.withColumn("features", f.array(f.lit(0.0), f.when(f.col("id") < 3, 1.0).otherwise(1e39)))
    with pytest.raises(SchemaError, match=r"features: task 0, row 3: a number of the vector is too large for float32"):
        FMClassifier().fit(large)


def test_ids_may_be_any_long(model: FMClassificationModel, visits: DataFrame) -> None:
    """Beyond 32 bits they are other values of the same order, and what is learned is the same."""
    far = visits.withColumn("shop", (f.col("shop").cast("long") - 5) * f.lit(1 << 60))
    again = FMClassifier(**COLUMNS).fit(far)
    assert again.linear == model.linear
    assert auc(again.transform(far)) == pytest.approx(auc(model.transform(visits)))


def test_bad_input_at_transform(model: FMClassificationModel, visits: DataFrame) -> None:
    with pytest.raises(SchemaError, match="no column 'shop'"):
        model.transform(visits.drop("shop"))
    with pytest.raises(PythonException, match=r"price: task \d+, row 0: there is no number"):
        model.transform(visits.withColumn("price", f.lit(None).cast("double"))).collect()


def test_what_is_refused_at_construction() -> None:
    for values, message in (
        ({"weightCol": "w"}, "weightCol.*not supported"),
        ({"solver": "lbfgs"}, "solver.*adamW, gd"),
        ({"stepSize": 0.0}, "stepSize"),
        ({"stepSize": float("inf")}, "stepSize"),
        ({"validationFraction": 1.0}, "validationFraction"),
        ({"miniBatchFraction": 0.0}, "miniBatchFraction"),
    ):
        with pytest.raises(ParameterError, match=message):
            FMClassifier(**values)


def test_a_column_named_twice_is_refused(visits: DataFrame) -> None:
    with pytest.raises(ParameterError, match="'shop' is named twice"):
        FMClassifier(categoricalCols=["shop"], numericCols=["shop"]).fit(visits)


def test_divergence_is_an_error_with_advice(visits: DataFrame) -> None:
    with pytest.raises(ParameterError, match=r"FMRegressor.stepSize: training diverged"):
        FMRegressor(**COLUMNS, labelCol="spent", solver="gd", stepSize=1e9).fit(visits)
