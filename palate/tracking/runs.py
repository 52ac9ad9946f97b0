"""Runs: opened, logged to, ended, and nested under the run that is open around them.

Which run is open is known per thread, so that the steps of a pipeline, side by side, each nest their own.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from palate.tracking.connection import Connection

if TYPE_CHECKING:
    from mlflow import MlflowClient

PARENT_TAG = "mlflow.parentRunId"
_MAX_PARAM = 6000
_MAX_TAG = 5000
_open: ContextVar[Run | None] = ContextVar("open_run", default=None)


@dataclass
class Run:
    """An open run. Every method raises RegistryError if MLflow is away."""

    id: str
    uri: str
    connection: Connection = field(repr=False)
    status: str = "FINISHED"
    """What it ends as, unless the block around it raises: FINISHED, FAILED or KILLED."""

    def log(
        self,
        *,
        params: Mapping[str, Any] | None = None,
        metrics: Mapping[str, float] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Adds to the run. A parameter can be set once; `recall@20` is logged as `recall_at_20`."""
        from mlflow.entities import RunTag

        with self.connection.client() as client:
            log_numbers(client, self.id, flat(params or {}), metrics or {})
            told = [RunTag(_safe(name)[:250], value[:_MAX_TAG]) for name, value in (tags or {}).items()]
            if told:
                client.log_batch(self.id, tags=told)


def current_run() -> Run | None:
    """The run that is open in this thread."""
    return _open.get()


@contextmanager
def open_run(run: Run) -> Iterator[Run]:
    """Makes it the current one inside the block, and ends it."""
    token = _open.set(run)
    try:
        yield run
    except BaseException:
        run.status = "FAILED"
        raise
    finally:
        _open.reset(token)
        with run.connection.client() as client:
            client.set_terminated(run.id, run.status)


@contextmanager
def inside(run: Run | None) -> Iterator[None]:
    """Makes a run of another thread the current one of this thread inside the block."""
    token = _open.set(run)
    try:
        yield
    finally:
        _open.reset(token)


def log_numbers(client: MlflowClient, run_id: str, params: Mapping[str, str], metrics: Mapping[str, float]) -> None:
    """Parameters and metrics, in as many calls as it takes."""
    from mlflow.entities import Metric, Param

    now = time.time_ns() // 1_000_000
    # MLflow's names have no "@", so recall@20 is shown as recall_at_20
    numbers = [Metric(_safe(name.replace("@", "_at_")), float(value), now, 0) for name, value in metrics.items()]
    words = [Param(name, value[:_MAX_PARAM]) for name, value in params.items()]
    for start in range(0, max(len(numbers), len(words)), 100):  # what one call may hold
        client.log_batch(run_id, numbers[start : start + 100], words[start : start + 100])


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested mappings as `outer.inner`; the constructor parameters that a manifest keeps under `params` lose that."""
    found: dict[str, str] = {}
    for key, value in values.items():
        name = prefix + _safe(str(key))
        if isinstance(value, Mapping):
            found |= flat(value, "" if not prefix and key == "params" else f"{name}.")
        else:
            found[name[:250]] = value if isinstance(value, str) else json.dumps(value, default=str)
    return found


def _safe(name: str) -> str:
    """`name` with only the characters that MLflow takes in the name of a parameter or tag."""
    return "".join(c if c.isalnum() or c in "_-. /" else "_" for c in name)
