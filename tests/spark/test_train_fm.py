"""`train_fm`: from a table, or a prepared dataset, to a bundle that serves without Spark."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv, parquet

from palate.bundle import load_bundle, read_manifest
from palate.models.factorization_machine import FactorizationMachine
from palate.spark.jobs.train_fm import command as train_fm

pytestmark = pytest.mark.spark


@pytest.fixture(scope="module")
def table() -> pa.Table:
    """600 visits; somebody buys where their kind and the shop's agree, and when it is cheap."""
    rng = np.random.default_rng(0)
    person, shop, price = rng.integers(0, 20, 600), rng.integers(0, 10, 600), rng.normal(50, 10, 600)
    log_odds = np.where(person % 2 == shop % 2, 3.0, -3.0) - (price - 50) / 5
    return pa.table(
        {
            "person": [f"p{value}" for value in person],
            "shop": shop,
            "price": price,
            "bought": (rng.logistic(size=600) < log_odds).astype(int),
            "spent": log_odds * 10 + 100,
        }
    )


def held(path: Path) -> FactorizationMachine:
    model = load_bundle(path)
    assert isinstance(model, FactorizationMachine)
    return model


def test_a_classification_of_a_parquet_table(job: Any, table: pa.Table, tmp_path: Path) -> None:
    parquet.write_table(table, tmp_path / "visits.parquet")
    columns = ["--label", "bought", "--categorical", "person,shop", "--numeric", "price", "--step-size", "0.05"]
    code, said = job(train_fm, "--input", tmp_path / "visits.parquet", "--output", tmp_path / "fm", *columns)
    assert code == 0, said
    metrics = read_manifest(tmp_path / "fm").metrics
    assert metrics["holdout_auc"] > 0.85
    assert 0 < metrics["holdout_logloss"] < 0.5
    model = held(tmp_path / "fm")
    assert dict(model.signature().inputs) == {"price": "float", "person": "string", "shop": "int64"}
    answer = model.predict({"person": ["p0", "p0", "nobody"], "shop": [0, 1, 0], "price": [50, 50, 20]})
    assert answer["predicted_label"] == [1, 0, 1]
    report = json.loads((tmp_path / "fm.job.json").read_text())
    assert report["arguments"]["categorical"] == ["person", "shop"]
    assert report["lineage"]["rows"] < 600


def test_a_regression_of_a_csv_folder(job: Any, table: pa.Table, tmp_path: Path) -> None:
    (tmp_path / "visits").mkdir()
    csv.write_csv(table, tmp_path / "visits" / "part.csv")
    columns = ["--loss", "squared", "--label", "spent", "--categorical", "person,shop", "--numeric", "price"]
    code, said = job(
        train_fm, "--input", tmp_path / "visits", "--output", tmp_path / "fm", *columns, "--step-size", "0.05"
    )
    assert code == 0, said
    assert read_manifest(tmp_path / "fm").metrics["holdout_rmse"] < 0.4 * np.std(np.asarray(table["spent"]))
    assert list(held(tmp_path / "fm").signature().outputs) == ["score"]


def test_a_prepared_dataset_with_drawn_negatives(job: Any, prepared: Path, tmp_path: Path) -> None:
    arguments = ["--negatives", "3", "--factors", "4"]
    code, said = job(train_fm, "--input", prepared, "--output", tmp_path / "fm", *arguments)
    assert code == 0, said
    assert 0 < read_manifest(tmp_path / "fm").metrics["holdout_auc"] < 1
    model = held(tmp_path / "fm")
    assert list(model.signature().inputs) == ["user", "item", "item_category"]
    # The taste of the shop's users is one of three categories: who likes what is an interaction of both.
    pairs = [(user, item) for user in range(40) for item in range(30)]
    users, items = [f"u{user:02}" for user, _ in pairs], [f"i{item:02}" for _, item in pairs]
    kinds = [["tea", "coffee", "cocoa"][item % 3] for _, item in pairs]
    scores = np.array(model.predict({"user": users, "item": items, "item_category": kinds})["score"])
    alike = np.array([user % 3 == item % 3 for user, item in pairs])
    assert scores[alike].mean() > 1.5 * scores[~alike].mean()


def test_a_prepared_dataset_s_ratings_and_registration(
    job: Any, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from palate.tracking import Tracker

    monkeypatch.setenv("PALATE_HOME", str(tmp_path / "home"))
    arguments = ["--loss", "squared", "--register", "--name", "ratings", "--alias", "challenger"]
    code, said = job(train_fm, "--input", prepared, "--output", tmp_path / "fm", *arguments)
    assert (code, "version 1 of ratings" in said) == (0, True), said
    version, path = Tracker().resolve("ratings", "challenger")
    assert (version, read_manifest(path).kind) == ("1", "fm")
    assert 0 < read_manifest(path).metrics["holdout_rmse"] < 2


def test_negatives_are_items_that_the_user_never_had(spark: Any, prepared: Path) -> None:
    from palate.spark.examples import examples
    from palate.spark.prepared import Prepared

    data = Prepared(prepared)
    had = {pair for part in ("train", "test") for pair in _pairs(data.table(part))}
    made = examples(spark, data, classes=True, negatives=4)
    again = examples(spark, data, classes=True, negatives=4)
    for part, other in ((made.train, again.train), (made.test, again.test)):
        rows = part.toArrow()
        negative = {pair for pair, label in zip(_pairs(rows), rows["label"].to_pylist(), strict=True) if label == 0}
        assert negative
        assert not negative & had
        assert sorted(map(str, rows.to_pylist())) == sorted(map(str, other.repartition(5).toArrow().to_pylist()))
    positive = {pair for pair, label in zip(_pairs(rows), rows["label"].to_pylist(), strict=True) if label == 1}
    assert positive == set(_pairs(data.table("test")))


def _pairs(table: pa.Table) -> list[tuple[Any, Any]]:
    return list(zip(table["user"].to_pylist(), table["item"].to_pylist(), strict=True))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--label", "bought"], "name at least one column"),
        (["--categorical", "person"], "no column 'label'"),
        (["--label", "bought", "--categorical", "person,age"], "no column 'age'"),
        (["--label", "person", "--categorical", "shop"], "no numbers"),
        (["--label", "spent", "--categorical", "shop"], "neither 0 nor 1"),
        (["--label", "bought", "--categorical", "price"], "no categories"),
        (["--label", "bought", "--categorical", "shop", "--step-size", "0"], "above 0"),
        (["--label", "bought", "--categorical", "shop", "--liked", "4"], "--liked"),
        (["--alias", "champion"], "--register"),
        (["--input", "/nowhere", "--categorical", "shop"], "no such file"),
    ],
)
def test_bad_arguments(job: Any, table: pa.Table, tmp_path: Path, arguments: list[str], words: str) -> None:
    parquet.write_table(table.slice(0, 50), tmp_path / "visits.parquet")
    code, said = job(train_fm, "--input", tmp_path / "visits.parquet", "--output", tmp_path / "fm", *arguments)
    assert (code, words in said, "Traceback" in said) == (2, True, False), said
    assert not (tmp_path / "fm").exists()


def test_bad_arguments_with_a_prepared_dataset(job: Any, prepared: Path, tmp_path: Path) -> None:
    for arguments, words in (
        (["--label", "weight"], "goes with a table"),
        (["--liked", "4", "--negatives", "2"], "--negatives"),
        (["--loss", "squared", "--liked", "4"], "--loss logistic"),
        (["--user-attributes", "age"], "nothing is known of its users"),
    ):
        code, said = job(train_fm, "--input", prepared, "--output", tmp_path / "fm", *arguments)
        assert (code, words in said, "Traceback" in said) == (2, True, False), said
