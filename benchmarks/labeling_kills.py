"""`python -m benchmarks.labeling_kills --points 100`: the labeling service killed at so many moments, by SIGKILL.

- annotation: eight people answer over HTTP; all processes of the service die at once and it is started anew, or one of
  them dies and the service replaces it; the people send again what was not acknowledged.
- import and export: the worker that does the job dies.
- training: a run of automatic labeling, whose worker, or any other process of the service, or all of them die, while a
  person answers what it asks.

Afterwards every acknowledged answer is there once and no task has more than its overlap; every import is whole; an
export has the bytes of one that nobody disturbed; at no moment is an automatic label of a half round to be seen, and
the run ends with the labels of one that nobody disturbed.
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
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import click
from sqlalchemy import func, select

from benchmarks.annotators import Load, label
from benchmarks.labeling_house import LABELS, House, house
from benchmarks.labeling_turns import ANSWER, check
from labeling.store import runs
from labeling.store.definition import Definition, NewTask
from labeling.store.tables import automatic, projects, rounds, slots, tasks
from labeling.work.settings import RunSettings
from palate.store import Jobs, reading, writing
from palate.store.tables import jobs

_ROWS, _PEOPLE, _FILMS = 20_000, 8, 600
"""Rows of an import and of an export, people who answer, texts that a model learns."""
_KILLS = {"annotation": 10, "import": 10, "export": 2, "training": 8}
"""Deaths over one project's answers before they are looked at; over one job, or one run, fewer than it outlives."""
_SHARES = {"annotation": 0.35, "import": 0.2, "export": 0.1, "training": 0.35}
_WORKER = "from labeling.work import process; process.POLL, process.NICE = 0.02, 0; process.main()"
_PATIENCE = 900.0
_WORDS = {"Comedy": "joke laugh clown prank silly", "Drama": "tears loss love letter rain", "War": "front tank mud gun"}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--points", default=20, show_default=True, help="Moments in all.")
@click.option("--database", type=click.Choice(["sqlite", "postgresql"]), default="sqlite", show_default=True)
@click.option("--seed", default=0, show_default=True)
def main(points: int, database: str, seed: int) -> None:
    """Kill the service again and again, and look at what is left."""
    draw = random.Random(seed)
    number = {kind: round(points * share) for kind, share in _SHARES.items()}
    number["annotation"] += points - sum(number.values())
    with house(database) as service:
        for kills in _parts(number["annotation"], _KILLS["annotation"]):
            answered = annotate(service, kills, draw)
            _tell(f"{kills} kills during annotation: {answered:,} answers acknowledged, none lost")
        calm = train(service, 0, draw) if number["training"] else []
        for kills in _parts(number["training"], _KILLS["training"]):
            rough = train(service, kills, draw)
            if rough != calm:
                raise RuntimeError(
                    f"{len(rough)} labels instead of {len(calm)}, {len(set(rough) - set(calm))} of them others than "
                    f"those of a run that nobody disturbed: {sorted(set(rough) ^ set(calm))[:4]}"
                )
            _tell(f"{kills} kills during automatic labeling: the same {len(calm):,} labels, no answer lost")
        for kills in _parts(number["import"], _KILLS["import"]):
            take_in(service, kills, draw)
            _tell(f"{kills} kills during an import: whole")
        with _filled(service) as project:
            for kills in _parts(number["export"], _KILLS["export"]):
                give_out(service, project, kills, draw)
                _tell(f"{kills} kills during an export: the same bytes")


def _tell(line: str) -> None:
    print(line, flush=True)


def _parts(number: int, most: int) -> Iterator[int]:
    while number > 0:
        yield min(number, most)
        number -= most


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
            _keep(service, jobs=0)
            time.sleep(0.005)
        time.sleep(draw.uniform(0, 0.5))
        _die(service, draw.choice(["all", "one"]), draw, jobs=0)
    _keep(service, jobs=0)
    over.set()
    people.join()
    if not outcome:
        raise RuntimeError("the people could not go on")
    check(service, project, outcome[0], names)
    service.stop()
    return len(outcome[0].answered)


def _die(service: House, who: str, draw: random.Random, jobs: int) -> None:
    """Kill all processes and start the service anew, or one of them: any, or the one that does a job."""
    gone = service.processes()
    if who == "worker":
        gone = [each for each in gone if each in _at_work(service)]
    if who == "all" or not gone:
        gone = service.processes()
        service.kill()
        _end_leases(service, gone)
        service.start(workers=2, jobs=jobs)
        return
    one = draw.choice(gone)
    with suppress(ProcessLookupError):
        os.kill(one, signal.SIGKILL)
    _end_leases(service, [one])


def _keep(service: House, jobs: int) -> None:
    """Start the service where it has ended, as a supervisor does: it does so when its workers die one upon another."""
    if not service.alive():
        service.kill()
        service.start(workers=2, jobs=jobs)


def _at_work(service: House) -> dict[int, int]:
    """By process that does a job, the job."""
    running = Jobs(service.service.engine).list(state="running")
    return {int(job.worker.split(":")[1]): job.id for job in running if job.worker is not None}


def _end_leases(service: House, gone: list[int]) -> None:
    """End the leases of processes that are dead, so that nobody has to wait for it; those of others go on."""
    held = [job for process, job in _at_work(service).items() if process in gone]
    with writing(service.service.engine) as db:
        mine = jobs.c.id.in_(held) & (jobs.c.state == "running")
        db.execute(jobs.update().where(mine).values(state="queued", lease_until=None))


# Imports and exports


def take_in(service: House, kills: int, draw: random.Random) -> None:
    """Raises RuntimeError if an import is not what it would be without the kills."""
    engine = service.service.engine
    project = service.service.create(Definition(f"Films {time.time_ns()}", LABELS, overlap=2))[0].id
    rows = "\n".join(json.dumps({"id": f"film-{each}", "text": "A long way home"}) for each in range(_ROWS)).encode()
    state = _to_the_end(service, service.service.automation.import_file(project, rows, "jsonl").id, kills, draw)
    with reading(engine) as db:
        told = db.scalar(select(projects.c.tasks).where(projects.c.id == project))
        there = db.scalar(select(func.count()).select_from(tasks).where(tasks.c.project_id == project))
        places = db.scalar(select(func.count()).select_from(slots).where(slots.c.project_id == project))
    if (state, told, there, places) != ("done", _ROWS, _ROWS, 2 * _ROWS):
        raise RuntimeError(f"the import is {state}: {told} tasks told, {there} there, {places} places")


@contextmanager
def _filled(service: House) -> Iterator[int]:
    """A project of which some is answered."""
    project = service.project(_ROWS, 1)
    for _ in range(50):
        task = service.service.next_task(project, "ann").task
        assert task is not None
        service.service.submit(project, "ann", task.task_id, ANSWER)
    yield project
    service.service.remove(project)


def give_out(service: House, project: int, kills: int, draw: random.Random) -> None:
    """Raises RuntimeError if an export is not what it would be without the kills."""
    automation = service.service.automation
    job = automation.export_file(project, "jsonl", every_task=True).id
    state = _to_the_end(service, job, kills, draw)
    made = b"".join(automation.exported(project, job)[1]) if state == "done" else b""
    wanted = "".join(service.service.export(project, "jsonl", every_task=True)).encode()
    if made != wanted:
        raise RuntimeError(f"the export is {state}: {len(made):,} bytes of {len(wanted):,}")


def _to_the_end(service: House, job: int, kills: int, draw: random.Random) -> str:
    """The state in which the job ends, so many of its workers killed before."""
    queue = Jobs(service.service.engine)
    for _ in range(kills):
        worker = _worker(service.folder, service.url)
        while queue.get(job).state == "queued":
            time.sleep(0.005)
        time.sleep(draw.uniform(0, 0.5))
        _kill(worker)
        _end_leases(service, [worker.pid])
    worker = _worker(service.folder, service.url)
    while (state := queue.get(job).state) in ("queued", "running"):
        time.sleep(0.05)
    _kill(worker)
    return state


def _worker(folder: Path, url: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PALATE_HOME": str(folder), "PALATE_DATABASE_URL": url, "PALATE_LOG_LEVEL": "ERROR"}
    return subprocess.Popen([sys.executable, "-c", _WORKER], env=environment)


def _kill(worker: subprocess.Popen[bytes]) -> None:
    worker.send_signal(signal.SIGKILL)
    worker.wait()


# Training


def train(service: House, kills: int, draw: random.Random) -> list[tuple[str, str, float]]:
    """The automatic labels of a run, by external id, that was killed so often. Raises RuntimeError if an answer is
    lost, if labels of a half round are seen, or if the run does not end.
    """
    automation = service.service.automation
    project = service.service.create(Definition(f"Films {time.time_ns()}", LABELS), _films())[0].id
    tokens, names = service.people(1)
    service.start(workers=2, jobs=1)
    automation.start(project, RunSettings(target=0.9, model="tfidf", seed_items=60), "manager")
    over, load, failed = threading.Event(), Load(), []

    def answer() -> None:
        try:
            # What people answer before the run has begun it counts too, and then it is another run.
            while automation.run(project).run.step == 0 and not over.is_set():
                time.sleep(0.02)
            while not over.is_set():  # until the model asks for more
                label(service.port, project, tokens, _said, turns=1_000_000, until=over.is_set, load=load)
                time.sleep(0.05)
        except Exception as error:
            failed.append(error)

    person = threading.Thread(target=answer)
    person.start()
    until, spent = time.monotonic() + _PATIENCE, 0
    try:
        while (run := automation.run(project).run).state == runs.RUNNING and not failed:
            if time.monotonic() > until:
                raise RuntimeError(f"the run does not end: {run}")
            if spent < kills and (run.job is None or Jobs(service.service.engine).get(run.job).attempt < 2):
                who = draw.choice(["worker", "worker", "one", "all"])
                _wait_for_work(service, project, draw)
                _die(service, who, draw, jobs=1)
                spent += 1
                until = time.monotonic() + _PATIENCE
            _keep(service, jobs=1)
            _whole(service, project)
            time.sleep(0.02)
    finally:
        over.set()
        person.join()
    if failed or run.state != runs.DONE:
        raise RuntimeError(f"the run is {run.state}: {run.error or failed}")
    check(service, project, load, names)
    service.stop()
    made = automation.labels(project, limit=1000)
    return [(each.external_id, each.label, each.confidence) for each in made]


def _wait_for_work(service: House, project: int, draw: random.Random) -> None:
    """Until a worker is at it, and a moment more; or until there is nothing more to do. A service whose last two deaths
    came one upon another has ended itself.
    """
    engine, automation = service.service.engine, service.service.automation
    while not Jobs(engine).list(state="running") and automation.run(project).run.state == runs.RUNNING:
        _keep(service, jobs=1)
        time.sleep(0.002)
    time.sleep(draw.uniform(0, 0.4))


def _whole(service: House, project: int) -> None:
    """Raises RuntimeError unless the round that counts has all its labels, each once, on tasks without an answer."""
    with reading(service.service.engine) as db:
        run = runs.latest(db, service.service.project(project, "manager")[0])
        assert run is not None
        mine = (automatic.c.run_id == run.id) & (automatic.c.round == run.round)
        number, different = db.execute(
            select(func.count(), func.count(automatic.c.task_id.distinct())).where(mine)
        ).one()
        this = (rounds.c.run_id == run.id) & (rounds.c.round == run.round)
        told = db.scalar(select(rounds.c.automatic).where(this)) or 0
    if different != number or (run.phase != "done" and number != told):
        raise RuntimeError(f"round {run.round} has {number} labels of {told}, {different} of them different")


def _films() -> list[NewTask]:
    """Texts of words that go with one label, some of them with none: always the same."""
    draw = random.Random(0)
    made = []
    for number in range(_FILMS):
        name = draw.choice(LABELS)
        words = (_WORDS[name] if draw.random() > 0.05 else "it was a day like any other").split()
        text = " ".join([*(draw.choice(words) for _ in range(4)), str(draw.randrange(1000))])
        made.append(NewTask(f"{name}-{number}", {"text": text}))
    return made


def _said(task: dict[str, str]) -> dict[str, list[str]]:
    """The person knows: it is in the name of the task."""
    return {"choices": [task["external_id"].partition("-")[0]]}


if __name__ == "__main__":
    main()
