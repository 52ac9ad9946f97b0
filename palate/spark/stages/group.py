"""Tasks that compute together: all partitions at once, each able to sum arrays with the others.

The tasks are one barrier stage and a gloo group; they meet at a TCPStore on the driver. One sum of a small array
takes less than a millisecond, where a Spark job per round takes 200. If a task dies, so does the stage: the others
see their connection closed, and all of them start again from the data.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
from pyspark.sql import DataFrame
from pyspark.sql import functions as f

from palate.engines import import_torch
from palate.errors import PalateError
from palate.spark.failures import explain
from palate.spark.stages.columns import quoted
from palate.spark.stages.tasks import Batches, Results, decode_error, encode_error, run_tasks, slots

MEETING_SECONDS = 60
"""How long tasks wait for each other at the start before the stage fails; a barrier stage starts all at once."""
SILENCE = timedelta(hours=12)
"""How long a task may keep the others waiting in a sum, while it still reads, say. One that died does not: its
connections close."""

ATTEMPTS = 3
"""How often a stage that lost a task is run before it is given up; Spark's own spark.task.maxFailures is 4."""

_WAIT = timedelta(seconds=MEETING_SECONDS)
_log = logging.getLogger("palate.spark")

Together = Callable[["Group", Batches], "Results | None"]


@dataclass(frozen=True)
class Group:
    """A task and its peers. Every method is to be called by all of them, in the same order.

    rank: number of this task. size: how many there are.
    """

    rank: int
    size: int

    def sum(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Elementwise over all tasks, in place where the array is writable and contiguous; the same bits in each."""
        if self.size == 1:
            return array
        import torch.distributed as dist

        held = np.ascontiguousarray(array)
        tensor = import_torch().from_numpy(held)
        dist.all_reduce(tensor)
        return held

    def gather(self, value: Any) -> list[Any]:
        """What each task gave, by rank: arrays, numbers, text."""
        if self.size == 1:
            return [value]
        import torch.distributed as dist

        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values

    def agree(self, error: PalateError | None) -> None:
        """Raises, in every task, the error of the first that has one, so that none waits for a peer that gave up."""
        for text in self.gather(None if error is None else encode_error(error)):
            if text is not None:
                raise decode_error(text)

    def read(self, load: Callable[[], Any]) -> Any:
        """`load()`, whose PalateError in any task is raised in all of them."""
        error, value = None, None
        try:
            value = load()
        except PalateError as raised:
            error = raised
        self.agree(error)
        return value


def run_together(
    frame: DataFrame, work: Together, *, tasks: int | None = None, ordered: bool = False
) -> list[dict[str, npt.NDArray[Any]]]:
    """`work` in every partition at the same time; the named arrays that each gave, by rank.

    The frame is moved into `tasks` partitions (as many as can run at once, unless told) where it has another number.
    ordered: rows that were moved, which a shuffle hands on in any order, are sorted by a hash of what they hold.
    Raises the PalateError that a task raised. When a task dies the stage does, as Spark has it for barrier stages
    whose results are collected; it is run again from the data, ATTEMPTS times in all.
    """
    tasks = min(tasks or slots(frame), slots(frame))
    moved = into(frame, tasks)
    if ordered and moved is not frame:
        moved = moved.sortWithinPartitions(f.xxhash64(*(f.col(quoted(name)) for name in frame.columns)))
    frame = moved
    if tasks == 1:
        return run_tasks(frame, lambda rank, batches: work(Group(0, 1), batches))
    store = import_torch().distributed.TCPStore
    host = frame.sparkSession.conf.get("spark.driver.host", "127.0.0.1") or "127.0.0.1"
    attempt = 1
    while True:
        meeting = store(host, 0, is_master=True, wait_for_workers=False, timeout=_WAIT)
        try:
            return run_tasks(frame, _joined(work, host, meeting.port), barrier=True)
        except Exception as error:
            if attempt == ATTEMPTS or "barrier ResultStage" not in str(error):
                raise
            attempt += 1
            _log.warning("a task was lost; the stage starts again (%d of %d): %s", attempt, ATTEMPTS, explain(error))


def into(frame: DataFrame, tasks: int) -> DataFrame:
    """The frame in exactly `tasks` partitions; where there are more, whole ones move, so that neighbours stay together.

    A barrier stage takes no coalesce, hence a shuffle where the number differs, or where only running the query would
    tell it.
    """
    plan = frame._jdf.queryExecution().executedPlan().toString()
    known = "Exchange" not in plan.split("InMemoryRelation")[0]
    partitions = frame._jdf.queryExecution().toRdd().getNumPartitions() if known else None
    if partitions == tasks:
        return frame
    if partitions is not None and partitions < tasks:
        return frame.repartition(tasks)
    return frame.repartitionById(tasks, f.spark_partition_id() % tasks)


def _joined(work: Together, host: str, port: int) -> Callable[[int, Batches], Results | None]:
    def run(rank: int, batches: Batches) -> Results | None:
        from pyspark import BarrierTaskContext

        dist = import_torch().distributed
        peers = [info.address.rsplit(":", 1)[0] for info in BarrierTaskContext.get().getTaskInfos()]
        own = len(set(peers)) == 1 and "GLOO_SOCKET_IFNAME" not in os.environ
        if own:  # one machine: its name may not resolve
            os.environ["GLOO_SOCKET_IFNAME"] = "lo"
        store = dist.TCPStore(host, port, is_master=False, timeout=_WAIT)
        store.set(f"here/{rank}", b"")
        store.wait([f"here/{other}" for other in range(len(peers))], _WAIT)
        try:
            dist.init_process_group("gloo", store=store, rank=rank, world_size=len(peers), timeout=SILENCE)
            return work(Group(rank, len(peers)), batches)
        finally:
            if own:  # this worker's next group may span machines
                del os.environ["GLOO_SOCKET_IFNAME"]
            if dist.is_initialized():
                dist.destroy_process_group()

    return run
