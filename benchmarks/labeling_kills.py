"""`python -m benchmarks.labeling_kills --points 100`: the labeling service killed at so many moments, by SIGKILL.

Half of the moments are during annotation: eight people answer over HTTP, all processes of the service die at once, it
is started anew, the people send again what was not acknowledged. The others are during imports, whose worker dies.
Afterwards every acknowledged answer is there once, no task has more than its overlap, and every import is whole.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import click
from sqlalchemy import func, select

from benchmarks.annotators import Load, label
from benchmarks.labeling_house import LABELS, House, house
from benchmarks.labeling_turns import ANSWER, check
from labeling.store.definition import Definition
from labeling.store.tables import projects, slots, tasks
from palate.store import Jobs, reading, writing
from palate.store.tables import jobs

_ROWS, _PEOPLE, _EACH = 20_000, 8, 10
"""Rows of an import, people who answer, and kills during one import: fewer than its job outlives."""
_WORKER = "from labeling.work import process; process.POLL, process.NICE = 0.02, 0; process.main()"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--points", default=10, show_default=True, help="Moments in all.")
@click.option("--database", type=click.Choice(["sqlite", "postgresql"]), default="sqlite", show_default=True)
@click.option("--seed", default=0, show_default=True)
def main(points: int, database: str, seed: int) -> None:
    """Kill the service again and again, and look at what is left."""
    draw = random.Random(seed)
    with house(database) as service:
        answered = annotate(service, points - points // 2, draw)
        click.echo(f"{points - points // 2} kills during annotation: {answered:,} answers acknowledged, none lost")
        left = points // 2
        while left:
            kills = min(left, _EACH)
            take_in(service, kills, draw)
            left -= kills
            click.echo(f"{kills} kills during an import: whole")


def annotate(service: House, kills: int, draw: random.Random) -> int:
    """How many answers people gave meanwhile. Raises RuntimeError if one is lost."""
    project = service.project(100_000, 2)
    tokens, names = service.people(_PEOPLE)
    service.start(workers=2)
    over, load = threading.Event(), Load()
    outcome: list[Load] = []

    def work() -> None:
        outcome.append(label(service.port, project, tokens, ANSWER, turns=1_000_000, until=over.is_set, load=load))

    people = threading.Thread(target=work)
    people.start()
    for _ in range(kills):
        seen = len(load.answered)
        while len(load.answered) == seen and people.is_alive():  # they are at work again
            time.sleep(0.005)
        time.sleep(draw.uniform(0, 0.5))
        service.kill()
        service.start(workers=2)
    over.set()
    people.join()
    if not outcome:
        raise RuntimeError("the people could not go on")
    check(service, project, outcome[0], names)
    service.stop()
    return len(outcome[0].answered)


def take_in(service: House, kills: int, draw: random.Random) -> None:
    """Raises RuntimeError if an import is not what it would be without the kills."""
    engine = service.service.engine
    project = service.service.create(Definition(f"Films {time.time_ns()}", LABELS, overlap=2))[0].id
    rows = "\n".join(json.dumps({"id": f"film-{each}", "text": "A long way home"}) for each in range(_ROWS)).encode()
    job = service.service.automation.import_file(project, rows, "jsonl").id
    for _ in range(kills):
        worker = _worker(service.folder, service.url)
        while Jobs(engine).get(job).state == "queued":
            time.sleep(0.005)
        time.sleep(draw.uniform(0, 0.5))
        _kill(worker)
        with writing(engine) as db:  # its lease is over at once, so that nobody has to wait
            db.execute(jobs.update().where(jobs.c.state == "running").values(state="queued", lease_until=None))
    worker = _worker(service.folder, service.url)
    while (state := Jobs(engine).get(job)).state in ("queued", "running"):
        time.sleep(0.05)
    _kill(worker)
    with reading(engine) as db:
        told = db.scalar(select(projects.c.tasks).where(projects.c.id == project))
        there = db.scalar(select(func.count()).select_from(tasks).where(tasks.c.project_id == project))
        places = db.scalar(select(func.count()).select_from(slots).where(slots.c.project_id == project))
    if (state.state, told, there, places) != ("done", _ROWS, _ROWS, 2 * _ROWS):
        raise RuntimeError(f"the import is {state.state}: {told} tasks told, {there} there, {places} places")


def _worker(folder: Path, url: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PALATE_HOME": str(folder), "PALATE_DATABASE_URL": url, "PALATE_LOG_LEVEL": "ERROR"}
    return subprocess.Popen([sys.executable, "-c", _WORKER], env=environment)


def _kill(worker: subprocess.Popen[bytes]) -> None:
    worker.send_signal(signal.SIGKILL)
    worker.wait()


if __name__ == "__main__":
    main()
