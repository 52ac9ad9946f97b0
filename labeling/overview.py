"""What the overview of a project shows: answers over time, labels, agreement, confusion, consensus, the model."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

import numpy as np
from scipy import sparse
from sqlalchemy import Connection, Engine, Text, cast, func, select

from labeling import figures
from labeling.answers import key, readable
from labeling.beside import Beside
from labeling.config import Control
from labeling.queue.progress import Progress, Recent, progress
from labeling.store import agreed, runs
from labeling.store.agreed import Consolidated
from labeling.store.definition import Project
from labeling.store.projects import get
from labeling.store.runs import Run
from labeling.store.tables import answers
from palate.store import reading

STEPS = 40
MANY = 5_000
"""Answers from which on nobody waits until the figures are made."""
_COSTS = 20.0
"""How many times as long as it took to make them, such figures are shown again."""


@dataclass(frozen=True)
class Confusion:
    """How often two people who answered the same task said these labels, `(n, n)`, each pair of people once."""

    control: str
    labels: list[str]
    pairs: list[list[int]]


@dataclass(frozen=True)
class Overview:
    """One project at one moment. over_time: how many answers there were by then. distribution: by question, how often
    each label was given. rounds: of the latest run. counted: whether the figures are there; those of many answers take
    a while at the first time.
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
    counted: bool = True


class Overviews:
    """Overviews; of projects with many answers they are made beside the requests and shown again for a while. What is
    quickly told, such as the progress, is always of now. Safe to share between threads.
    """

    def __init__(self, engine: Engine, recent: Recent) -> None:
        self._engine, self._recent = engine, recent
        self._kept: dict[int, tuple[float, Overview]] = {}
        self._beside = Beside()

    def of(self, connection: Connection, project: Project, person: str) -> Overview:
        """The overview of a project for whoever looks."""
        state = progress(connection, project, person, self._recent)
        if not _many(connection, project):
            return overview(connection, project, state)
        kept = self._kept.get(project.id)
        if kept is None or kept[0] <= time.monotonic():
            self._beside.start(project.id, partial(self._make, project.id, state))
        run = runs.latest(connection, project)
        history = [] if run is None else runs.history(connection, run)
        if kept is None:
            return Overview(project, state, [], {}, [], [], {}, None, run, history, counted=False)
        return replace(kept[1], project=project, progress=state, run=run, rounds=history)

    def kept(self, connection: Connection, project: Project) -> Overview | None:
        """The figures as they were made last, of a project with so many answers that this takes long; None of others.

        Whoever asks first waits for them; later they are made anew beside the requests.
        """
        if not _many(connection, project):
            return None
        state = progress(connection, project, "", self._recent)
        kept = self._kept.get(project.id)
        if kept is None:
            self._make(project.id, state)
        elif kept[0] <= time.monotonic():
            self._beside.start(project.id, partial(self._make, project.id, state))
        return self._kept[project.id][1]

    def _make(self, project_id: int, state: Progress) -> None:
        began = time.monotonic()
        with reading(self._engine) as db:
            made = overview(db, get(db, project_id), state)
        now = time.monotonic()
        self._kept[project_id] = (now + _COSTS * (now - began), made)


def _many(connection: Connection, project: Project) -> bool:
    """Whether figures take long. Looked up, since the progress may be of before many answers were taken in."""
    some = select(answers.c.id).where(answers.c.project_id == project.id).limit(MANY + 1).subquery()
    return connection.execute(select(func.count()).select_from(some)).scalar_one() > MANY


def overview(connection: Connection, project: Project, state: Progress) -> Overview:
    """The overview as it is now; `state` is how far the project is for who looks."""
    said = figures.given(connection, project) if project.overlap > 1 else {}
    run = runs.latest(connection, project)
    return Overview(
        project=project,
        progress=state,
        over_time=_over_time(connection, project),
        distribution=_distribution(connection, project),
        agreement=figures.project_agreement(project, said),
        confusion=[
            found
            for name, one in said.items()
            if (found := _confusion(project.interface.by_name[name], one)) is not None
        ],
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
    by_name = project.interface.by_name
    return {
        name: sorted(((readable(by_name[name], label), number) for label, number in found.items()), key=_most_first)
        for name, found in counts.items()
        if found
    }


def _most_first(pair: tuple[str, int]) -> tuple[int, str]:
    return -pair[1], pair[0]


def _confusion(control: Control, said: figures.Given) -> Confusion | None:
    if not said.tasks:
        return None
    tasks = np.unique(said.tasks, return_inverse=True)[1]
    names, codes = np.unique(said.labels, return_inverse=True)
    # Of each task, how often each label was given; labels that go together are products of these, and an answer
    # does not go together with itself.
    counts = sparse.csr_matrix((np.ones(len(codes), dtype=np.int64), (tasks, codes)))
    pairs = (counts.T @ counts).toarray() - np.diag(np.bincount(codes, minlength=len(names)))
    pairs[np.diag_indices(len(names))] //= 2
    shown = [readable(control, str(each)) for each in names]
    return Confusion(control.name, shown, pairs.tolist()) if pairs.any() else None
