"""Work on partitions, alone and in a group: results in order, errors as themselves, lost workers."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pyspark", reason="needs pyspark: pip install 'palate[spark]'")

from pyspark.sql import SparkSession

from palate.errors import SchemaError, ThrottledError
from palate.spark.failures import explain
from palate.spark.stages.group import Group, run_together
from palate.spark.stages.tasks import at_once, decode_error, encode_error, run_tasks, slots

pytestmark = pytest.mark.spark


def test_results_come_back_in_the_order_of_the_partitions(spark: SparkSession) -> None:
    def work(task: int, batches: Any) -> Any:
        ids = [value for batch in batches for value in batch.column("id").to_pylist()]
        return {"ids": np.array(ids), "task": np.asarray(task)} if ids else None

    found = run_tasks(spark.range(0, 7, 1, numPartitions=3), work)
    assert [int(part["task"]) for part in found] == [0, 1, 2]
    assert np.concatenate([part["ids"] for part in found]).tolist() == list(range(7))
    assert run_tasks(spark.range(0), work) == []


def test_rows_come_at_most_so_many_at_once_and_the_session_keeps_its_own_bound(spark: SparkSession) -> None:
    def work(task: int, batches: Any) -> Any:
        return {"sizes": np.array([batch.num_rows for batch in batches])}

    key = "spark.sql.execution.arrow.maxRecordsPerBatch"
    frame, before = spark.range(0, 10, 1, numPartitions=1), spark.conf.get(key)
    try:
        for bound, sizes in (("0", [4, 4, 2]), ("7", [4, 4, 2]), ("3", [3, 3, 3, 1])):
            spark.conf.set(key, bound)
            with at_once(frame, 4):
                assert run_tasks(frame, work)[0]["sizes"].tolist() == sizes
            assert spark.conf.get(key) == bound
    finally:
        spark.conf.set(key, before)


def test_numbers_alone_are_not_measured_and_the_session_keeps_its_own_bounds(spark: SparkSession) -> None:
    """A batch may take 64 bytes, and Spark ends it after the row that takes more: unless told not to look."""

    def work(task: int, batches: Any) -> Any:
        return {"sizes": np.array([batch.num_rows for batch in batches])}

    key = "spark.sql.execution.arrow.maxBytesPerBatch"
    before, numbers = spark.conf.get(key), spark.range(0, 100, 1, numPartitions=1)
    try:
        spark.conf.set(key, "64b")
        assert run_tasks(numbers, work)[0]["sizes"].tolist() == [100]
        assert max(run_tasks(numbers.selectExpr("string(id)"), work)[0]["sizes"]) < 100
        with at_once(numbers, 4), ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda _: run_tasks(numbers, work)[0]["sizes"].tolist(), range(8)))
        assert found == [[4] * 25] * 8
        assert spark.conf.get(key) == "64b"
    finally:
        spark.conf.set(key, before)


def test_an_error_of_ours_comes_back_as_itself(spark: SparkSession) -> None:
    def work(task: int, batches: Any) -> Any:
        next(batches)
        raise SchemaError("is odd.", where=f"partition {task}", hint="Even it out.")

    with pytest.raises(SchemaError) as raised:
        run_tasks(spark.range(0, 40_000, 1, numPartitions=2), work)
    assert (raised.value.message, raised.value.where, raised.value.hint) == ("is odd.", "partition 0", "Even it out.")


def test_errors_survive_the_journey() -> None:
    error = decode_error(encode_error(SchemaError("bad", where="here")))
    assert type(error) is SchemaError
    assert (error.message, error.where, error.hint) == ("bad", "here", None)
    assert isinstance(decode_error(encode_error(ThrottledError("slow down", retry_after=1.0))), ThrottledError)


def test_an_error_raised_in_a_udf_is_explained_as_ours(spark: SparkSession) -> None:
    def work(batches: Any) -> Any:
        raise SchemaError("is odd.", where="features")
        yield

    with pytest.raises(Exception, match="is odd") as raised:
        spark.range(3).mapInArrow(work, "id bigint").collect()
    told = explain(raised.value)
    assert type(told) is SchemaError
    assert "features: is odd." in str(told)


@pytest.mark.parametrize("partitions", [1, 2, 5])
def test_a_group_sums_and_gathers(spark: SparkSession, partitions: int) -> None:
    def work(group: Group, batches: Any) -> Any:
        mine = float(sum(batch.column("id").to_numpy().sum() for batch in batches))
        return {"sum": group.sum(np.array([mine, 1.0])), "gathered": np.array(group.gather(group.rank))}

    found = run_together(spark.range(0, 100, 1, numPartitions=partitions), work)
    assert len(found) == 2
    for part in found:
        assert part["sum"].tolist() == [4950.0, 2.0]
        assert part["gathered"].tolist() == [0, 1]


def test_slots_are_what_can_run_at_once(spark: SparkSession) -> None:
    assert slots(spark.range(3)) == 2


def test_a_group_of_one_needs_no_peer(spark: SparkSession) -> None:
    found = run_together(spark.range(10), lambda group, batches: {"n": group.sum(np.array([3.0]))}, tasks=1)
    assert [part["n"].tolist() for part in found] == [[3.0]]


def test_an_error_in_one_task_ends_all_of_them(spark: SparkSession) -> None:
    def work(group: Group, batches: Any) -> Any:
        def load() -> int:
            count = sum(batch.num_rows for batch in batches)
            if group.rank == 1:
                raise SchemaError("there is a hole.", where="features")
            return count

        group.read(load)
        return {"sum": group.sum(np.ones(1))}

    with pytest.raises(SchemaError, match="there is a hole"):
        run_together(spark.range(0, 10, 1, numPartitions=2), work)


def test_a_group_that_lost_a_worker_says_so_or_starts_again(spark: SparkSession, tmp_path: Path) -> None:
    """One task kills its own process once. Spark runs the whole stage again from the data: the sum is right, never a
    part of it."""
    marker = tmp_path / "killed"

    def work(group: Group, batches: Any) -> Any:
        mine = float(sum(batch.column("id").to_numpy().sum() for batch in batches))
        first = group.sum(np.array([mine]))[0]
        if group.rank == 1 and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return {"sum": group.sum(np.array([mine])), "first": np.asarray(first)}

    found = run_together(spark.range(0, 100, 1, numPartitions=2), work)
    assert marker.exists()
    assert [part["sum"].tolist() for part in found] == [[4950.0], [4950.0]]
