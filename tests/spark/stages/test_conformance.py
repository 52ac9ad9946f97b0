"""What every stage owes to someone who comes from pyspark.ml, whatever it computes."""

from __future__ import annotations

import gc
import importlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pyspark", reason="needs pyspark: pip install 'palate[spark]'")

from pyspark.ml import Estimator, Pipeline, PipelineModel, clustering, feature
from pyspark.ml.functions import array_to_vector, vector_to_array
from pyspark.ml.tuning import CrossValidator, ParamGridBuilder
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as f

import palate.spark
from palate.errors import (
    BundleDamagedError,
    BundleFormatError,
    CapabilityError,
    ConflictError,
    ParameterError,
    SchemaError,
)
from tests.spark.stages.samples import SAMPLES, Sample, answers, corners, plain, same_clusters, stretched

pytestmark = pytest.mark.spark
FITTED: dict[str, tuple[DataFrame, Any]] = {}
EXPECTED: dict[str, list[Any]] = {}


@pytest.fixture(params=SAMPLES, ids=str)
def sample(request: pytest.FixtureRequest, spark: SparkSession) -> Sample:
    return request.param


@pytest.fixture
def frame(sample: Sample, spark: SparkSession) -> DataFrame:
    return _fitted(sample, spark)[0]


@pytest.fixture
def model(sample: Sample, spark: SparkSession) -> Any:
    return _fitted(sample, spark)[1]


@pytest.fixture
def expected(sample: Sample, frame: DataFrame, model: Any) -> list[Any]:
    """What the model answers to the rows that it was fitted on."""
    if sample.name not in EXPECTED:
        EXPECTED[sample.name] = answers(model.transform(frame), sample.outputs)
    return EXPECTED[sample.name]


def _fitted(sample: Sample, spark: SparkSession) -> tuple[DataFrame, Any]:
    """The rows, cached, and the stage fitted on them: once for all tests."""
    if sample.name not in FITTED:
        rows = sample.frame(spark).cache()
        FITTED[sample.name] = rows, sample.make().fit(rows)
    return FITTED[sample.name]


def _peer(sample: Sample) -> Any:
    if not sample.peer:
        pytest.skip(f"pyspark.ml has no {sample.name}")
    module, name = sample.peer.rsplit(".", 1)
    return getattr(importlib.import_module(module), name)


def test_every_estimator_has_a_sample() -> None:
    estimators = {name for name in palate.spark.__all__ if issubclass(getattr(palate.spark, name), Estimator)}
    assert estimators == {sample.name for sample in SAMPLES}


def test_all_that_is_listed_is_exported() -> None:
    assert sorted(palate.spark.__all__) == sorted(palate.spark.STAGES)


def test_params_are_those_of_the_peer(sample: Sample) -> None:
    theirs, ours = _peer(sample)(), type(sample.make())()
    for param in theirs.params:
        assert ours.hasParam(param.name), param.name
        if param.name in sample.defaults or param.name == "seed":
            continue
        assert ours.hasDefault(param.name) == theirs.hasDefault(param.name), param.name
        if theirs.hasDefault(param.name) and param.name not in ("predictionCol", "outputCol"):
            assert ours.getOrDefault(param.name) == theirs.getOrDefault(param.name), param.name


def test_every_param_has_a_getter_and_a_setter(sample: Sample, model: Any) -> None:
    stage = sample.make()
    for param in stage.params:
        name = param.name[0].upper() + param.name[1:]
        assert callable(getattr(stage, "set" + name))
        if stage.isDefined(param):
            value = stage.getOrDefault(param)
            assert getattr(stage, "set" + name)(value) is stage
            assert getattr(stage, "get" + name)() == value
    for param in model.params:
        assert callable(getattr(model, "set" + param.name[0].upper() + param.name[1:]))


def test_the_constructor_takes_keywords_only_and_knows_its_params(sample: Sample) -> None:
    kind = type(sample.make())
    with pytest.raises(TypeError):
        kind(3)
    with pytest.raises(ParameterError, match="has no Param 'kk'"):
        kind(kk=3)
    name, value, _ = sample.tuned
    assert kind(**{name: value}).getOrDefault(name) == value
    assert kind(**{name: None}).getOrDefault(name) == kind().getOrDefault(name) if kind().isDefined(name) else True


def test_a_value_of_the_wrong_type_is_refused_at_construction(sample: Sample) -> None:
    with pytest.raises(ParameterError, match=sample.tuned[0]):
        sample.make(**{sample.tuned[0]: "three"})


def test_a_value_out_of_range_is_refused_at_construction_and_in_a_param_map(sample: Sample, frame: DataFrame) -> None:
    stage = sample.make()
    assert stage.checks, "a stage says what its Params have to be"
    name = sample.tuned[0]
    with pytest.raises(ParameterError, match=f"{sample.name}.{name}"):
        sample.make(**{name: -1})
    with pytest.raises(ParameterError, match=f"{sample.name}.{name}"):
        stage.fit(frame, {stage.getParam(name): -1})


def test_params_are_explained(sample: Sample) -> None:
    stage = sample.make()
    told = stage.explainParams()
    assert all(f"{param.name}:" in told for param in stage.params)


def test_a_copy_has_its_own_params(sample: Sample) -> None:
    name, one, other = sample.tuned
    stage = sample.make(**{name: one})
    copied = stage.copy({stage.getParam(name): other})
    assert (stage.getOrDefault(name), copied.getOrDefault(name)) == (one, other)
    assert copied.uid == stage.uid


def test_param_maps_fit_as_many_models(sample: Sample, frame: DataFrame) -> None:
    name, one, other = sample.tuned
    stage = sample.make()
    models = stage.fit(frame, [{stage.getParam(name): one}, {stage.getParam(name): other}])
    assert [model.getOrDefault(name) for model in models] == [one, other]
    assert all(model.uid == stage.uid for model in models)


def test_the_seed_is_the_same_in_every_process(sample: Sample) -> None:
    stage = sample.make()
    if stage.hasParam("seed"):
        import zlib

        assert type(stage)().getOrDefault("seed") == zlib.crc32(type(stage).__name__.encode())


def test_transform_adds_its_columns_and_leaves_the_others(sample: Sample, frame: DataFrame, model: Any) -> None:
    answer = model.transform(frame)
    assert answer.columns == [*frame.columns, *sample.outputs]
    assert answer.count() == frame.count()
    foretold = model.transformSchema(frame.schema)
    assert [(one.name, one.dataType, one.metadata) for one in foretold] == [
        (one.name, one.dataType, one.metadata) for one in answer.schema
    ]
    assert frame.schema.names == [*answer.columns[: -len(sample.outputs)]], "the frame's own schema is left alone"


def test_a_column_that_is_there_already_is_not_overwritten(frame: DataFrame, model: Any) -> None:
    with pytest.raises(ParameterError, match="already"):
        model.transform(model.transform(frame))


def test_fitted_twice_answers_alike(sample: Sample, frame: DataFrame, expected: list[Any]) -> None:
    again = sample.make().fit(frame)
    for a, b in zip(expected, answers(again.transform(frame), sample.outputs), strict=True):
        np.testing.assert_array_equal(a, b)


def test_rows_come_straight_from_a_file_with_vectors(
    sample: Sample, frame: DataFrame, model: Any, expected: list[Any], tmp_path: Path
) -> None:
    """A columnar scan, of which Spark makes no rows by itself."""
    frame.withColumn("beside", array_to_vector(f.array(f.lit(1.0)))).write.parquet(str(tmp_path / "rows"))
    scan = frame.sparkSession.read.parquet(str(tmp_path / "rows"))
    found = [dict(row.asDict()) for row in model.transform(scan).collect()]  # all columns, the vectors as well
    ordered = sorted(found, key=lambda row: row["row"])
    assert sample.same([np.array([plain(row[name]) for row in ordered]) for name in sample.outputs], expected)


def test_a_column_that_is_there_twice_is_refused(sample: Sample, frame: DataFrame) -> None:
    stage = sample.make()
    taken = {v for p, v in stage.extractParamMap().items() if isinstance(v, str) and v in frame.columns}
    for name in taken:
        with pytest.raises(SchemaError, match=f"there are 2 columns '{name}'|is named twice"):
            stage.fit(frame.select("*", f.lit(1).alias(name)))


def test_names_of_columns_may_hold_dots_and_are_found_in_either_case(
    sample: Sample, frame: DataFrame, expected: list[Any]
) -> None:
    stage = sample.make()
    taken = {p.name: v for p, v in stage.extractParamMap().items() if isinstance(v, str) and v in frame.columns}
    renamed = frame.withColumnsRenamed({name: f"my.{name}" for name in taken.values()})
    found = sample.make(**{param: f"My.{name}" for param, name in taken.items()}).fit(renamed).transform(renamed)
    assert sample.same(answers(found, sample.outputs), expected)


@pytest.mark.parametrize("partitions", [1, 20])
def test_the_answer_does_not_hang_on_the_partitioning(
    sample: Sample, frame: DataFrame, expected: list[Any], partitions: int
) -> None:
    """20 partitions of a handful of rows: some are empty."""
    moved = frame.repartition(partitions, "row")
    again = sample.make().fit(moved)
    assert sample.same(answers(again.transform(moved), sample.outputs), expected)


def test_the_answer_is_that_of_the_peer(sample: Sample, frame: DataFrame, model: Any, expected: list[Any]) -> None:
    stage = sample.make()
    peer = _peer(sample)()
    values = {param.name: value for param, value in stage.extractParamMap().items() if peer.hasParam(param.name)}
    theirs = peer.setParams(**{name: value for name, value in values.items() if stage.isSet(name)}).fit(frame)
    answer = theirs.transform(frame)
    assert sample.same(expected, answers(answer, sample.outputs))
    told = model.transform(frame).schema
    for name in sample.outputs:  # a VectorAssembler, say, reads there how wide a vector is
        assert (told[name].dataType, told[name].metadata) == (
            answer.schema[name].dataType,
            answer.schema[name].metadata,
        )
    assert repr(model) == repr(theirs).replace(theirs.uid, model.uid)


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_cross_validation_takes_the_better_value(sample: Sample, frame: DataFrame, model: Any) -> None:
    """Two fits at a time, that is, each of them with fewer cores than there are."""
    name, better, worse = sample.tried
    stage, evaluator = sample.make(), sample.evaluator()
    if stage.hasParam("coldStartStrategy"):  # a fold may lack a user
        stage.setColdStartStrategy("drop")
    grid = ParamGridBuilder().addGrid(stage.getParam(name), [worse, better]).build()
    search = CrossValidator(
        estimator=stage, estimatorParamMaps=grid, evaluator=evaluator, numFolds=2, seed=1, parallelism=2
    )
    found = search.fit(frame)
    gc.collect()  # pyspark leaves a pool of threads unclosed, which warns when it is collected: here, not elsewhere
    assert np.isfinite(found.avgMetrics).all()
    assert (found.avgMetrics[1] > found.avgMetrics[0]) == evaluator.isLargerBetter()
    assert type(found.bestModel) is type(model)


def test_an_estimator_comes_back_from_disk(sample: Sample, tmp_path: Path) -> None:
    name, value, _ = sample.tuned
    stage = sample.make(**{name: value})
    stage.save(str(tmp_path / "stage"))
    back = type(stage).load(str(tmp_path / "stage"))
    assert type(back) is type(stage)
    assert back.uid == stage.uid
    assert {p.name: v for p, v in back.extractParamMap().items()} == {
        p.name: v for p, v in stage.extractParamMap().items()
    }


@pytest.fixture(scope="module")
def disk(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that is also viewfs://palate/disk, a file system of Hadoop's own that no Python path leads to."""
    folder = tmp_path_factory.mktemp("disk")
    spark.conf.set("fs.viewfs.mounttable.palate.link./disk", folder.as_uri())
    return folder


def test_a_model_comes_back_from_any_file_system(
    sample: Sample, frame: DataFrame, model: Any, expected: list[Any], disk: Path
) -> None:
    path = disk / f"{sample.name} with spaces"
    model.save(f"viewfs://palate/disk/{path.name}")
    metadata = json.loads(next((path / "metadata").glob("part-*")).read_text())
    assert metadata["class"] == f"palate.spark.{type(model).__name__}"
    assert not [file for file in path.rglob("*") if file.suffix in (".pkl", ".pickle", ".pt")]
    back = type(model).load(f"viewfs://palate/disk/{path.name}")
    assert back.uid == model.uid
    for a, b in zip(expected, answers(back.transform(frame), sample.outputs), strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(ConflictError, match="overwrite"):
        model.save(str(path))
    model.write().overwrite().save(str(path))
    assert type(model).load(str(path)).uid == model.uid
    with pytest.raises(BundleFormatError, match="not a palate"):
        type(sample.make()).load(str(path))


def test_it_works_in_a_pipeline_that_is_saved(
    sample: Sample, frame: DataFrame, expected: list[Any], tmp_path: Path
) -> None:
    pipeline = Pipeline(stages=[sample.make()])
    pipeline.save(str(tmp_path / "pipeline"))
    fitted = Pipeline.load(str(tmp_path / "pipeline")).fit(frame)
    fitted.save(str(tmp_path / "fitted"))
    back = PipelineModel.load(str(tmp_path / "fitted"))
    assert sample.same(answers(back.transform(frame), sample.outputs), expected)


def test_stages_of_both_houses_take_each_others_vectors(spark: SparkSession, tmp_path: Path) -> None:
    """MLlib -> ours -> MLlib -> ours, and all of it MLlib's: the same clusters, and again from disk."""
    frame = corners(spark).withColumn("weight", f.lit(1.0)).cache()
    clusters = []
    for pca, kmeans in ((palate.spark.PCA, palate.spark.KMeans), (feature.PCA, clustering.KMeans)):
        stages = [
            feature.VectorAssembler(inputCols=["features", "weight"], outputCol="joined"),
            pca(k=2, inputCol="joined", outputCol="projection"),
            feature.StandardScaler(inputCol="projection", outputCol="scaled", withMean=True),
            kmeans(k=4, seed=2, featuresCol="scaled"),
        ]
        fitted = Pipeline(stages=stages).fit(frame)
        clusters.append(answers(fitted.transform(frame), ("prediction",)))
        if not clusters[1:]:
            fitted.save(str(tmp_path / "fitted"))
            back = PipelineModel.load(str(tmp_path / "fitted"))
            np.testing.assert_array_equal(answers(back.transform(frame), ("prediction",)), clusters[0])
    assert same_clusters(*clusters)


def test_what_was_not_saved_whole_is_refused(spark: SparkSession, tmp_path: Path) -> None:
    """Metadata are written last: a save that was cut off lacks them, and has to be said to overwrite."""
    model = palate.spark.PCA(k=1, inputCol="features").fit(stretched(spark))
    path = tmp_path / "model"
    model.save(str(path))
    written = {file.parent.name: file.stat().st_mtime_ns for file in path.rglob("*") if file.is_file()}
    assert max(written, key=lambda name: written[name]) == "metadata"
    part = next((path / "metadata").glob("part-*"))
    (path / "metadata" / f".{part.name}.crc").unlink()
    told = part.read_text()

    def refused(error: type[Exception], words: str) -> None:
        with pytest.raises(error, match=words) as raised:
            palate.spark.PCAModel.load(str(path))
        assert str(path) in str(raised.value)

    for spoilt in ("", told[: len(told) // 2], "[]", "{}", told.replace('"uid"', '"uuid"')):
        part.write_text(spoilt)
        refused(BundleDamagedError, "the metadata are not whole")
    part.write_text(told.replace('"k":1', '"kk":1'))
    refused(BundleFormatError, "no Param 'kk' in this version")
    part.write_text(told)
    (path / "bundle").rename(tmp_path / "bundle")
    refused(BundleDamagedError, "no bundle beside")
    (tmp_path / "bundle").rename(path / "bundle")
    shutil.rmtree(path / "metadata")
    refused(BundleDamagedError, "there are no metadata")
    with pytest.raises(ConflictError, match="overwrite"):
        model.save(str(path))
    model.write().overwrite().save(str(path))
    assert palate.spark.PCAModel.load(str(path)).uid == model.uid


@pytest.mark.parametrize("name", palate.spark.STAGES)
def test_spark_connect_is_refused_at_construction(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_CONNECT_MODE_ENABLED", "1")
    with pytest.raises(CapabilityError, match=f"{name} needs the driver's JVM"):
        getattr(palate.spark, name)()


def test_pmml_is_refused(sample: Sample, model: Any, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="not written as 'pmml'"):
        model.write().format("pmml").save(str(tmp_path / "model"))


@pytest.mark.parametrize("kind", ["array<double>", "array<float>", "sparse"])
def test_features_come_in_every_form(sample: Sample, frame: DataFrame, expected: list[Any], kind: str) -> None:
    if not sample.features:
        pytest.skip(f"{sample.name} takes no column of features")
    column = f.col(sample.features)
    if kind == "sparse":
        at = frame.columns.index(sample.features)
        rows = [(*row[:at], _sparse(row[at]), *row[at + 1 :]) for row in frame.collect()]
        shaped = frame.sparkSession.createDataFrame(rows, frame.schema)
    else:
        shaped = frame.withColumn(sample.features, vector_to_array(column).cast(kind))
    again = sample.make().fit(shaped)
    assert sample.same(answers(again.transform(shaped), sample.outputs), expected)


def _sparse(vector: Any) -> Any:
    """Every other row as a SparseVector."""
    from pyspark.ml.linalg import SparseVector

    values = vector.toArray()
    if int(abs(values[0]) * 1000) % 2:
        return vector
    held = np.flatnonzero(values)
    return SparseVector(len(values), held.tolist(), values[held].tolist())


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda column: f.lit(None).cast("array<double>"), "null"),
        (lambda column: f.concat(f.slice(column, 2, 100), f.array(f.lit(float("nan")))), "NaN"),
        (lambda column: f.concat(f.slice(column, 2, 100), f.array(f.lit(float("inf")))), "infinity"),
        (lambda column: f.concat(f.slice(column, 2, 100), f.array(f.lit(None).cast("double"))), "element .* null"),
        (lambda column: f.slice(column, 2, 100), "wide"),
        (lambda column: f.slice(column, 1, 0), "empty"),
    ],
)
def test_bad_features_are_refused_by_name(sample: Sample, frame: DataFrame, spoil: Any, message: str) -> None:
    if not sample.features:
        pytest.skip(f"{sample.name} takes no column of features")
    column = vector_to_array(f.col(sample.features))
    spoilt = frame.withColumn(sample.features, f.when(f.col("row") == 7, spoil(column)).otherwise(column))
    with pytest.raises(SchemaError, match=message) as raised:
        sample.make().fit(spoilt)
    assert sample.features in str(raised.value)


def test_no_rows_are_refused(sample: Sample, frame: DataFrame) -> None:
    with pytest.raises(SchemaError, match="no rows"):
        sample.make().fit(frame.where("row < 0"))


def test_a_missing_column_is_named(sample: Sample, frame: DataFrame) -> None:
    if not sample.features:
        pytest.skip(f"{sample.name} takes no column of features")
    with pytest.raises(SchemaError, match=f"no column '{sample.features}'"):
        sample.make().fit(frame.drop(sample.features))
    with pytest.raises(SchemaError, match="features"):
        sample.make().fit(frame.withColumn(sample.features, f.lit("text")))
