"""Splits on DataFrames give the rows that `palate.dataset.splits` gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from palate.dataset import splits as reference
from palate.dataset.schema import Interactions
from palate.errors import ParameterError, SchemaError
from palate.spark.splits import METHODS, SplitOptions, with_part

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark


@pytest.fixture(scope="module")
def interactions() -> Interactions:
    """Histories of one to thirty rows, many of the same second."""
    rng = np.random.default_rng(3)
    users = np.repeat(np.arange(30), np.arange(1, 31))
    items = np.concatenate([rng.permutation(60)[:n] for n in range(1, 31)])
    return Interactions.from_ids(users, items, timestamps=rng.integers(1000, 1040, len(users)))


def rows_of(found: Interactions) -> set[tuple[int, int]]:
    return set(zip(found.user_codes.tolist(), found.item_codes.tolist(), strict=True))


def spark_rows(spark: SparkSession, interactions: Interactions, options: SplitOptions) -> dict[str, set[Any]]:
    n = len(interactions)
    table = pa.table(
        {
            "user_code": interactions.user_codes,
            "item_code": interactions.item_codes,
            "timestamp": interactions.timestamps,
            "file": ["f"] * n,
            "row": np.arange(n),
        }
    )
    rows = with_part(spark.createDataFrame(table).repartition(5), options).collect()
    return {part: {(r["user_code"], r["item_code"]) for r in rows if r["part"] == part} for part in ("train", "test")}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (SplitOptions("leave_last_fraction", 0.2), {"method": "leave_last_fraction", "fraction": 0.2}),
        (SplitOptions("leave_last_fraction", 0.7), {"method": "leave_last_fraction", "fraction": 0.7}),
        (SplitOptions("leave_last_out", n=3), {"method": "leave_last_out", "n": 3}),
        (SplitOptions("time", 0.3), {"method": "time", "fraction": 0.3}),
        (SplitOptions("cold_items", 0.25, seed=9), {"method": "cold_items", "holdout": 0.25, "seed": 9}),
        (SplitOptions("cold_users", 0.5, seed=2), {"method": "cold_users", "holdout": 0.5, "seed": 2}),
    ],
    ids=lambda value: value.method if isinstance(value, SplitOptions) else "",
)
def test_the_same_rows(
    spark: SparkSession, interactions: Interactions, options: SplitOptions, expected: dict[str, Any]
) -> None:
    wanted = reference.split(interactions, **expected)
    assert spark_rows(spark, interactions, options) == {"train": rows_of(wanted.train), "test": rows_of(wanted.test)}


def test_random_keeps_its_share_and_its_seed(spark: SparkSession, interactions: Interactions) -> None:
    found = [spark_rows(spark, interactions, SplitOptions("random", 0.3, seed=seed))["test"] for seed in (1, 1, 2)]
    assert found[0] == found[1]
    assert found[0] != found[2]
    assert 0.2 < len(found[0]) / len(interactions) < 0.4


@pytest.mark.parametrize("method", [method for method in METHODS if method in ("leave_last_out", "time", "given")])
def test_a_split_that_the_columns_do_not_allow_is_refused(spark: SparkSession, method: str) -> None:
    rows = spark.createDataFrame([(0, 0, "f", 1)], "user_code int, item_code int, file string, row long")
    with pytest.raises(SchemaError):
        with_part(rows, SplitOptions(method))


@pytest.mark.parametrize("values", [{"method": "never"}, {"share": 0}, {"share": 1}, {"share": float("nan")}, {"n": 0}])
def test_wrong_options_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ParameterError):
        SplitOptions(**values)
