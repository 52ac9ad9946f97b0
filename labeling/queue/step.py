"""What a turn leaves a person with."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from labeling.queue.leases import Turn
from labeling.queue.progress import Progress
from labeling.store import runs
from labeling.store.definition import Project


@dataclass(frozen=True)
class Step:
    """The task in a person's hands, if any, and where the project stands. more: there is none now, but a model is
    learning from the answers and may ask for more.
    """

    project: Project
    task: Turn | None
    progress: Progress
    more: bool = False


def is_learning(connection: Connection, project: Project) -> bool:
    """Whether a model may ask for more once it has learned from the answers."""
    return project.run is not None and runs.get(connection, project.run).state == runs.RUNNING
