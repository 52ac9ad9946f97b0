"""How well people agree and how each of them works: figures of a project, from its answers.

Agreement is on what people said themselves, before a reviewer corrected it, and leaves out gold tasks. It is defined
where two answers can be equal: labels, ratings and comparisons, not stretches, boxes and texts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median

import numpy as np
from sqlalchemy import Connection, Text, cast, func, select

from labeling.answers import key, labels_of, same
from labeling.config import Control
from labeling.consensus.agreement import Agreement, agreement, label_agreement, worker_agreement
from labeling.consensus.answers import Answers
from labeling.store.definition import Project
from labeling.store.tables import answers, tasks

COMPARABLE = ("choice", "choices", "rating", "pairwise")
_KNOWN = 10_000
"""Different answers that are kept in mind while all are read."""


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


@dataclass
class Given:
    """What people said to one question, an entry each for every answer; labels as `labeling.answers.key` has them."""

    tasks: list[int] = field(default_factory=list)
    people: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)


def given(connection: Connection, project: Project) -> dict[str, Given]:
    """By question that can be compared, in the order of the interface, what people said themselves."""
    asked = [control for control in project.interface.controls if control.kind in COMPARABLE]
    found = {control.name: Given() for control in asked}
    if not asked:
        return found
    said = cast(func.coalesce(answers.c.original, answers.c.value, type_=answers.c.value.type), Text)
    query = select(answers.c.task_id, answers.c.person, said).where(answers.c.project_id == project.id)
    if project.golds:
        query = query.join(tasks, tasks.c.id == answers.c.task_id).where(tasks.c.gold.is_(None))
    # Most answers are alike to the letter: each is read once.
    known: dict[str, list[tuple[Given, str]]] = {}
    for task, person, text in connection.execute(query.execution_options(yield_per=5000)):
        labels = known.get(text)
        if labels is None:
            value = json.loads(text)
            labels = []
            for control in asked:
                label = key(control, value)
                if label is not None:
                    labels.append((found[control.name], label))
            if len(known) < _KNOWN:
                known[text] = labels
        for into, label in labels:
            into.tasks.append(task)
            into.people.append(person)
            into.labels.append(label)
    return found


def project_agreement(project: Project, said: Mapping[str, Given]) -> list[ControlAgreement]:
    """For each question that can be compared, in the order of the interface; `said` is what `given` gives."""
    return [_agreement(project.interface.by_name[name], one) for name, one in said.items()]


def _agreement(control: Control, said: Given) -> ControlAgreement:
    if not said.tasks:
        return ControlAgreement(control.name, Agreement(0, np.nan, np.nan, np.nan), {}, {})
    everything = Answers.of(said.tasks, said.people, said.labels)
    if control.kind == "choices":  # each label was given or not, whatever was given with it
        sets = {key: set(labels_of(control, key)) for key in set(said.labels)}
        labels = {
            label: agreement(Answers.of(said.tasks, said.people, [str(label in sets[key]) for key in said.labels]))
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


def _number(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 6)


def people(connection: Connection, project: Project) -> dict[str, Person]:
    """Each person's work, by name; who answered most comes first."""
    mine = answers.c.project_id == project.id
    right = (answers.c.verdict == "accepted") & (answers.c.returns == 0)
    query = select(
        answers.c.person,
        func.count().label("answers"),
        func.count(answers.c.verdict).label("judged"),
        func.count().filter(right).label("right"),
    )
    found = {
        row.person: Person(row.answers, reviewed=Share(row.judged, row.right))
        for row in connection.execute(query.where(mine).group_by(answers.c.person))
    }
    seconds: dict[str, list[float]] = {}
    taken = select(answers.c.person, answers.c.seconds).where(mine, answers.c.seconds.is_not(None))
    for name, took in connection.execute(taken.execution_options(yield_per=5000)):
        seconds.setdefault(name, []).append(took)
    if project.golds:
        known = select(answers.c.person, answers.c.value, tasks.c.gold).join(tasks, tasks.c.id == answers.c.task_id)
        for row in connection.execute(known.where(mine, tasks.c.project_id == project.id, tasks.c.gold.is_not(None))):
            found[row.person].gold.count(same(project.interface, row.value, row.gold))
    total = sum(one.answers for one in found.values())
    for name, one in found.items():
        one.share = one.answers / total
        one.seconds = median(seconds[name]) if name in seconds else None
    return dict(sorted(found.items(), key=lambda pair: (-pair[1].answers, pair[0])))
