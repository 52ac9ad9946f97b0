"""Webhooks and their deliveries: made, read, sent again, forgotten.

Every function takes a connection inside a transaction that the caller opened.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from labeling.hooks.tables import deliveries, hooks
from labeling.store.definition import Project
from labeling.store.tables import answers
from palate.errors import ConflictError, ParameterError, UnknownIdError
from palate.store.types import clock

EVENTS = (
    "answers.created",
    "answers.changed",
    "answers.withdrawn",
    "run.changed",
    "labels.withdrawn",
    "labels.restored",
    "interface.changed",
    "project.done",
)
"""People have answered; answers were replaced or judged; one was taken back; automatic labeling has made a step or
ended; a model's labels were withdrawn, or count again; labels were renamed in all answers, or what is asked was changed
otherwise; nothing is left to do."""
PING = "ping"
"""Sent when somebody asks whether it arrives."""
MAX_HOOKS = 20
KEPT = 1_000
"""Deliveries that are kept of each webhook."""
WAITING, DELIVERED, FAILED = "waiting", "delivered", "failed"


@dataclass(frozen=True)
class Hook:
    """A webhook. told: up to where things were written down as deliveries."""

    id: int
    project_id: int
    url: str
    events: tuple[str, ...]
    secret: str
    person: str
    created: datetime
    told: dict[str, Any]


@dataclass(frozen=True)
class Delivery:
    """One message: waiting, delivered or failed. status, error: what came of the last try."""

    id: int
    hook_id: int
    event: str
    body: str
    state: str
    round: int
    tries: int
    status: int | None
    error: str | None
    job: int | None
    created: datetime
    finished: datetime | None


def add(db: Connection, project: Project, url: str, events: Sequence[str], person: str) -> Hook:
    """A new webhook, told of what happens from now on; without `events`, of everything.

    Raises ParameterError for an event that is none, ConflictError if the project has it already or has too many.
    """
    chosen = tuple(dict.fromkeys(events)) or EVENTS
    for event in chosen:
        if event not in EVENTS:
            raise ParameterError(
                f"{event[:40]!r} is no event.", where="events", hint=f"Events are: {', '.join(EVENTS)}."
            )
    present = listed(db, project)
    if any(hook.url == url for hook in present):
        raise ConflictError("the project has a webhook to this address already.", where="url")
    if len(present) >= MAX_HOOKS:
        raise ConflictError(f"the project has {MAX_HOOKS} webhooks already.", where="url")
    last = db.execute(select(func.max(answers.c.id)).where(answers.c.project_id == project.id)).scalar_one()
    now = clock(db)
    row = {
        "project_id": project.id,
        "url": url,
        "events": list(chosen),
        "secret": "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode(),
        "person": person,
        "created": now,
        "told": {"answer": last or 0, "change": [now.isoformat(), 0]},
    }
    return _hook(db.execute(insert(hooks).returning(hooks), row).one())


def listed(db: Connection, project: Project) -> list[Hook]:
    """The project's webhooks, the oldest first."""
    return [
        _hook(row) for row in db.execute(select(hooks).where(hooks.c.project_id == project.id).order_by(hooks.c.id))
    ]


def everywhere(db: Connection) -> list[Hook]:
    """Those of all projects."""
    return [_hook(row) for row in db.execute(select(hooks).order_by(hooks.c.id))]


def get(db: Connection, project: Project, hook_id: int, *, hold: bool = False) -> Hook:
    """One of the project's webhooks; with `hold` nobody else changes it meanwhile. Raises UnknownIdError."""
    query = select(hooks).where(hooks.c.id == hook_id, hooks.c.project_id == project.id)
    row = db.execute(query.with_for_update() if hold else query).first() if 0 < hook_id < 2**63 else None
    if row is None:
        raise UnknownIdError(f"project {project.id} has no webhook {hook_id}.")
    return _hook(row)


def remove(db: Connection, project: Project, hook_id: int) -> None:
    """Forget a webhook and its deliveries. Raises UnknownIdError."""
    get(db, project, hook_id)
    db.execute(delete(hooks).where(hooks.c.id == hook_id))


def write_down(db: Connection, hook: Hook, event: str, body: str | None, told: dict[str, Any] | None = None) -> None:
    """Add a delivery, forget the oldest that are over, and note how far things were told."""
    if body is not None:
        row = {"hook_id": hook.id, "event": event, "body": body, "state": WAITING, "created": clock(db)}
        db.execute(insert(deliveries), row)
        mine = deliveries.c.hook_id == hook.id
        eldest = select(deliveries.c.id).where(mine).order_by(deliveries.c.id.desc()).offset(KEPT).limit(1)
        oldest = db.execute(eldest).scalar_one_or_none()
        if oldest is not None:
            db.execute(delete(deliveries).where(mine, deliveries.c.id <= oldest, deliveries.c.state != WAITING))
    if told is not None:
        db.execute(update(hooks).where(hooks.c.id == hook.id).values(told=told))


def deliveries_of(db: Connection, hook: Hook, limit: int = 100) -> list[Delivery]:
    """The newest first."""
    query = select(deliveries).where(deliveries.c.hook_id == hook.id).order_by(deliveries.c.id.desc()).limit(limit)
    return [Delivery(**row) for row in db.execute(query).mappings()]


def delivery(db: Connection, delivery_id: int) -> tuple[Hook, Delivery]:
    """A delivery and its webhook. Raises UnknownIdError."""
    query = select(deliveries).where(deliveries.c.id == delivery_id)
    row = db.execute(query).mappings().first() if 0 < delivery_id < 2**63 else None
    if row is None:
        raise UnknownIdError(f"there is no delivery {delivery_id}.")
    hook = db.execute(select(hooks).where(hooks.c.id == row["hook_id"])).one()
    return _hook(hook), Delivery(**row)


def waiting(db: Connection) -> list[Delivery]:
    """Deliveries that no job has been made for."""
    query = (
        select(deliveries).where(deliveries.c.state == WAITING, deliveries.c.job.is_(None)).order_by(deliveries.c.id)
    )
    return [Delivery(**row) for row in db.execute(query.limit(1_000)).mappings()]


def set_job(db: Connection, delivery_id: int, job: int) -> None:
    """The job that sends it."""
    db.execute(update(deliveries).where(deliveries.c.id == delivery_id).values(job=job))


def tried(db: Connection, delivery_id: int, *, state: str, status: int | None, error: str | None) -> None:
    """What came of one try."""
    values = {"state": state, "status": status, "error": error, "tries": deliveries.c.tries + 1}
    values["finished"] = None if state == WAITING else clock(db)  # type: ignore[assignment]
    db.execute(update(deliveries).where(deliveries.c.id == delivery_id).values(values))


def again(db: Connection, hook: Hook, delivery_id: int) -> Delivery:
    """Have it sent once more. Raises UnknownIdError, and ConflictError while it is on its way."""
    its, found = delivery(db, delivery_id)
    if its.id != hook.id:
        raise UnknownIdError(f"webhook {hook.id} has no delivery {delivery_id}.")
    if found.state == WAITING:
        raise ConflictError(f"delivery {delivery_id} is on its way.", where="delivery")
    values = {"state": WAITING, "round": found.round + 1, "job": None, "finished": None, "error": None}
    db.execute(update(deliveries).where(deliveries.c.id == delivery_id).values(values))
    return delivery(db, delivery_id)[1]


def _hook(row: Any) -> Hook:
    values = dict(row._mapping)
    return Hook(**{**values, "events": tuple(values["events"])})
