"""How well people agree and how each of them works: figures of a project, from its answers.

Agreement is on what people said themselves, before a reviewer corrected it, and leaves out gold tasks. It is defined
where two answers can be equal: labels, ratings and comparisons, not stretches, boxes and texts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import numpy as np
from sqlalchemy import Connection, func, select

from labeling.answers import key, same
from labeling.config import Control
from labeling.consensus.agreement import Agreement, agreement, label_agreement, worker_agreement
from labeling.consensus.answers import Answers
from labeling.store.definition import Project
from labeling.store.tables import answers, tasks

COMPARABLE = ("choice", "choices", "rating", "pairwise")


@dataclass(frozen=True)
class Alike:
    """One person's agreement with the others: on so many of their answers, the share that is equal, Cohen's kappa."""

    met: int
    percent: float | None
    kappa: float | None


@dataclass(frozen=True)
class ControlAgreement:
    """The agreement on one question: of all answers, of each label against the others, of each person."""

    control: str
    overall: Agreement
    labels: dict[str, Agreement]
    people: dict[str, Alike]


@dataclass
class Share:
    """Of `total` answers `right` ones."""

    total: int = 0
    right: int = 0

    def count(self, right: bool) -> None:
        self.total += 1
        self.right += right

    @property
    def accuracy(self) -> float | None:
        return self.right / self.total if self.total else None


@dataclass
class Person:
    """One person's work: answers and their share of all, the median of seconds for one, and how many were right, of
    gold tasks and of what reviewers judged (right is what they accepted the first time).
    """

    answers: int = 0
    share: float = 0.0
    seconds: float | None = None
    gold: Share = field(default_factory=Share)
    reviewed: Share = field(default_factory=Share)


def project_agreement(connection: Connection, project: Project) -> list[ControlAgreement]:
    """For each question that can be compared, in the order of the interface."""
    asked = [control for control in project.interface.controls if control.kind in COMPARABLE]
    given = [(task, person, said) for task, person, said in _answers(connection, project)] if asked else []
    return [_agreement(control, given) for control in asked]


def _answers(connection: Connection, project: Project) -> Iterator[Any]:
    said = func.coalesce(answers.c.original, answers.c.value, type_=answers.c.value.type)
    query = (
        select(answers.c.task_id, answers.c.person, said)
        .join(tasks, tasks.c.id == answers.c.task_id)
        .where(answers.c.project_id == project.id, tasks.c.gold.is_(None))
    )
    yield from connection.execute(query.execution_options(yield_per=1000))


def _agreement(control: Control, given: list[tuple[int, str, Any]]) -> ControlAgreement:
    rows = [(task, person, label) for task, person, said in given if (label := key(control, said)) is not None]
    if not rows:
        return ControlAgreement(control.name, Agreement(0, np.nan, np.nan, np.nan), {}, {})
    work, who, what = (list(column) for column in zip(*rows, strict=True))
    everything = Answers.of(work, who, what)
    if control.kind == "choices":  # each label was given or not, whatever was given with it
        sets = [set(_labels(control, said)) for _, _, said in given if key(control, said) is not None]
        labels = {
            label: agreement(Answers.of(work, who, [str(label in chosen) for chosen in sets]))
            for label in control.labels
        }
    else:
        labels = dict(zip(map(str, everything.labels.ids.to_pylist()), label_agreement(everything), strict=True))
    each = worker_agreement(everything)
    people = {
        str(person): Alike(int(each.met[place]), _number(each.percent[place]), _number(each.kappa[place]))
        for place, person in enumerate(everything.workers.ids.to_pylist())
    }
    return ControlAgreement(control.name, agreement(everything), labels, people)


def _labels(control: Control, said: list[dict[str, Any]]) -> list[str]:
    return [label for region in said if region.get("from_name") == control.name for label in region["value"]["choices"]]


def _number(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 6)


def people(connection: Connection, project: Project) -> dict[str, Person]:
    """Each person's work, by name; who answered most comes first."""
    found: dict[str, Person] = {}
    seconds: dict[str, list[float]] = {}
    columns = (answers.c.person, answers.c.value, answers.c.original, answers.c.seconds, answers.c.verdict)
    query = (
        select(*columns, answers.c.returns, tasks.c.gold)
        .join(tasks, tasks.c.id == answers.c.task_id)
        .where(answers.c.project_id == project.id)
    )
    for row in connection.execute(query.execution_options(yield_per=1000)):
        one = found.setdefault(row.person, Person())
        one.answers += 1
        if row.seconds is not None:
            seconds.setdefault(row.person, []).append(row.seconds)
        if row.gold is not None:
            one.gold.count(same(project.interface, row.value, row.gold))
        if row.verdict is not None:
            one.reviewed.count(row.verdict == "accepted" and row.returns == 0)
    total = sum(one.answers for one in found.values())
    for name, one in found.items():
        one.share = one.answers / total
        one.seconds = median(seconds[name]) if name in seconds else None
    return dict(sorted(found.items(), key=lambda pair: (-pair[1].answers, pair[0])))
