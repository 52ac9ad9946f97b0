"""What `test_cluster.py` submits to a cluster whose machines have no package installed: every stage, fitted undisturbed
and with a process killed half-way; JSON on standard output."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from palate.spark.session import spark_session


def where_from(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The file a worker imported palate from, and its interpreter."""
    import palate

    for _ in batches:
        pass
    yield pa.RecordBatch.from_pydict({"palate": [str(palate.__file__)], "python": [sys.executable]})


@dataclass(frozen=True)
class Steps:
    """Counts, in `folder`, the steps that each process takes in a fit, and kills the first that has taken `deadly`.

    executor: the process that dies is the executor, and not only its Python worker. delay: seconds that it still has.
    Fits are made to count by putting what counts in place of a name in their module: a function that a stage sends to
    the executors takes along what it calls by that name.
    """

    folder: Path
    deadly: int = 0
    executor: bool = True
    delay: float = 0.0

    def step(self) -> None:
        own = self.folder / f"process-{os.getpid()}"
        taken = int(own.read_text()) + 1 if own.exists() else 1
        own.write_text(str(taken))
        if taken != self.deadly:
            return
        try:
            os.close(os.open(self.folder / "killed", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return
        (self.folder / "killed").write_text(own.name)
        victims = str(os.getpid())
        if self.executor:  # which its worker would outlive by a moment
            daemon = Path(f"/proc/{os.getppid()}/stat").read_text()
            victims = daemon.rsplit(")", 1)[1].split()[1] + " " + victims
        killing = subprocess.Popen(["sh", "-c", f"sleep {self.delay}; kill -9 {victims}"], start_new_session=True)
        if not self.delay:
            killing.wait()

    def most(self) -> int:
        """How many steps the process took that took most."""
        return max(int(file.read_text()) for file in self.folder.glob("process-*"))

    def of_the_killed(self) -> int:
        """How many steps the process had taken that was killed; 0 if none was."""
        killed = self.folder / "killed"
        return int((self.folder / killed.read_text()).read_text()) if killed.exists() else 0

    def each(self, module: ModuleType, name: str) -> Any:
        """A step for each thing that the module's generator `name` gives."""
        real = getattr(module, name)

        def counted(*args: Any, **values: Any) -> Iterator[Any]:
            for found in real(*args, **values):
                self.step()
                yield found

        return replaced(module, name, counted)

    def sums(self, module: ModuleType) -> Any:
        """A step for each sum of the module's `Group`."""
        steps, real = self, module.Group

        class Counted(real):  # type: ignore[misc, valid-type]
            def sum(self, array: Any) -> Any:
                steps.step()
                return super().sum(array)

        return replaced(module, "Group", Counted)

    def ends(self, module: ModuleType) -> Any:
        """A step before, and one after, what the module gives to `fit_gathered` computes the factors."""
        real = module.fit_gathered

        def counted(ratings: DataFrame, names: Any, fit: Callable[[Any], Any], *rest: Any, **values: Any) -> Any:
            def computed(read: Any) -> Any:
                self.step()
                found = fit(read)
                self.step()
                return found

            return real(ratings, names, computed, *rest, **values)

        return replaced(module, "fit_gathered", counted)


@contextmanager
def replaced(module: ModuleType, name: str, value: Any) -> Iterator[None]:
    real = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, real)


def tables(spark: SparkSession) -> dict[str, DataFrame]:
    """`points`: 4,000 vectors in four heaps of width 8. `ratings`: 200 users whose taste is one of three. `clicks`: a
    label that is the product of two categories."""
    rng = np.random.default_rng(0)
    heaps = rng.standard_normal((4, 8)) * 10
    points = heaps[np.arange(4_000) % 4] + rng.standard_normal((4_000, 8))
    ratings = [(u, i, 5.0 if u % 3 == i % 3 else 1.0) for u in range(200) for i in range(60) if (u * 7 + i * 3) % 5]
    clicks = [(a, b, float((a < 5) == (b < 5))) for a in range(10) for b in range(10) for _ in range(20)]
    return {
        "points": spark.createDataFrame(pa.table({"features": points.tolist()})).repartition(4),
        "ratings": spark.createDataFrame(ratings, "user int, item int, rating float").repartition(4),
        "clicks": spark.createDataFrame(clicks, "a int, b int, label double").repartition(4),
    }


@dataclass(frozen=True)
class Fit:
    """A stage: the table it is fitted on; what a fit says of itself, which any lost part would change; how its steps
    are counted. executor: whether an executor is killed, or its Python worker alone. delay: see Steps."""

    table: str
    run: Callable[[DataFrame], Any]
    counted: Callable[[Steps], Any]
    executor: bool = True
    delay: float = 0.0


def fits(endpoint: str) -> dict[str, Fit]:
    """Those first that lose a Python worker, then those that lose an executor, which takes long to come back: one that
    needs both of them, and two that can do while one is started again. Of the barrier stages there is one of each."""
    from palate.spark import ALS, PCA, EndpointModel, FMClassifier, ImplicitALS, KMeans
    from palate.spark.stages import als as als_module
    from palate.spark.stages import endpoint as endpoint_module
    from palate.spark.stages import fm_training, group, implicit_als, pca_sums

    rated = {"userCol": "user", "itemCol": "item", "ratingCol": "rating"}

    def kmeans(frame: DataFrame) -> Any:
        return sorted(KMeans(k=4, nInit=5, seed=1).fit(frame).summary.clusterSizes)

    def machine(workers: int) -> Callable[[DataFrame], Any]:
        def run(frame: DataFrame) -> Any:
            stage = FMClassifier(categoricalCols=["a", "b"], maxIter=20, seed=1, numWorkers=workers)
            return (
                stage.fit(frame).transform(frame).selectExpr("avg(double(prediction = label)) as right").first().right
            )

        return run

    def als(frame: DataFrame) -> Any:
        model = ALS(rank=4, maxIter=300, seed=1, **rated).fit(frame)
        error = model.transform(frame).selectExpr("sqrt(avg(pow(prediction - rating, 2))) as rmse").first()
        assert model.engine == "native"
        return error.rmse

    def implicit(frame: DataFrame) -> Any:
        model = ImplicitALS(factors=4, iterations=1000, **rated).fit(frame.where("rating > 4"))
        top = model.recommendForAllUsers(20).selectExpr("user", "explode(recommendations.item) as item")
        return top.selectExpr("avg(double(user % 3 = item % 3)) as right").first().right

    def pca(frame: DataFrame) -> Any:
        return PCA(k=2, inputCol="features", outputCol="out").fit(frame).explainedVariance.toArray().tolist()

    def asked(frame: DataFrame) -> Any:
        model = EndpointModel(
            endpointUrl=endpoint, endpointName="x", kind="kmeans", inputCol="features", outputCol="cluster",
            batchSize=50, maxInFlight=2,
        )  # fmt: skip
        positive = "double(cluster = int(features[0] > 0))"
        return list(model.transform(frame).selectExpr("count(*)", f"avg({positive})").first())

    return {
        "FMClassifier of two tasks": Fit("clicks", machine(2), lambda steps: steps.sums(group), executor=False),
        "FMClassifier": Fit("clicks", machine(1), lambda steps: steps.sums(fm_training), executor=False),
        "ImplicitALS": Fit("ratings", implicit, lambda steps: steps.ends(implicit_als), executor=False, delay=0.1),
        "EndpointModel": Fit("points", asked, lambda steps: steps.each(endpoint_module, "requests_of"), executor=False),
        "KMeans": Fit("points", kmeans, lambda steps: steps.sums(group)),
        "ALS": Fit("ratings", als, lambda steps: steps.ends(als_module), delay=0.1),
        "PCA": Fit("points", pca, lambda steps: steps.each(pca_sums, "blocks")),
    }


class SignOfTheFirst(BaseHTTPRequestHandler):
    """A model endpoint: cluster 1 where a vector's first number is positive, else 0."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        rows = self.rfile.read(int(self.headers["Content-Length"])).decode().splitlines()
        answers = [json.dumps({"closest_cluster": int(float(row.split(",")[0]) > 0)}) for row in rows]
        body = "\n".join(answers).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


class Endpoint(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """Nothing: a killed worker resets its connections."""


def executors(spark: SparkSession) -> list[Any]:
    """All that there were so far, and the driver, by Spark's own books."""
    context: Any = spark.sparkContext._jsc.sc()
    context.listenerBus().waitUntilEmpty()
    found = context.statusStore().executorList(False)
    return [found.apply(number) for number in range(found.size())]


def lost(spark: SparkSession) -> int:
    """How many executors were lost, and tasks failed, so far."""
    return sum(executor.failedTasks() + (not executor.isActive()) for executor in executors(spark))


def forget_the_lost(spark: SparkSession) -> None:
    """Removes what lost executors left, which is gigabytes: the environment, packed and unpacked."""
    folder = Path(os.environ["SPARK_HOME"]) / "work" / spark.sparkContext.applicationId
    for executor in executors(spark):
        if not executor.isActive():
            shutil.rmtree(folder / executor.id(), ignore_errors=True)


def main(marks: Path) -> None:
    spark = spark_session("cluster test")
    told: dict[str, Any] = {"workers": [], "fits": {}}
    rows = spark.range(0, 100, 1, 2).mapInArrow(where_from, "palate string, python string").collect()
    told["workers"] = [row.asDict() for row in rows]
    server = Endpoint(("127.0.0.1", 0), SignOfTheFirst)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    data = {name: frame.cache() for name, frame in tables(spark).items()}
    for number, (name, fit) in enumerate(fits(f"http://127.0.0.1:{server.server_port}").items()):
        seconds, losses = [time.perf_counter()], [lost(spark)]
        calm, spoilt = Steps(marks / f"{number}-calm"), marks / f"{number}-spoilt"
        for folder in (calm.folder, spoilt):
            folder.mkdir()
        with fit.counted(calm):
            answers = [fit.run(data[fit.table])]
        seconds.append(time.perf_counter())
        losses.append(lost(spark))
        deadly = Steps(spoilt, max(1, calm.most() // 2), fit.executor, fit.delay)
        with fit.counted(deadly):
            answers.append(fit.run(data[fit.table]))
        seconds.append(time.perf_counter())
        losses.append(lost(spark))
        forget_the_lost(spark)
        told["fits"][name] = {
            "answers": answers,
            "steps": calm.most(),
            "killed after": deadly.of_the_killed(),
            "lost": losses,
            "seconds": [round(seconds[1] - seconds[0], 1), round(seconds[2] - seconds[1], 1)],
        }
        print(name, told["fits"][name], file=sys.stderr)
    spark.stop()
    server.shutdown()
    print(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
