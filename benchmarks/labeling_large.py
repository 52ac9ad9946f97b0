"""`python -m benchmarks.labeling_large --tasks 1000000`: a large labeling project, over HTTP.

Seconds of its import, then milliseconds of turns and of pages, while none of it is answered and after half of it is.
"""

from __future__ import annotations

import http.client
import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import click
from sqlalchemy import JSON, Connection, String, case, cast, insert, literal, select, update

from benchmarks.annotators import label
from benchmarks.labeling_house import LABELS, House, house
from benchmarks.labeling_turns import ANSWER, check
from labeling.store.definition import Definition
from labeling.store.projects import get
from labeling.store.tables import ANSWERED, answers, slots
from labeling.work.files import import_tasks
from labeling.work.reading import read_tasks
from palate.store import Instant, writing

PAGES = ("/", "/projects/{}", "/projects/{}/overview", "/v1/projects/{}/progress")
_PEOPLE, _PARTS = 50, 40
_NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--tasks", default=100_000, show_default=True)
@click.option("--overlap", default=1, show_default=True)
@click.option("--database", type=click.Choice(["sqlite", "postgresql"]), default="sqlite", show_default=True)
def main(tasks: int, overlap: int, database: str) -> None:
    """Import a project of many tasks and work on it; a JSON line for each thing measured."""
    with house(database) as service:
        project = service.service.create(Definition("Films", LABELS, overlap=overlap))[0].id
        lines = (json.dumps({"id": f"film-{each}", "text": f"Film {each} is a long way home"}) for each in range(tasks))
        file = "\n".join(lines).encode()
        started = time.perf_counter()
        arrivals = read_tasks(file, "jsonl")
        import_tasks(service.service.engine, project, arrivals, lambda done, told: None)
        _tell("import", tasks=tasks, overlap=overlap, seconds=round(time.perf_counter() - started, 1))
        service.start(workers=2)
        _measure(service, project, "nothing answered")
        with writing(service.service.engine) as db:
            _answer_half(db, project, tasks)
        _measure(service, project, "half answered")


def _measure(service: House, project: int, state: str) -> None:
    manager = service.key("label:manage", "label")
    for page in PAGES:
        waits = [_page(service.port, page.format(project), manager) for _ in range(6)]
        _tell(page, state=state, first_ms=waits[0], worst_of_5_more_ms=max(waits[1:]))
    tokens, names = service.people(4)
    load = label(service.port, project, tokens, ANSWER, turns=50, calls=2, thought=0.05)
    check(service, project, load, names, exactly=False)
    figures = {"p50_ms": load.quantile(0.5), "p99_ms": load.quantile(0.99), "worst_ms": load.quantile(1)}
    _tell("next task", state=state, **{name: round(value, 1) for name, value in figures.items()})


def _page(port: int, path: str, token: str) -> float:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    started = time.perf_counter()
    connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    if answer.status != 200:
        raise RuntimeError(f"{path} answered {answer.status}")
    return round((time.perf_counter() - started) * 1000, 1)


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


def _tell(what: str, **found: Any) -> None:
    click.echo(json.dumps({"what": what, **found}))


if __name__ == "__main__":
    main()
