"""Worker processes: they do the service's jobs beside the servers, and are started anew when they die."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess

from sqlalchemy import Engine

from labeling.settings import LabelingSettings
from labeling.work import handlers
from labeling.work.planner import Planner
from palate.store import migrate, open_engine, run_worker

POLL = 1.0
NICE = 5
"""How far a worker stands back when the servers want the processor."""
_RESPAWN = 1.0
_PATIENCE = 5.0
log = logging.getLogger("palate.labeling")


def work(settings: LabelingSettings, stop: threading.Event, *, lease_seconds: float = 30.0) -> None:
    """Plan and do jobs until `stop` is set."""
    from labeling.store import MIGRATIONS

    engine = open_engine(settings.database("labeling"))
    migrate(engine, "labeling", MIGRATIONS)
    planner = threading.Thread(target=Planner(engine, settings).run, args=(stop,), name="planner", daemon=True)
    planner.start()
    try:
        run_worker(engine, handlers(engine, settings), stop, lease_seconds=lease_seconds, poll_seconds=POLL)
    finally:
        stop.set()
        planner.join(_PATIENCE)
        engine.dispose()


def work_off(engine: Engine, settings: LabelingSettings) -> None:
    """Plan and do all that is due now, and what becomes due by that; then return."""
    planner, stop, found = Planner(engine, settings), threading.Event(), handlers(engine, settings)
    while planner.look():
        run_worker(engine, found, stop, until_idle=True)
    run_worker(engine, found, stop, until_idle=True)


def main() -> None:
    """What a worker process runs: until it is told to stop, or the process that started it is gone."""
    from palate.web.serve import configure_logging

    configure_logging()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_until_gone, args=(parent.sentinel, stop), daemon=True).start()
    os.nice(NICE)
    work(LabelingSettings.read(), stop)


def _until_gone(sentinel: int, stop: threading.Event) -> None:
    wait([sentinel])
    stop.set()


class Workers:
    """So many worker processes while the block lasts, each started anew when it dies."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._stop = threading.Event()
        self._made: list[BaseProcess] = []
        self._keeper = threading.Thread(target=self._keep, name="workers", daemon=True)

    def __enter__(self) -> Workers:
        if self._number:
            self._keeper.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._keeper.is_alive():
            self._keeper.join(_PATIENCE)
        for process in self._made:
            process.terminate()
        for process in self._made:
            process.join(_PATIENCE)  # a job in hand is given back; one that says nothing for long is given up
            if process.is_alive():
                process.kill()
                process.join()

    def _keep(self) -> None:
        context = multiprocessing.get_context("spawn")
        while not self._stop.is_set():
            self._made = [process for process in self._made if process.is_alive()]
            while len(self._made) < self._number:
                process = context.Process(target=main, name="palate-labeling-worker")
                process.start()
                self._made.append(process)
            self._stop.wait(_RESPAWN)
