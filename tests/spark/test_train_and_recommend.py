"""`train_mf`, `train_content` and `recommend`: from a prepared dataset to a bundle to a table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pyarrow import parquet

from palate.bundle import load_bundle, read_manifest, write_bundle
from palate.models.kmeans import KMeans
from palate.models.protocol import Recommender
from palate.spark.jobs import recommend as recommending
from palate.spark.jobs.train import read_interactions, train_content, train_mf
from palate.spark.prepared import Prepared

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark


@pytest.fixture(scope="module")
def bundle(spark: SparkSession, prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from palate.spark.job import main

    path = tmp_path_factory.mktemp("models") / "als"
    main(train_mf, ["--input", str(prepared), "--output", str(path), "--set", "factors=8", "--validate", "0.2"])
    return path


def test_spark_hands_over_what_is_on_disk(spark: SparkSession, prepared: Path) -> None:
    found = Prepared(prepared)
    for part in ("train", "test"):
        assert read_interactions(spark, found, part).fingerprint == found.interactions(part).fingerprint


def test_the_bundle_is_the_model_fitted_to_the_training_part(bundle: Path, prepared: Path) -> None:
    from palate.models import make_recommender

    found = Prepared(prepared)
    expected = make_recommender("als", {"factors": 8}).fit(found.interactions("train"), found.catalogue())
    model = load_bundle(bundle)
    assert isinstance(model, Recommender)
    users = found.users.ids.to_pylist()
    assert model.recommend(users, 5).ids() == expected.recommend(users, 5).ids()
    manifest = read_manifest(bundle)
    assert manifest.lineage["fingerprint"] == found.fingerprint
    assert 0 < manifest.metrics["validation_recall@20"] <= 1
    report = json.loads(bundle.with_name("als.job.json").read_text())
    assert report["params"]["factors"] == 8
    assert {"read", "validate", "train", "write the bundle"} <= set(report["seconds"])


def test_the_table_holds_what_the_model_says(job: Any, bundle: Path, prepared: Path, tmp_path: Path) -> None:
    arguments = ["--bundle", bundle, "--input", prepared, "--output", tmp_path / "out", "--n", "4"]
    code, said = job(recommending.command, *arguments)
    assert (code, "160 rows for 40 users" in said) == (0, True), said
    rows = parquet.read_table(tmp_path / "out" / "recommendations").to_pylist()
    model, found = load_bundle(bundle), Prepared(prepared)
    assert isinstance(model, Recommender)
    train = found.interactions("train")
    users, items = found.users.ids.to_pylist(), found.items.ids.to_pylist()
    seen = {(users[u], items[i]) for u, i in zip(train.user_codes, train.item_codes, strict=True)}
    assert not seen & {(row["user"], row["item"]) for row in rows}
    for user, wanted in zip(users, model.recommend(users, 4).ids(), strict=True):
        own = sorted((row for row in rows if row["user"] == user), key=lambda row: row["rank"])
        assert [row["item"] for row in own] == wanted
        assert [row["rank"] for row in own] == [1, 2, 3, 4]
        assert all(row["personal"] for row in own)


def test_partitions_and_blocks_change_nothing(
    spark: SparkSession, bundle: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = Prepared(prepared).users
    whole = recommending.recommendations(spark, bundle, users, 40).toArrow()
    monkeypatch.setattr(recommending, "BLOCK", 7)
    table = recommending.recommendations(spark, bundle, users, 40)
    assert table.rdd.getNumPartitions() == 6
    order = [("user", "ascending"), ("rank", "ascending")]
    assert (
        table.toArrow()
        .select(["user", "rank", "item"])
        .sort_by(order)
        .equals(whole.select(["user", "rank", "item"]).sort_by(order))
    )


def test_the_content_model_ranks_items_that_nobody_has_touched(job: Any, prepared: Path, tmp_path: Path) -> None:
    code, said = job(train_content, "--input", prepared, "--output", tmp_path / "content")
    assert (code, "content in" in said) == (0, True), said
    model = load_bundle(tmp_path / "content")
    assert isinstance(model, Recommender)
    assert {"i30", "i31"} <= set(model.recommend(["u01"], 32, exclude=None).ids()[0])


def test_registering(job: Any, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from palate.tracking import Tracker

    monkeypatch.setenv("PALATE_HOME", str(tmp_path / "home"))
    arguments = ["--input", prepared, "--output", tmp_path / "model", "--model", "popularity"]
    code, said = job(train_mf, *arguments, "--register", "--name", "shop", "--alias", "champion")
    assert (code, "version 1 of shop" in said) == (0, True), said
    version, path = Tracker().resolve("shop", "champion")
    assert version == "1"
    assert read_manifest(path).lineage["fingerprint"] == Prepared(prepared).fingerprint


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "oracle"], "no model kind 'oracle'"),
        (["--model", "kmeans"], "does not rank items"),
        (["--set", "factors=many"], "als.factors: 'many' does not fit: Input should be a valid integer"),
        (["--set", "factors"], "is not NAME=VALUE"),
        (["--set", "wings=2"], "no parameter 'wings'"),
        (["--set", "factors=0"], "factors"),
        (["--validate", "1"], "not in the range"),
        (["--alias", "champion"], "--register"),
        (["--input", "/nowhere"], "no prepared dataset"),
        (["--segments", "/nowhere"], "/nowhere: there is no such folder"),
    ],
)
def test_bad_arguments_of_training(job: Any, prepared: Path, tmp_path: Path, arguments: list[str], words: str) -> None:
    code, said = job(train_mf, "--input", prepared, "--output", tmp_path / "model", *arguments)
    assert (code, words in said, "Traceback" in said) == (2, True, False), said
    assert not (tmp_path / "model").exists()


def test_a_bundle_is_never_replaced(job: Any, prepared: Path, bundle: Path) -> None:
    code, said = job(train_mf, "--input", prepared, "--output", bundle)
    assert (code, "never changed" in said) == (2, True)


def test_bad_arguments_of_recommending(job: Any, prepared: Path, bundle: Path, tmp_path: Path) -> None:
    write_bundle(KMeans([[0, 1]]), tmp_path / "kmeans")
    out = tmp_path / "out"
    for arguments, words in (
        (["--bundle", tmp_path / "nothing"], "nothing"),
        (["--bundle", tmp_path / "kmeans"], "ranks no items"),
        (["--bundle", bundle, "--n", "0"], "not in the range"),
        (["--bundle", bundle, "--input", tmp_path], "no prepared dataset"),
    ):
        code, said = job(recommending.command, "--input", prepared, "--output", out, *arguments)
        assert (code, words in said, "Traceback" in said) == (2, True, False), said
        assert not out.exists()
