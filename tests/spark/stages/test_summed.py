"""Arrays summed over tasks: in pieces, in order, each size for itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("pyspark", reason="needs pyspark: pip install 'palate[spark]'")

from pyspark.sql import SparkSession

from palate.errors import SchemaError
from palate.spark.stages.summed import PIECE, sum_tasks

pytestmark = pytest.mark.spark


def test_the_driver_receives_each_sum_once(spark: SparkSession) -> None:
    """Whatever the number of tasks: Spark is asked to give up if results are larger than one array and a half."""
    width = PIECE + 3

    def work(task: int, batches: Any) -> Any:
        if task == 4:
            return None
        array = np.full(width, 0.1 * (task + 1)) if task < 4 else np.arange(6.0).reshape(2, 3)
        return {"task": np.asarray(task), "rows": np.asarray(sum(batch.num_rows for batch in batches))}, array

    context = spark.sparkContext._jsc.sc()
    bound = context.conf().get("spark.driver.maxResultSize", "1g")
    context.conf().set("spark.driver.maxResultSize", str(12 * width))
    try:
        told, sums = sum_tasks(spark.range(0, 60, 1, numPartitions=6), work, few=0)
    finally:
        context.conf().set("spark.driver.maxResultSize", bound)
    assert [(int(part["task"]), int(part["rows"])) for part in told] == [(n, 10) for n in (0, 1, 2, 3, 5)]
    assert sorted(sums) == [6, width]
    assert set(sums[width]) == {0.1 + 0.2 + 0.1 * 3 + 0.4}
    assert sums[6].tolist() == [0, 1, 2, 3, 4, 5]
    directly, same = sum_tasks(spark.range(0, 60, 1, numPartitions=6), work)
    assert directly == told
    assert all(np.array_equal(same[size], sums[size]) for size in (6, width))


def test_an_error_comes_back_as_itself(spark: SparkSession) -> None:
    def work(task: int, batches: Any) -> Any:
        if task == 1:
            raise SchemaError("is odd.", where="features")
        return {}, np.ones(3)

    with pytest.raises(SchemaError, match="features: is odd"):
        sum_tasks(spark.range(0, 60, 1, numPartitions=3), work)
    assert sum_tasks(spark.range(0), lambda task, batches: None) == ([], {})
