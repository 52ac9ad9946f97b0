"""`evaluate`: the numbers of `palate evaluate`, for a bundle, wherever the users are ranked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from palate.bundle import load_recommender, write_bundle
from palate.cli.evaluate import evaluate as palate_evaluate
from palate.evaluation import ranking
from palate.evaluation.protocol import evaluate
from palate.models.kmeans import KMeans
from palate.spark.jobs import evaluate as evaluating
from palate.spark.jobs.train import train_mf
from palate.spark.prepared import Prepared

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark


@pytest.fixture(scope="module")
def bundle(spark: SparkSession, prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from palate.spark.job import main

    path = tmp_path_factory.mktemp("measured") / "als"
    main(train_mf, ["--input", str(prepared), "--output", str(path), "--set", "factors=8"])
    return path


def test_the_numbers_are_those_of_palate_evaluate(
    job: Any, bundle: Path, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["--train", prepared / "train", "--test", prepared / "test", "--format", "parquet"]
    arguments += ["--items", prepared / "items", "--model", "als", "--set", "factors=8", "--k", "3,5"]
    palate_evaluate.main([str(each) for each in [*arguments, "--json", tmp_path / "cli.json"]], standalone_mode=False)
    told = json.loads((tmp_path / "cli.json").read_text())

    monkeypatch.setattr(ranking, "_CALLS", 1)
    monkeypatch.setattr(ranking, "rows_at_once", lambda n_items: 7)  # six blocks of at most 7 users
    monkeypatch.setenv("PALATE_HOME", str(tmp_path / "home"))
    common = ["--bundle", bundle, "--input", prepared, "--k", "5,3,5"]
    code, said = job(evaluating.command, *common, "--output", tmp_path / "spread", "--log")
    assert (code, "ndcg@5" in said) == (0, True), said
    code, said = job(evaluating.command, *common, "--output", tmp_path / "alone", "--ranking", "driver")
    assert code == 0, said
    spread, alone = (json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("spread", "alone"))
    places = [json.loads((tmp_path / name / "job.json").read_text())["ranked_on"] for name in ("spread", "alone")]
    assert places == ["executors", "driver"]
    for name in ("metrics", "intervals", "k", "model"):
        assert spread[name] == alone[name] == told[name]
    measured = ("users", "items", "train_interactions", "test_interactions", "test_users", "personal_users")
    assert [spread["data"][name] for name in measured] == [told["data"][name] for name in measured]

    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'home' / 'mlflow.db'}")
    (run,) = client.search_runs([one.experiment_id for one in client.search_experiments()])
    assert run.info.status == "FINISHED"
    assert run.data.metrics["ndcg_at_5"] == spread["metrics"]["ndcg@5"]
    assert run.data.params["factors"] == "8"
    assert run.data.tags["lineage.fingerprint"] == Prepared(prepared).fingerprint


def test_ranking_on_executors_masks_what_was_seen(
    spark: SparkSession, bundle: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, model = Prepared(prepared), load_recommender(bundle)
    train, test = found.interactions("train"), found.interactions("test")
    monkeypatch.setattr(ranking, "_CALLS", 1)
    monkeypatch.setattr(ranking, "rows_at_once", lambda n_items: 7)
    asked = []

    def both(model: Any, queries: Any, k: int) -> ranking.Ranking:
        here, there = ranking.rank(model, queries, k), evaluating.on_executors(spark, bundle)(model, queries, k)
        asked.append((queries.masked, here, there))
        return there

    evaluate(model, train, test, [40], ranker=both)
    ((masked, here, there),) = asked
    assert there.codes.tolist() == here.codes.tolist()
    assert there.personal.tolist() == here.personal.tolist()
    for row, codes in enumerate(there.codes):
        assert not set(codes[codes >= 0]) & set(masked[row].indices)


def test_bad_arguments(job: Any, prepared: Path, bundle: Path, tmp_path: Path) -> None:
    write_bundle(KMeans([[0, 1]]), tmp_path / "kmeans")
    for arguments, words in (
        (["--bundle", tmp_path / "nothing"], "nothing"),
        (["--bundle", tmp_path / "kmeans"], "ranks no items"),
        (["--k", "ten"], "not a list of whole numbers"),
        (["--k", "0"], "at least 1"),
        (["--ranking", "moon"], "moon"),
        (["--input", tmp_path], "no prepared dataset"),
    ):
        out = tmp_path / "out"
        code, said = job(evaluating.command, "--bundle", bundle, "--input", prepared, "--output", out, *arguments)
        assert (code, words in said, "Traceback" in said) == (2, True, False), said
        assert not out.exists()
