"""EndpointModel against a real server process: the same answers as in the process, whatever the server goes through."""

from __future__ import annotations

import importlib.util
import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

pytest.importorskip("pyspark", reason="needs pyspark: pip install 'palate[spark]'")
pytest.importorskip("flask", reason="needs the server: pip install 'palate[serve]'")

from pyspark.ml import Pipeline, PipelineModel
from pyspark.ml.functions import array_to_vector
from pyspark.ml.linalg import SparseVector, Vectors
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as f

import palate.spark
from palate.bundle import write_bundle
from palate.cli import palate as command
from palate.client.calls import Caller
from palate.client.endpoints import KEY, Endpoint
from palate.errors import PalateError, ParameterError, RemoteError, SchemaError
from palate.models.factorization_machine import FactorizationMachine
from palate.models.kmeans import KMeans
from palate.models.pca import PCA
from palate.models.pipeline import ArtifactPipeline, Stage
from palate.spark import EndpointModel

pytestmark = pytest.mark.spark

_spec = importlib.util.spec_from_file_location(
    "endpoint_server", Path(__file__).parents[2] / "services" / "endpoints" / "server.py"
)
assert _spec is not None
assert _spec.loader is not None
server_module = importlib.util.module_from_spec(_spec)
sys.modules.setdefault("endpoint_server", server_module)
_spec.loader.exec_module(server_module)

RNG = np.random.default_rng(3)
ROWS = RNG.normal(size=(203, 5))
PCA_MODEL = PCA(RNG.normal(size=(2, 5)))
CLUSTERS = KMeans(RNG.normal(size=(4, 2)))
FM = FactorizationMachine(0.1, RNG.normal(size=5), RNG.normal(size=(5, 2)), "classification")
QUICK: dict[str, Any] = {"maxRetries": 1, "backoff": 0.01, "timeout": 20.0}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("server")
    held = server_module.Server(folder, workers=1)
    held.start()
    pipeline = ArtifactPipeline([Stage("pca", PCA_MODEL), Stage("kmeans", CLUSTERS, {"features": "projection"})])
    write_bundle(pipeline, folder / "pipeline")
    caller = Caller(held.url, held.token)
    for name in ("pca", "kmeans"):
        Endpoint(caller, name).deploy({"bundle": str(folder / "pipeline"), "part": name})
    write_bundle(FM, folder / "fm")
    Endpoint(caller, "fm").deploy({"bundle": str(folder / "fm")})
    Endpoint(caller, "whole").deploy({"bundle": str(folder / "pipeline")})
    yield held
    held.stop()


@pytest.fixture
def stage(server: Any) -> Any:
    def make(name: str, **values: Any) -> EndpointModel:
        common = {"endpointUrl": server.url, "endpointName": name, "inputCol": "features", "apiKey": server.token}
        return EndpointModel(**{**common, **QUICK, **values})

    return make


@pytest.fixture(scope="module")
def frame(spark: SparkSession) -> DataFrame:
    """`row`, and `features` as array<double>, in 3 partitions."""
    rows = [(number, row.tolist()) for number, row in enumerate(ROWS)]
    return spark.createDataFrame(rows, "row int, features array<double>").repartition(3).cache()


def collected(frame: DataFrame, *columns: str) -> list[Any]:
    rows = sorted(frame.select("row", *columns).collect())
    return [row[1] if len(columns) == 1 else tuple(row[1:]) for row in rows]


def expected() -> tuple[Any, Any, Any]:
    projections = PCA_MODEL.transform(ROWS.astype(np.float32))
    return projections, *CLUSTERS.assign(projections)


@pytest.mark.parametrize("content_type", ["csv", "json", "jsonlines"])
def test_the_answer_is_the_models_for_every_row_in_every_form(stage: Any, frame: DataFrame, content_type: str) -> None:
    vectors = frame.select("row", array_to_vector("features").alias("features"))
    asked = stage("pca", outputCol="projection", contentType=content_type, batchSize=7, maxInFlight=5)
    told = np.array([row.toArray() for row in collected(asked.transform(vectors), "projection")])
    np.testing.assert_array_equal(told.astype(np.float32), told)
    np.testing.assert_array_equal(told, expected()[0].astype(np.float64))


@pytest.mark.parametrize("content_type", ["csv", "jsonlines"])
def test_sparse_vectors_are_asked_about_too(spark: SparkSession, stage: Any, content_type: str) -> None:
    rows = np.where(ROWS[:20] > 0.3, ROWS[:20], 0)
    made = [
        (n, SparseVector(5, np.flatnonzero(row), row[row != 0]) if n % 3 else Vectors.dense(row))
        for n, row in enumerate(rows)
    ]
    asked = stage("pca", outputCol="p", contentType=content_type)
    told = [row.toArray() for row in collected(asked.transform(spark.createDataFrame(made, ["row", "features"])), "p")]
    np.testing.assert_array_equal(told, PCA_MODEL.transform(rows.astype(np.float32)).astype(np.float64))


def test_a_pipeline_of_two_endpoints_finds_the_clusters_of_the_one_in_the_process(stage: Any, frame: DataFrame) -> None:
    asked = PipelineModel(
        stages=[
            stage("pca", outputCol="projection"),
            stage("kmeans", inputCol="projection", outputCols=["prediction", "distance"]),
        ]
    )
    answer = asked.transform(frame.withColumn("features", f.col("features").cast("array<float>")))
    assert answer.columns == ["row", "features", "projection", "prediction", "distance"]
    assert [field.dataType.simpleString() for field in answer.schema][2:] == ["vector", "int", "double"]
    _, clusters, distances = expected()
    told = collected(answer, "prediction", "distance")
    assert [row[0] for row in told] == clusters.tolist()
    np.testing.assert_array_equal([row[1] for row in told], distances.astype(np.float64))


def test_a_pipeline_of_endpoints_comes_back_from_hadoop_s_file_systems(
    server: Any, stage: Any, spark: SparkSession, frame: DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """viewfs is one that no Python path leads to."""
    asked = PipelineModel(
        stages=[
            stage("pca", kind="pca", outputCol="projection"),
            stage("kmeans", kind="kmeans", inputCol="projection", outputCol="prediction"),
        ]
    )
    spark.conf.set("fs.viewfs.mounttable.endpoints.link./disk", tmp_path.as_uri())
    for uri in ("viewfs://endpoints/disk/one", f"{tmp_path.as_uri()}/two"):
        asked.save(uri)
        back = PipelineModel.load(uri)
        assert [type(made) for made in back.stages] == [EndpointModel, EndpointModel]
        monkeypatch.setenv(KEY, server.token)
        assert collected(back.transform(frame), "prediction") == expected()[1].tolist()


def test_a_fitted_pipeline_is_deployed_stage_by_stage_and_answers_as_before(
    server: Any, frame: DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted = Pipeline(
        stages=[
            palate.spark.PCA(k=2, inputCol="features", outputCol="projection"),
            palate.spark.KMeans(k=3, featuresCol="projection", seed=1),
        ]
    ).fit(frame)
    fitted.save(str(tmp_path / "digits"))
    monkeypatch.setenv(KEY, server.token)
    done = CliRunner().invoke(command, ["deploy-pipeline", str(tmp_path / "digits"), "--to", server.url, "--snippet"])
    assert (done.exit_code, done.exception) == (0, None)
    assert "digits-kmeans: kmeans, projection to prediction" in done.stderr
    names: dict[str, Any] = {}
    exec(done.stdout, names)  # noqa: S102 - that it runs as it is printed is the point
    told = names["model"].transform(frame)
    assert collected(told, "prediction") == collected(fitted.transform(frame), "prediction")


def test_a_filter_on_the_answer_asks_about_no_row_twice(spark: SparkSession) -> None:
    with scripted(lambda rows: [{"closest_cluster": 1} for _ in rows]) as fake:
        asked = EndpointModel(endpointUrl=fake.url, endpointName="x", kind="kmeans", inputCol="v", outputCol="c")
        frame = spark.createDataFrame([([float(n)],) for n in range(10)], "v array<double>").coalesce(1)
        answer = asked.transform(frame)
        assert answer.where("c = 1").select("v", "c", (f.col("c") + 1).alias("d")).count() == 10
        assert answer.where("c = 1").collect() == answer.collect()
        assert sum(fake.rows) == 30


def test_a_model_of_another_kind_answers_with_its_own_columns(stage: Any, frame: DataFrame) -> None:
    """The server is asked what they are, unless outputSchema says it."""
    projections, clusters, _ = expected()
    asked = stage("whole", outputCols=["projection", "cluster"]).transform(frame)
    assert [field.dataType.simpleString() for field in asked.schema][2:] == ["array<float>", "int"]
    told = collected(asked, "projection", "cluster")
    np.testing.assert_array_equal([row[0] for row in told], projections)
    assert [row[1] for row in told] == clusters.tolist()
    scored = stage("fm", outputCols=["score", "label"]).transform(frame)
    assert [field.dataType.simpleString() for field in scored.schema][2:] == ["double", "double"]
    scores = FM.score(ROWS)
    told = collected(scored, "score", "label")
    np.testing.assert_allclose([row[0] for row in told], scores, rtol=1e-5)
    assert [row[1] for row in told] == (scores > 0.5).tolist()
    declared = stage("whole", outputSchema="cluster bigint", outputCol="c").transform(frame)
    assert declared.schema["c"].dataType.simpleString() == "bigint"
    assert collected(declared, "c") == clusters.tolist()


def test_rows_of_a_columnar_scan_are_answered(
    spark: SparkSession, stage: Any, frame: DataFrame, tmp_path: Path
) -> None:
    """Spark hands over columns, not rows."""
    frame.write.parquet(str(tmp_path / "rows"))
    answer = stage("pca", kind="pca", outputCol="p").transform(spark.read.parquet(str(tmp_path / "rows")))
    told = np.array([row.toArray() for row in collected(answer, "p")])
    np.testing.assert_array_equal(told, expected()[0].astype(np.float64))


def test_no_rows_and_empty_partitions(stage: Any, frame: DataFrame) -> None:
    asked = stage("kmeans", kind="kmeans", outputCol="c")
    assert asked.transform(frame.where("row < 0")).collect() == []
    few = stage("pca", outputCol="p").transform(frame.where("row < 2").repartition(6))
    assert few.count() == 2


def test_a_server_that_is_killed_and_comes_back_costs_nothing_but_time(
    server: Any, stage: Any, frame: DataFrame
) -> None:
    patient = stage(
        "pca",
        kind="pca",
        outputCol="p",
        batchSize=1,
        maxInFlight=2,
        maxRetries=40,
        maxBackoff=1.0,
        requestsPerSecond=80.0,
    )
    told: list[Any] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            told.extend(row.toArray() for row in collected(patient.transform(frame), "p"))
        except BaseException as error:
            failed.append(error)

    before = answered(server)
    thread = threading.Thread(target=run)
    thread.start()
    while thread.is_alive() and answered(server) < before + 20:
        thread.join(0.05)
    server.stop(9)
    assert thread.is_alive(), "it was over before the server was killed"
    server.start()
    thread.join(120)
    assert not failed, failed
    np.testing.assert_array_equal(told, expected()[0].astype(np.float64))


def answered(server: Any) -> int:
    """How many requests the server has answered, by its access log."""
    return str(server.log.read_text()).count("/endpoints/pca/invocations")


# -- what goes wrong ---------------------------------------------------------------------------------------------------


def failure(frame: DataFrame) -> str:
    with pytest.raises(Exception) as failed:  # noqa: PT011 - Spark's own class, which holds ours
        frame.collect()
    return str(failed.value)


def test_what_the_model_refuses_names_the_rows(stage: Any, frame: DataFrame) -> None:
    told = failure(
        stage("kmeans", kind="kmeans", outputCol="c", batchSize=10, maxInFlight=1).transform(frame.coalesce(1))
    )
    assert "RemoteError: features: task 0, rows 0 to 9" in told
    assert "it answered 424" in told
    assert "5 numbers, the model takes 2" in told


def test_a_server_that_is_away_is_told(stage: Any, frame: DataFrame) -> None:
    away = stage("pca", outputCol="p", kind="pca", endpointUrl="http://127.0.0.1:9")
    told = failure(away.transform(frame.where("row < 3")))
    assert "cannot be reached. It was tried 2 times" in told


def test_a_request_that_fails_for_good_ends_those_that_are_tried_again(spark: SparkSession) -> None:
    """Rows 15 to 19 are refused when the requests before them have been told to come back later: none of them does."""
    with scripted(lambda rows: [], refuse=lambda rows: 400 if "15" in rows else 503, together=4) as fake:
        frame = spark.createDataFrame([([float(n)],) for n in range(40)], "v array<double>").coalesce(1)
        asked = EndpointModel(
            endpointUrl=fake.url, endpointName="x", kind="kmeans", inputCol="v", outputCol="c",
            batchSize=5, maxInFlight=4, maxRetries=3,
        )  # fmt: skip
        assert "v: task 0, rows 15 to 19: POST /endpoints/x/invocations: it answered 400" in failure(
            asked.transform(frame)
        )
        assert len(fake.at) == 4


def test_bad_vectors_never_leave(spark: SparkSession) -> None:
    with scripted(lambda rows: []) as fake:
        frame = spark.createDataFrame([([1.0],), ([float("nan")],)], "v array<double>").coalesce(1)
        asked = EndpointModel(endpointUrl=fake.url, endpointName="x", kind="pca", inputCol="v", outputCol="p")
        assert "v: task 0, row 1: the vector holds NaN" in failure(asked.transform(frame))
        assert fake.rows == []


def test_an_answer_of_the_wrong_length_is_refused(spark: SparkSession) -> None:
    with scripted(lambda rows: [{"closest_cluster": 1} for _ in rows[1:]]) as fake:
        frame = spark.createDataFrame([([1.0],), ([2.0],)], "v array<double>").coalesce(1)
        asked = EndpointModel(endpointUrl=fake.url, endpointName="x", kind="kmeans", inputCol="v", outputCol="c")
        assert "rows 0 to 1: the answer has 1 rows for 2" in failure(asked.transform(frame))


def test_a_server_that_asks_for_a_pause_gets_it(spark: SparkSession) -> None:
    with scripted(lambda rows: [{"closest_cluster": 1} for _ in rows], refuse_first=2) as fake:
        frame = spark.createDataFrame([([float(n)],) for n in range(20)], "v array<double>").coalesce(1)
        asked = EndpointModel(
            endpointUrl=fake.url, endpointName="x", kind="kmeans", inputCol="v", outputCol="c",
            batchSize=5, maxInFlight=2, backoff=0.01,
        )  # fmt: skip
        assert asked.transform(frame).count() == 20
        assert asked.transform(frame).where("c = 1").count() == 20
        assert fake.most_at_once <= 2


def test_what_is_wrong_with_the_stage_is_told_before_any_row_is_sent(stage: Any, frame: DataFrame) -> None:
    for values, words in (
        ({"batchSize": 0}, "EndpointModel.batchSize"),
        ({"contentType": "xml"}, "one of csv, json, jsonlines"),
        ({"kind": "als"}, "one of pca, kmeans"),
        ({"timeout": 0.0}, "EndpointModel.timeout"),
        ({"endpointUrl": "nowhere"}, "no address"),
        ({"apiKey": "line\nbreak"}, "apiKey"),
    ):
        with pytest.raises(ParameterError, match=words):
            stage("pca", **values)
    for values, words in (
        ({"outputCols": ["a", "b"], "kind": "pca"}, "must be 1 to 1"),
        ({"outputCols": ["a", "a"], "kind": "kmeans"}, "different names"),
        ({"outputCols": ["a"], "outputCol": "b", "kind": "pca"}, "beside outputCol"),
        ({"outputCol": "row", "kind": "pca"}, "a column 'row' already"),
        ({"outputSchema": "what is this"}, "is no schema"),
        ({"outputSchema": "day date"}, "'day' cannot be date"),
    ):
        with pytest.raises(ParameterError, match=words):
            stage("pca", **values).transform(frame)
    with pytest.raises(ParameterError, match="endpointUrl: must be set"):
        EndpointModel(inputCol="features", kind="pca", outputCol="p").transform(frame)
    with pytest.raises(SchemaError, match="holds int"):
        stage("pca", inputCol="row", kind="pca").transform(frame)
    with pytest.raises(RemoteError, match="no endpoint 'nowhere'"):
        stage("nowhere").transform(frame)


def deploying(*arguments: Any) -> PalateError:
    failed = CliRunner().invoke(command, ["deploy-pipeline", *map(str, arguments)]).exception
    assert isinstance(failed, PalateError), failed
    return failed


def test_a_pipeline_that_cannot_be_deployed_is_told(
    server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = ArtifactPipeline([Stage("a", PCA_MODEL), Stage("b" * 70, CLUSTERS, {"features": "projection"})])
    write_bundle(pipeline, tmp_path / "p")
    monkeypatch.delenv(KEY, raising=False)
    assert "it answered 401" in str(deploying(tmp_path / "p", "--to", server.url))
    monkeypatch.setenv(KEY, server.token)
    told = str(deploying(tmp_path / "p", "--to", server.url))
    assert "no name of an endpoint" in told
    assert "Deployed before it: p-a." in told
    assert "no address" in str(deploying(tmp_path / "p", "--to", "nowhere"))
    assert "no bundle here" in str(deploying(tmp_path / "q", "--to", server.url))


def test_every_param_has_its_getter_its_setter_and_its_row_in_the_docs(spark: SparkSession) -> None:
    made = EndpointModel()
    page = (Path(__file__).parents[3] / "docs" / "stages.md").read_text()
    table = page.split("## EndpointModel")[1].split("\n## ")[0]
    for param in made.params:
        name = param.name[0].upper() + param.name[1:]
        row = next(line for line in table.splitlines() if line.startswith(f"| `{param.name}` |"))
        if made.isDefined(param) and param.name != "outputCol":
            value = made.getOrDefault(param)
            assert getattr(made, "get" + name)() == value
            assert getattr(made, "set" + name)(value) is made
            assert f"| `{value}` |" in row
    copied = made.copy({made.batchSize: 7})
    assert (copied.getBatchSize(), made.getBatchSize(), copied.uid) == (7, 500, made.uid)


# -- the key -----------------------------------------------------------------------------------------------------------


def test_the_key_is_neither_shown_nor_saved(
    stage: Any, server: Any, frame: DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = stage("pca", outputCol="p", kind="pca")
    shown = f"{made.explainParams()} {made.extractParamMap()} {made.getApiKey()}"
    assert server.token not in shown
    assert "********" in shown
    made.save(str(tmp_path / "model"))
    assert server.token not in "".join(file.read_text() for file in (tmp_path / "model").rglob("part-*"))
    assert made.getApiKey().reveal() == server.token
    back = EndpointModel.load(str(tmp_path / "model"))
    assert not back.isDefined("apiKey")
    mine = {param.name: value for param, value in made.extractParamMap().items() if param.name != "apiKey"}
    assert {param.name: value for param, value in back.extractParamMap().items()} == mine
    monkeypatch.setenv(KEY, server.token)
    assert len(collected(back.transform(frame.where("row = 0")), "p")) == 1


def test_the_rate_is_shared_by_the_tasks(spark: SparkSession) -> None:
    """With two slots each task may make half of the requests; the first of each goes at once."""
    with scripted(lambda rows: [{"closest_cluster": 1} for _ in rows]) as fake:
        frame = spark.createDataFrame([([float(n)],) for n in range(8)], "v array<double>").repartition(2)
        asked = EndpointModel(
            endpointUrl=fake.url, endpointName="x", kind="kmeans", inputCol="v", outputCol="c",
            batchSize=1, requestsPerSecond=4.0,
        )  # fmt: skip
        asked.transform(frame).collect()
        assert len(fake.at) == 8
        assert max(fake.at) - min(fake.at) > 1.0, "undivided it would have been 0.75"


class scripted:
    """A server whose model is a function from rows to rows of the answer; `rows` are the sizes of its batches.

    refuse: rows to the status of a refusal, or None; unless given, the first `refuse_first` requests are refused with
    429. together: the first so many requests are answered only when all of them are there.
    """

    def __init__(self, model: Any, refuse_first: int = 0, refuse: Any = None, together: int = 1) -> None:
        self.rows: list[int] = []
        self.at: list[float] = []
        self.most_at_once = self.now = 0
        self.lock = threading.Lock()
        script, left, barrier = self, [refuse_first], threading.Barrier(together)

        def first_ones(_: list[str]) -> int | None:
            with script.lock:
                left[0] -= 1
                return 429 if left[0] >= 0 else None

        refusal = refuse or first_ones

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                import time

                with script.lock:
                    script.now += 1
                    script.most_at_once = max(script.most_at_once, script.now)
                    script.at.append(time.monotonic())
                    early = len(script.at) <= together
                rows = self.rfile.read(int(self.headers["Content-Length"])).decode().split("\n")
                refused = refusal(rows)
                if early:
                    barrier.wait(60)
                body = b"" if refused else "".join(json.dumps(row) + "\n" for row in model(rows)).encode()
                if not refused:
                    script.rows.append(len(rows))
                with script.lock:
                    script.now -= 1
                self.send_response(refused or 200)
                if refused:
                    self.send_header("Retry-After", "1")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> scripted:
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.server.shutdown()
        self.server.server_close()
