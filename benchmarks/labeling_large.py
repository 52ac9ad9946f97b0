"""`python -m benchmarks.labeling_large --tasks 1000000`: a large labeling project, over HTTP.

Seconds of its import by a job, then milliseconds of turns, of every page and of every listing: while none of it is
answered, after half of it is, and once a model has labeled a quarter. Of whatever the service does the processor's time
stands beside the wall's, since the latter is also that of whatever else the machine does.
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import click
from sqlalchemy import JSON, Connection, String, case, cast, func, insert, literal, select, update

from benchmarks.annotators import label
from benchmarks.labeling_house import LABELS, House, house
from benchmarks.labeling_turns import ANSWER, check
from labeling.store import runs
from labeling.store.definition import Definition
from labeling.store.projects import get
from labeling.store.tables import ANSWERED, answers, automatic, slots, tasks
from labeling.work.settings import RunSettings
from palate.store import Instant, clock, writing

PAGES = (
    "/",
    "/projects/{}",
    "/projects/{}/overview",
    "/projects/{}/reviews",
    "/projects/{}/comments",
    "/projects/{}/members",
    "/projects/{}/webhooks",
    "/v1/projects",
    "/v1/projects/{}",
    "/v1/projects/{}/progress",
    "/v1/projects/{}/agreement",
    "/v1/projects/{}/people",
    "/v1/projects/{}/comments",
    "/v1/projects/{}/members",
    "/v1/projects/{}/webhooks",
    "/v1/projects/{}/jobs",
    "/v1/projects/{}/tasks/{task}",
    "/v1/projects/{}/consensus",
    "/v1/projects/{}/consensus/tasks?after={task}&limit=1000",
    "/v1/projects/{}/autolabel",
    "/v1/projects/{}/autolabel/labels?after={task}&limit=1000",
)
_PEOPLE, _PARTS, _FILE = 50, 40, 250_000
_NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
_PATIENCE = 1800.0


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--tasks", default=100_000, show_default=True)
@click.option("--overlap", default=1, show_default=True)
@click.option("--database", type=click.Choice(["sqlite", "postgresql"]), default="sqlite", show_default=True)
def main(tasks: int, overlap: int, database: str) -> None:
    """Import a project of many tasks and work on it; a JSON line for each thing measured."""
    with house(database) as service:
        Large(service, tasks, overlap).run()


class Large:
    """One project, and somebody who may do everything with it."""

    def __init__(self, service: House, tasks: int, overlap: int) -> None:
        self._service, self._tasks, self._overlap = service, tasks, overlap
        self._key = service.key("label:manage", "label")
        self._id = service.service.create(Definition("Films", LABELS, overlap=overlap))[0].id

    def run(self) -> None:
        self._service.start(workers=2, jobs=1)
        self._timed("import", self._import)
        self._measure("nothing answered")
        with writing(self._service.service.engine) as db:
            _answer_half(db, self._id, self._tasks)
        self._ask("PATCH", f"/v1/projects/{self._id}", {"review": "open"})
        self._timed("consensus", lambda: self._job("consensus", {"method": "dawid-skene"}))
        self._measure("half answered, answers are reviewed")
        self._ask("PATCH", f"/v1/projects/{self._id}", {"review": "none"})
        with writing(self._service.service.engine) as db:
            _label_quarter(db, self._id, self._tasks)
        self._measure("a quarter labeled by a model")
        for form in ("jsonl", "csv", "parquet"):
            self._timed(f"export as {form}", lambda form=form: self._job("exports", {"format": form, "all": True}))
        self._timed("first byte of an export", lambda: self._ask("GET", f"/v1/projects/{self._id}/export", first=True))

    def _import(self) -> None:
        """File by file, each of a size that the service takes unless it is told otherwise."""
        for first in range(0, self._tasks, _FILE):
            ids = range(first, min(first + _FILE, self._tasks))
            rows = (json.dumps({"id": f"film-{each}", "text": f"Film {each} is a long way home"}) for each in ids)
            self._job("imports?format=jsonl", "\n".join(rows).encode())

    def _job(self, path: str, body: Any) -> None:
        job = self._ask("POST", f"/v1/projects/{self._id}/{path}", body)
        until = time.monotonic() + _PATIENCE
        while job["state"] in ("queued", "running") and time.monotonic() < until:
            time.sleep(0.2)
            job = self._ask("GET", f"/v1/projects/{self._id}/jobs/{job['id']}")
        if job["state"] != "done":
            raise RuntimeError(f"{path} is {job['state']}: {job['error']}")

    def _measure(self, state: str) -> None:
        with writing(self._service.service.engine) as db:
            middle = db.scalar(select(func.min(tasks.c.id) + self._tasks // 2).where(tasks.c.project_id == self._id))
        for page in PAGES:
            self._page("GET", page.format(self._id, task=middle), page, state)
        self._page("POST", f"/v1/projects/{self._id}/reviews", "the review queue", state)
        tokens, names = self._service.people(4)
        turns = label(self._service.port, self._id, tokens, ANSWER, turns=50, calls=2, thought=0.05)
        check(self._service, self._id, turns, names, exactly=False)
        figures = {"p50_ms": turns.quantile(0.5), "p99_ms": turns.quantile(0.99), "worst_ms": turns.quantile(1)}
        _tell("next task", state=state, **{name: round(value, 1) for name, value in figures.items()})

    def _page(self, method: str, path: str, name: str, state: str) -> None:
        waits, spent = [], self._service.cpu()
        for _ in range(6):
            started = time.perf_counter()
            self._ask(method, path, {} if method == "POST" else None, missing=True)
            waits.append(round((time.perf_counter() - started) * 1000, 1))
        spent = round((self._service.cpu() - spent) * 1000 / len(waits))
        _tell(name, state=state, first_ms=waits[0], worst_of_5_more_ms=max(waits[1:]), cpu_ms_each=spent)

    def _timed(self, what: str, work: Callable[[], object]) -> None:
        spent, started = self._service.cpu(), time.perf_counter()
        work()
        wall, cpu = time.perf_counter() - started, self._service.cpu() - spent
        _tell(what, tasks=self._tasks, overlap=self._overlap, seconds=round(wall, 2), cpu_seconds=round(cpu, 2))

    def _ask(self, method: str, path: str, body: Any = None, *, first: bool = False, missing: bool = False) -> Any:
        """What comes back, None if it is a page. first: only its first bytes; missing: there may be nothing."""
        connection = http.client.HTTPConnection("127.0.0.1", self._service.port, timeout=600)
        try:
            sent = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
            kind = "application/octet-stream" if isinstance(body, bytes) else "application/json"
            headers = {"Authorization": f"Bearer {self._key}", **({} if sent is None else {"Content-Type": kind})}
            connection.request(method, path, body=sent, headers=headers)
            answer = connection.getresponse()
            content = answer.read(1000) if first else answer.read()
        finally:
            connection.close()
        if answer.status >= 400 and not (missing and answer.status == 404):
            raise RuntimeError(f"{path} answered {answer.status}: {content[:500].decode()}")
        return None if first or "json" not in (answer.getheader("Content-Type") or "") else json.loads(content)


def _answer_half(db: Connection, project: int, tasks: int) -> None:
    """As if people had answered every slot of the first half, a third of the tasks otherwise than the others."""
    person = literal("annotator ").concat(cast(slots.c.number * _PEOPLE + slots.c.position % _PEOPLE, String))
    interface = get(db, project).interface
    drama, war = ([interface.choice(name)] for name in LABELS[1:])
    said = case((slots.c.position % 3 == 0, literal(war, JSON)), else_=literal(drama, JSON))
    names = ["project_id", "task_id", "slot_id", "person", "value", "seconds", "created", "updated"]
    for part in range(_PARTS):
        first, last = (tasks // 2 * each // _PARTS for each in (part, part + 1))
        mine = (slots.c.project_id == project) & (slots.c.position >= first) & (slots.c.position < last)
        moment = literal(_NOON + timedelta(hours=part), Instant)
        filled = {"state": ANSWERED, "person": person, "leased": None, "expires": None}
        db.execute(update(slots).where(mine, slots.c.state != ANSWERED).values(filled))
        there = select(answers.c.slot_id).where(answers.c.slot_id == slots.c.id).exists()
        columns = [slots.c.project_id, slots.c.task_id, slots.c.id, slots.c.person, said, literal(2.0), moment, moment]
        db.execute(insert(answers).from_select(names, select(*columns).where(mine, ~there)))


def _label_quarter(db: Connection, project: int, tasks_: int) -> None:
    """As if a run had ended that labeled the last quarter."""
    run = runs.begin(db, get(db, project), {**RunSettings().to_dict(), "before": 0}, "manager")
    rest = (tasks.c.project_id == project) & (tasks.c.position >= tasks_ - tasks_ // 4)
    row = [literal(run.id), literal(1), tasks.c.id, literal(LABELS[1]), literal(0.97), literal(False)]
    names = ["run_id", "round", "task_id", "label", "confidence", "withdrawn"]
    db.execute(insert(automatic).from_select(names, select(*row).where(rest)))
    free = (slots.c.project_id == project) & (slots.c.position >= tasks_ - tasks_ // 4) & slots.c.person.is_(None)
    db.execute(update(slots).where(free).values(withheld=True))
    now = clock(db)
    told = {"model": "made up", "labeled": tasks_ // 2, "answers": tasks_ // 2, "automatic": tasks_ // 4, "asked": 0}
    runs.add_round(db, run, {"round": 1, **told, "threshold": 0.9, "pool_accuracy": 0.95})
    runs.change(db, run, state=runs.DONE, phase="done", round=1, ended=now)


def _tell(what: str, **found: Any) -> None:
    click.echo(json.dumps({"what": what, **found}))


if __name__ == "__main__":
    main()
