"""What the overview of a project shows: answers over time, labels, agreement, confusion, consensus, the model."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from scipy import sparse
from sqlalchemy import Connection, Text, cast, func, select

from labeling import figures
from labeling.answers import key
from labeling.queue.progress import Progress, progress
from labeling.store import agreed, runs
from labeling.store.agreed import Consolidated
from labeling.store.definition import Project
from labeling.store.runs import Run
from labeling.store.tables import answers

STEPS = 40
_COSTS = 20.0
"""How many times as long as it took to make it, an overview is shown again."""


@dataclass(frozen=True)
class Confusion:
    """How often two people who answered the same task said these labels, `(n, n)`, each pair of people once."""

    control: str
    labels: list[str]
    pairs: list[list[int]]


@dataclass(frozen=True)
class Overview:
    """One project at one moment. over_time: how many answers there were by then. distribution: by question, how often
    each label was given. rounds: of the latest run.
    """

    project: Project
    progress: Progress
    over_time: list[tuple[datetime, int]]
    distribution: dict[str, list[tuple[str, int]]]
    agreement: list[figures.ControlAgreement]
    confusion: list[Confusion]
    people: dict[str, figures.Person]
    consolidated: Consolidated | None
    run: Run | None
    rounds: list[dict[str, object]]


class Overviews:
    """Overviews, kept for a while where they take long. Safe to share between threads."""

    def __init__(self) -> None:
        self._kept: dict[int, tuple[float, Overview]] = {}
        self._lock = threading.Lock()

    def of(self, connection: Connection, project: Project, person: str) -> Overview:
        now = time.monotonic()
        with self._lock:
            kept = self._kept.get(project.id)
        if kept is not None and kept[0] > now and kept[1].project == project:
            return kept[1]
        made = overview(connection, project, person)
        took = time.monotonic() - now
        with self._lock:
            self._kept[project.id] = (now + _COSTS * took if took > 0.1 else 0.0, made)
        return made


def overview(connection: Connection, project: Project, person: str) -> Overview:
    """The overview as it is now; `person` is who looks."""
    several = project.overlap > 1
    run = runs.latest(connection, project)
    return Overview(
        project=project,
        progress=progress(connection, project, person),
        over_time=_over_time(connection, project),
        distribution=_distribution(connection, project),
        agreement=figures.project_agreement(connection, project) if several else [],
        confusion=_confusion(connection, project) if several else [],
        people=figures.people(connection, project),
        consolidated=agreed.consolidated(connection, project),
        run=run,
        rounds=[] if run is None else runs.history(connection, run),
    )


def _over_time(connection: Connection, project: Project) -> list[tuple[datetime, int]]:
    mine = answers.c.project_id == project.id
    first, last = connection.execute(select(func.min(answers.c.created), func.max(answers.c.created)).where(mine)).one()
    if first is None or last == first:
        return []
    moments = [first + (last - first) * step / STEPS for step in range(STEPS + 1)]
    counts = [func.count().filter(answers.c.created <= moment) for moment in moments]
    return list(zip(moments, connection.execute(select(*counts).where(mine)).one(), strict=True))


def _distribution(connection: Connection, project: Project) -> dict[str, list[tuple[str, int]]]:
    asked = [control for control in project.interface.controls if control.kind in figures.COMPARABLE]
    if not asked:
        return {}
    said = cast(answers.c.value, Text)
    query = select(said, func.count()).where(answers.c.project_id == project.id).group_by(said)
    counts: dict[str, Counter[str]] = {control.name: Counter() for control in asked}
    for text, number in connection.execute(query):
        value = json.loads(text)
        for control in asked:
            label = key(control, value)
            if label is not None:
                counts[control.name][label] += number
    return {
        name: sorted(found.items(), key=lambda pair: (-pair[1], pair[0])) for name, found in counts.items() if found
    }


def _confusion(connection: Connection, project: Project) -> list[Confusion]:
    asked = [control for control in project.interface.controls if control.kind in figures.COMPARABLE]
    given = list(agreed.given(connection, project)) if asked else []
    found = []
    for control in asked:
        rows = [(row.task_id, label) for row in given if (label := key(control, row.said)) is not None]
        if not rows:
            continue
        tasks, labels = np.unique([task for task, _ in rows], return_inverse=True)[1], [label for _, label in rows]
        names, codes = np.unique(labels, return_inverse=True)
        # Of each task, how often each label was given; labels that go together are products of these, and an answer
        # does not go together with itself.
        counts = sparse.csr_matrix((np.ones(len(rows), dtype=np.int64), (tasks, codes)))
        pairs = (counts.T @ counts).toarray() - np.diag(np.bincount(codes, minlength=len(names)))
        pairs[np.diag_indices(len(names))] //= 2
        if pairs.any():
            found.append(Confusion(control.name, [str(name) for name in names], pairs.tolist()))
    return found
