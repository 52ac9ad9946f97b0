"""Runs, versions and aliases in a real MLflow database."""

from __future__ import annotations

import fcntl
import logging
import math
import os
import subprocess
import sys
import threading
from contextlib import ExitStack, suppress
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from palate.bundle import load_bundle, read_manifest, write_bundle
from palate.dataset.schema import Interactions
from palate.errors import BundleError, ParameterError, RegistryError
from palate.models import make_recommender
from palate.models.kmeans import KMeans
from palate.models.pca import PCA
from palate.models.pipeline import ArtifactPipeline, Stage
from palate.settings import Settings
from palate.tracking import Tracker, connection


def model(scale: float = 1.0) -> ArtifactPipeline:
    return ArtifactPipeline(
        [
            Stage("pca", PCA(scale * np.eye(2, 4))),
            Stage("kmeans", KMeans([[0, 0], [1, 1]]), {"features": "projection"}),
        ]
    )


@pytest.fixture
def pyfunc_uri(uri: str) -> object:
    before = mlflow.get_tracking_uri(), os.environ.get("MLFLOW_TRACKING_URI")
    mlflow.set_tracking_uri(uri)
    yield uri
    mlflow.set_tracking_uri(None)  # type: ignore[arg-type]
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    if before[1]:
        os.environ["MLFLOW_TRACKING_URI"] = before[1]


def test_a_run_holds_what_there_is_to_know(tracker: Tracker, uri: str) -> None:
    info = tracker.log_model(
        model(),
        run_name="first",
        params={"factors": 64, "content": {"tf_idf": True}},
        metrics={"recall@20": 0.25, "empty": math.nan},
        lineage={"fingerprint": "f" * 64, "name": "movies", "rows": {"train": 80}},
        register_as="m",
    )
    assert (info.name, info.version, info.kind, info.fingerprint) == ("m", "1", "pipeline", "f" * 64)
    run = MlflowClient(uri).get_run(info.run_id)
    assert run.info.run_name == "first"
    assert run.info.status == "FINISHED"
    assert run.data.params["factors"] == "64"
    assert run.data.params["content.tf_idf"] == "true"
    assert run.data.metrics["recall_at_20"] == 0.25
    assert tracker.metrics(tracker.versions("m"))["1"]["recall_at_20"] == 0.25
    assert tracker.versions("m")[0].created > "2026"
    assert math.isnan(run.data.metrics["empty"])
    assert run.data.tags["lineage.rows.train"] == "80"
    (data,) = run.inputs.dataset_inputs
    assert (data.dataset.name, data.dataset.digest) == ("movies", "f" * 36)
    (logged,) = MlflowClient(uri).search_logged_models([run.info.experiment_id])
    assert (logged.model_id, logged.status) == (info.model_id, "READY")


def test_versions_and_aliases(tracker: Tracker) -> None:
    for scale in (1.0, 2.0, 3.0):
        tracker.log_model(model(scale), run_name="r", register_as="m")
    assert [held.version for held in tracker.versions("m")] == ["3", "2", "1"]
    assert tracker.promote("m", 2) is None
    assert tracker.promote("m", "3", "challenger") is None
    assert tracker.promote("m", 1) == "2"
    assert {held.version: held.aliases for held in tracker.versions("m")} == {
        "1": ("champion",),
        "2": (),
        "3": ("challenger",),
    }
    assert tracker.promote("m", 3) == "1"
    assert tracker.versions("m")[0].aliases == ("challenger", "champion")
    for wanted, version in (("champion", "3"), ("1", "1"), (2, "2")):
        found, path = tracker.resolve("m", wanted)
        assert found == version
        loaded = load_bundle(path)
        assert isinstance(loaded, ArtifactPipeline)
        assert loaded.predict({"features": [[1, 0, 0, 0]]})["projection"] == [[float(version), 0.0]]


def test_a_bundle_is_logged_as_it_is(tracker: Tracker, tmp_path: Path) -> None:
    manifest = write_bundle(model(), tmp_path / "b", metrics={"ndcg@10": 0.5}, lineage={"fingerprint": "abc"})
    info = tracker.log_model(tmp_path / "b", run_name="r", register_as="m")
    assert info.fingerprint == "abc"
    path = tracker.resolve("m", info.version)[1]
    assert read_manifest(path).created == manifest.created
    assert (path / "manifest.json").read_bytes() == (tmp_path / "b" / "manifest.json").read_bytes()


def test_a_damaged_bundle_is_not_logged(tracker: Tracker, tmp_path: Path) -> None:
    write_bundle(model(), tmp_path / "b")
    next((tmp_path / "b").rglob("*.npy")).write_bytes(b"")
    with pytest.raises(BundleError):
        tracker.log_model(tmp_path / "b", run_name="r", register_as="m")
    with pytest.raises(RegistryError, match="no registered model"):
        tracker.versions("m")


def test_a_run_that_fails_is_marked(tracker: Tracker, uri: str) -> None:
    with pytest.raises(RegistryError):
        tracker.log_model(model(), run_name="r", register_as="a/b:c")
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("palate")
    assert [run.info.status for run in client.search_runs([experiment.experiment_id])] == ["FAILED"]


def test_pyfunc_predicts_without_pickle(tracker: Tracker, pyfunc_uri: str) -> None:
    info = tracker.log_model(model(), run_name="r", register_as="m")
    tracker.promote("m", info.version)
    frame = pd.DataFrame({"features": [[1, 2, 3, 4.5], [0, 0, 0, 0]]}, index=[7, 9])
    for uri in ("models:/m@champion", info.uri):
        answer = mlflow.pyfunc.load_model(uri).predict(frame)
        assert answer["cluster"].tolist() == [1, 0]
        assert answer["projection"].tolist() == [[1.0, 2.0], [0.0, 0.0]]
        assert answer.index.tolist() == [7, 9]
    files = [path for path in tracker.resolve("m")[1].parent.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if path.suffix in {".pkl", ".pickle", ".joblib", ".pt", ".bin"}]
    assert not [path for path in files if path.read_bytes()[:1] == b"\x80"]


@pytest.mark.parametrize("artifact", [PCA(np.eye(1, 2)), KMeans([[0, 0]])], ids=["pca", "kmeans"])
def test_pyfunc_of_each_artifact(tracker: Tracker, pyfunc_uri: str, artifact: PCA | KMeans) -> None:
    info = tracker.log_model(artifact, run_name="r", register_as="m")
    for features in ([[3, 4]], [[3.0, 4.0]], [np.array([3, 4], np.float32)]):
        answer = mlflow.pyfunc.load_model(info.uri).predict(pd.DataFrame({"features": features}))
        expected = artifact.predict({"features": [[3.0, 4.0]]})
        assert {name: answer[name].tolist() for name in answer} == expected


def test_what_is_not_there_is_said(tracker: Tracker) -> None:
    with pytest.raises(RegistryError, match="no registered model 'm'"):
        tracker.resolve("m")
    tracker.log_model(model(), run_name="r", register_as="m")
    with pytest.raises(RegistryError, match=r"no registered model 'other'.*There are: m\."):
        tracker.versions("other")
    with pytest.raises(RegistryError, match=r"no version 7.*It has: 1\."):
        tracker.promote("m", 7)
    with pytest.raises(RegistryError, match=r"no version or alias 'champion'.*Versions: 1; aliases: none"):
        tracker.resolve("m")
    with pytest.raises(ParameterError, match="champion, challenger"):
        tracker.promote("m", 1, "winner")
    for name in ("", "x' OR '1'='1", "ü" * 300, "a\nb"):
        with pytest.raises(RegistryError):
            tracker.versions(name)


@pytest.mark.parametrize("uri", ["http://127.0.0.1:9", "sqlite:////proc/none/mlflow.db", "nonsense://x"])
def test_a_registry_that_is_away(uri: str) -> None:
    with pytest.raises(RegistryError, match=r"registry|server|URI"):
        Tracker(uri).versions("m")
    with pytest.raises(RegistryError):
        Tracker(uri).log_model(model(), run_name="r", register_as="m")


def test_processes_open_a_database_one_after_the_other(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Migrations of a new one collide: the workers of a server that starts in an empty folder."""
    begun = threading.Event()

    def beginning(**_: str) -> None:
        begun.set()
        raise OSError("enough")

    def ask() -> None:
        with suppress(RegistryError), connection.Connection(uri).client():
            pass

    monkeypatch.setattr(mlflow, "MlflowClient", beginning)
    asking = threading.Thread(target=ask)
    with open(uri.removeprefix("sqlite:///") + "-opening", "a", encoding="utf-8") as another:
        fcntl.flock(another, fcntl.LOCK_EX)
        asking.start()
        assert not begun.wait(0.3)
    assert begun.wait(120)
    asking.join(120)


def test_a_password_in_the_uri_is_not_shown() -> None:
    tracker = Tracker("http://me:secret@127.0.0.1:9")
    with pytest.raises(RegistryError) as error:
        tracker.versions("m")
    assert "secret" not in str(error.value) + repr(tracker)


def test_settings_say_where(tmp_path: Path) -> None:
    assert Tracker(Settings(home=tmp_path)).uri == f"sqlite:///{tmp_path / 'mlflow.db'}"
    assert Tracker(Settings(tracking_uri="http://somewhere")).uri == "http://somewhere"
    assert Tracker().uri == f"sqlite:///{tmp_path / 'home' / 'mlflow.db'}"


def test_limits_of_the_operator_stay_in_force(tracker: Tracker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    tracker.log_model(model(), run_name="r", register_as="m")
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "77"


def test_transfers_side_by_side_have_time_until_the_last_of_them_ends(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "MLFLOW_HTTP_REQUEST_TIMEOUT"
    monkeypatch.delenv(name, raising=False)
    one, other = ExitStack(), ExitStack()
    with connection.Connection(uri).client():
        assert os.environ[name] == "10"
    one.enter_context(connection.Connection(uri).transfer())
    other.enter_context(connection.Connection(uri).transfer())
    one.close()
    assert os.environ[name] == "300"
    other.close()
    assert os.environ[name] == "10"


def test_a_first_contact_says_nothing_and_lets_others_speak(
    uri: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO)

    def client(**options: str) -> MlflowClient:
        logging.getLogger("another").warning("still heard")
        return MlflowClient(**options)

    monkeypatch.setattr(mlflow, "MlflowClient", client)
    with connection.Connection(uri).client():
        assert caplog.messages == ["still heard"]
    with pytest.raises(RegistryError):
        Tracker("http://127.0.0.1:9").versions("m")
    assert caplog.messages == ["still heard", "still heard"]
    assert capfd.readouterr().err == ""


def test_a_version_that_is_no_bundle(tracker: Tracker, uri: str, tmp_path: Path) -> None:
    client = MlflowClient(uri, uri)
    client.create_registered_model("foreign")
    (tmp_path / "model").mkdir()
    client.create_model_version("foreign", (tmp_path / "model").as_uri())
    with pytest.raises(RegistryError, match="version 1 of 'foreign' is no Palate bundle"):
        tracker.resolve("foreign", 1)


def test_a_recommender_through_pyfunc(tracker: Tracker, pyfunc_uri: str) -> None:
    users, items = zip(*[(u, f"i{i}") for u in range(6) for i in range(8) if (u + i) % 3], strict=True)
    recommender = make_recommender("popularity").fit(Interactions.from_ids(users, items))
    info = tracker.log_model(recommender, run_name="r", register_as="m")
    loaded = mlflow.pyfunc.load_model(info.uri)
    frame = pd.DataFrame({"user": [0, 1]})
    answer = loaded.predict(frame)
    expected = recommender.predict({"user": [0, 1]})
    assert {name: answer[name].tolist() for name in answer} == expected
    assert [len(row) for row in loaded.predict(frame, params={"n": 2})["items"]] == [2, 2]


def test_a_column_may_be_left_out(tracker: Tracker, pyfunc_uri: str) -> None:
    """With items there are ratings to predict, without them a ranking is asked for."""
    users, items = zip(*[(u, f"i{i}") for u in range(6) for i in range(8) if (u + i) % 3], strict=True)
    rated = Interactions.from_ids(users, items, [1.0 + (user % 2) for user in users])
    recommender = make_recommender("explicit-mf", {"factors": 1, "features": 2, "iterations": 8}).fit(rated)
    loaded = mlflow.pyfunc.load_model(tracker.log_model(recommender, run_name="r", register_as="m").uri)
    pairs = {"user": [0, 1], "item": ["i0", "new"]}
    for asked in (pairs, {"user": [0, 1]}):
        answer = loaded.predict(pd.DataFrame(asked))
        assert {name: answer[name].tolist() for name in answer} == recommender.predict(asked)
    with pytest.raises(mlflow.MlflowException, match="user"):
        loaded.predict(pd.DataFrame({"item": ["i0"]}))


_QUIET = """
import sys
from palate.models.kmeans import KMeans
from palate.tracking import Tracker
tracker = Tracker(sys.argv[1])
tracker.log_model(KMeans([[0.0]]), run_name="r", register_as="m")
tracker.promote("m", 1)
tracker.resolve("m")
assert "flask" not in sys.modules, "mlflow-skinny is enough"
"""


def test_nothing_is_printed_from_the_first_migration_on(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", _QUIET, f"sqlite:///{tmp_path / 'new' / 'mlflow.db'}"], capture_output=True, text=True
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
