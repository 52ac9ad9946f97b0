"""Finds what is new in projects with webhooks and writes it down as deliveries, each once.

A worker's planner calls this every second or so: nobody's turn waits for it. What was told and how far is written in
one transaction, on a row that is held, so that several planners write the same down once.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, Row, or_, select

from labeling.answers import short
from labeling.hooks import store
from labeling.hooks.announce import message
from labeling.hooks.store import Hook
from labeling.queue.progress import counts
from labeling.store import projects, runs
from labeling.store.definition import Project
from labeling.store.tables import answers, tasks
from palate.store import Jobs, clock, reading, writing

KIND = "labeling.webhook"
TRIES = 12
"""Requests before a delivery has failed; with pauses that double, up to five minutes, that is most of an hour."""
SETTLED = timedelta(seconds=5)
"""An answer this old is seen together with all before it: ids are given before a transaction becomes visible."""
TOGETHER = 100
"""Answers in one delivery."""
AT_ONCE = 1_000

News = tuple[str, str | None, dict[str, Any]]


def collect(engine: Engine, settled: timedelta = SETTLED) -> int:
    """Write down what is new, and make a job for each delivery that has none; how many were made."""
    with reading(engine) as db:
        due = [hook for hook in store.everywhere(db) if _news(db, projects.get(db, hook.project_id), hook, settled)]
    for hook in due:
        with writing(engine) as db:
            project = projects.get(db, hook.project_id)
            held = store.get(db, project, hook.id, hold=True)
            for event, body, told in _news(db, project, held, settled):
                store.write_down(db, held, event, body, told)
    return enqueue(engine)


def enqueue(engine: Engine) -> int:
    """Make a job for each delivery that waits for one; how many."""
    with reading(engine) as db:
        waiting = store.waiting(db)
    for each in waiting:
        with reading(engine) as db:
            project = store.delivery(db, each.id)[0].project_id
        key = f"{each.id}/{each.round}"
        payload = {"project": project, "delivery": each.id}
        job = Jobs(engine).enqueue(KIND, payload, key=key, max_attempts=TRIES)
        with writing(engine) as db:
            store.set_job(db, each.id, job)
    return len(waiting)


def ping(db: Connection, project: Project, hook: Hook) -> None:
    """Write down a message that says nothing but that it arrives."""
    store.write_down(db, hook, store.PING, message(store.PING, project))


def _news(db: Connection, project: Project, hook: Hook, settled: timedelta) -> list[News]:
    """What is to be told: the event, the message (None if only its end is to be noted), and how far that goes."""
    told = dict(hook.told)
    found: list[News] = []
    if "answers.created" in hook.events:
        rows = _answers(db, project, told.get("answer", 0), settled)
        for part in (rows[first : first + TOGETHER] for first in range(0, len(rows), TOGETHER)):
            told = {**told, "answer": part[-1]["id"]}
            found.append(("answers.created", message("answers.created", project, answers=part), told))
    if "answers.changed" in hook.events:
        changes = _changes(db, project, hook, settled)
        for some in (changes[first : first + TOGETHER] for first in range(0, len(changes), TOGETHER)):
            told = {**told, "change": [some[-1]["changed"], some[-1]["id"]]}
            found.append(("answers.changed", message("answers.changed", project, answers=some), told))
    if "run.changed" in hook.events and project.run is not None:
        run = runs.get(db, project.run)
        state = {"id": run.id, "state": run.state, "phase": run.phase, "round": run.round}
        if told.get("run") != state:
            told = {**told, "run": state}
            labels, withdrawn = runs.count(db, run)
            body = message("run.changed", project, run={**state, "labels": labels, "withdrawn": withdrawn})
            found.append(("run.changed", body, told))
    if "project.done" in hook.events:
        still, plain = counts(db, project), project.tasks - project.golds
        done = plain > 0 and still.tasks + still.withheld == still.automatic and not still.reviews
        if done != told.get("done", False):
            told = {**told, "done": done}
            found.append(("project.done", message("project.done", project, tasks=plain) if done else None, told))
    return found


def _answers(db: Connection, project: Project, after: int, settled: timedelta) -> Sequence[dict[str, Any]]:
    """Answers with ids above `after`, oldest first, up to the first that may not be the next to be seen."""
    query = (
        select(answers, tasks.c.external_id)
        .join(tasks, tasks.c.id == answers.c.task_id)
        .where(answers.c.project_id == project.id, answers.c.id > after)
        .order_by(answers.c.id)
        .limit(AT_ONCE)
    )
    latest = clock(db) - settled
    found: list[dict[str, Any]] = []
    for row in db.execute(query):
        if row.created > latest:
            break
        found.append(_told(project, row))
    return found


def _changes(db: Connection, project: Project, hook: Hook, settled: timedelta) -> Sequence[dict[str, Any]]:
    """Answers that were changed after what was told of last, as they are now, the change longest ago first."""
    moment, number = hook.told.get("change", [hook.created.isoformat(), 0])
    since = datetime.fromisoformat(moment)
    query = (
        select(answers, tasks.c.external_id)
        .join(tasks, tasks.c.id == answers.c.task_id)
        .where(
            answers.c.project_id == project.id,
            answers.c.changed.is_not(None),
            answers.c.changed >= since,
            or_(answers.c.changed > since, answers.c.id > number),
            answers.c.changed <= clock(db) - settled,
        )
        .order_by(answers.c.changed, answers.c.id)
        .limit(AT_ONCE)
    )
    return [
        {
            **_told(project, row),
            "changed": row.changed.isoformat(),
            "verdict": row.verdict,
            "reviewer": None if row.verdict is None else row.reviewer,
            "note": row.note,
        }
        for row in db.execute(query)
    ]


def _told(project: Project, row: Row[Any]) -> dict[str, Any]:
    return {
        "id": row.id,
        "task": row.task_id,
        "external_id": row.external_id,
        "person": row.person,
        "value": short(project.interface, row.value),
        "seconds": row.seconds,
        "created": row.created.isoformat(),
    }
