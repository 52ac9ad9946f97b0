"""Trials of a search on the executors of a cluster, as many at once as it has cores."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from palate.tuning.trials import HERE, Candidate, Outcome, Place, Task

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def place_of(spark: SparkSession) -> Place:
    """The executors; this process where Spark runs in it, too: a fit uses all cores by itself."""
    if re.match(r"local(\[|$)", spark.sparkContext.master or ""):
        return HERE
    return executors_of(spark)


def executors_of(spark: SparkSession) -> Place:
    """A trial for each core that Spark has. The interactions go to the executors once for a search."""
    return Place(_Executors(spark), spark.sparkContext.defaultParallelism)


class _Executors:
    """Runs a batch as one job of a task for each candidate."""

    def __init__(self, spark: SparkSession) -> None:
        self._context = spark.sparkContext
        self._sent: tuple[Task, Any] | None = None

    def __call__(self, task: Task, candidates: Sequence[Candidate]) -> list[Outcome]:
        if not candidates:
            return []
        if self._sent is None or self._sent[0] is not task:
            self._sent = task, self._context.broadcast(task)
        shared = self._sent[1]

        def run(candidate: Candidate) -> Outcome:
            found: Outcome = shared.value.run(candidate)
            return found

        return list(self._context.parallelize(list(candidates), len(candidates)).map(run).collect())
