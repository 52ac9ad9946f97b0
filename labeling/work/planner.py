"""What is due, looked for every now and then by each worker: nobody's turn waits for it.

Jobs that come of it have a key, so that several workers that see the same queue it once.
"""

from __future__ import annotations

import logging
import threading
import time

from sqlalchemy import Engine

from labeling.hooks.collect import collect
from labeling.label_studio import jobs as label_studio
from labeling.settings import LabelingSettings
from labeling.store import projects, runs
from labeling.store.runs import Run
from labeling.work import consensus, diversity, rounds
from palate.errors import PalateError, UnknownIdError
from palate.store import Job, Jobs, reading, writing

PAUSE = 1.0
"""Seconds between two looks; longer where a look takes long, so that it never is more than a tenth of the time."""
SYNC_PAUSE = 10.0
"""Seconds between two looks for projects that are to be synchronised."""
KEPT_FRESH = 60.0
"""Seconds between two computations of a project's consensus while answers come."""
log = logging.getLogger("palate.labeling")


class Planner:
    """Queues what is due in one store."""

    def __init__(
        self, engine: Engine, settings: LabelingSettings | None = None, *, kept_fresh: float = KEPT_FRESH
    ) -> None:
        self._engine, self._settings = engine, settings
        self._jobs = Jobs(engine)
        self._next_sync = 0.0
        self._kept_fresh = kept_fresh

    def run(self, stop: threading.Event) -> None:
        """Look until `stop` is set. A database that is away is waited for."""
        while not stop.is_set():
            began = time.monotonic()
            try:
                self.look()
            except PalateError as error:
                log.warning("Nothing was planned: %s", error)
            except Exception:
                log.exception("Nothing was planned")
            stop.wait(max(PAUSE, 9 * (time.monotonic() - began)))

    def look(self) -> int:
        """Queue what is due now: steps of runs, consensus, orders, synchronisations, messages to webhooks; how many."""
        with reading(self._engine) as db:
            active = runs.active(db)
            listed = projects.listed(db)
        consolidated = [project for project in listed if project.consensus != consensus.NONE]
        found = sum(self._run(run) for run in active)
        for project in consolidated:
            found += consensus.enqueue_due(self._engine, project, self._kept_fresh) is not None
        for project in listed:
            found += project.ordering == diversity.ORDER and diversity.enqueue_due(self._engine, project) is not None
        if self._settings is not None and time.monotonic() >= self._next_sync:
            self._next_sync = time.monotonic() + SYNC_PAUSE
            found += label_studio.enqueue_due(self._engine, self._settings)
        return found + collect(self._engine)

    def _run(self, run: Run) -> bool:
        job = None if run.job is None else self._found(run.job)
        if job is not None and job.state in ("queued", "running"):
            return False
        if job is not None and job.state in ("failed", "cancelled"):
            state = runs.FAILED if job.state == "failed" else runs.PAUSED
            self._change(run, state=state, error=job.error)
            return False
        with reading(self._engine) as db:
            due = run.state == runs.STOPPING or runs.is_due(db, run)
        if due:
            step = "stop" if run.state == runs.STOPPING else run.step
            payload = {"project": run.project_id, "run": run.id, "step": run.step}
            key = f"{run.id}/{step}/{run.tries}"
            self._change(run, job=self._jobs.enqueue(rounds.KIND, payload, key=key))
        return due

    def _found(self, job: int) -> Job | None:
        try:
            return self._jobs.get(job)
        except UnknownIdError:
            return None

    def _change(self, run: Run, **values: object) -> None:
        """Unless somebody has changed the run meanwhile."""
        with writing(self._engine) as db:
            now = runs.get(db, run.id, hold=True)
            if (now.state, now.step, now.tries) == (run.state, run.step, run.tries):
                runs.change(db, run, **values)
