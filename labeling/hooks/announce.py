"""What is told when it is done, in the same transaction, since nothing could find it afterwards."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection

from labeling.hooks import store
from labeling.store.definition import Project


def announce(db: Connection, project: Project, event: str, **more: Any) -> None:
    """Write it down for each of the project's webhooks that asks for such events; a worker sends it."""
    for hook in store.listed(db, project):
        if event in hook.events:
            store.write_down(db, hook, event, message(event, project, **more))


def message(event: str, project: Project, **more: Any) -> str:
    """What is sent, as JSON."""
    about = {"project": {"id": project.id, "title": project.title}}
    return json.dumps({"type": event, **about, **more}, ensure_ascii=False, separators=(",", ":"), default=str)
