"""What people's answers say together: every question of a project by the way to consensus that fits its kind.

One label, a rating, the better of two: by the project's method. Several labels: each by itself, as given or not, and
the whole as sure as all of that together. Stretches and boxes: merged by overlap, each person weighing as much as they
are right elsewhere. Free text has none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from labeling.answers import key
from labeling.config import Control, Interface
from labeling.consensus import Answers, Box, Span, make_method, merge_boxes, merge_spans, method_class
from labeling.consensus.answers import Floats
from labeling.consensus.protocol import Consensus
from palate.errors import ParameterError

Result = Sequence[Mapping[str, Any]]
Given = tuple[int, str, Result]
"""A task, who answered it, and the answer."""
Predicted = Mapping[int, tuple[Result, float]]
"""By task, what a model says and how sure it is."""
LEAST = 0.001
"""Labels less probable than this are not kept."""
COMPARED = ("choice", "rating", "pairwise")


@dataclass
class Agreed:
    """One task: the answer that holds, how surely, and by question the probability of each label."""

    value: list[dict[str, Any]] = field(default_factory=list)
    confidence: float | None = None
    posterior: dict[str, dict[str, float]] = field(default_factory=dict)

    def add(
        self, control: Control, values: list[dict[str, Any]], confidence: float, posterior: dict[str, float]
    ) -> None:
        about = {"from_name": control.name, "to_name": ",".join(control.to), "type": control.type}
        self.value += [{**about, "value": value} for value in values]
        self.confidence = round(confidence if self.confidence is None else min(confidence, self.confidence), 6)
        if posterior:
            self.posterior[control.name] = posterior


@dataclass(frozen=True)
class Skill:
    """How often a person is right, as the consensus has it, on so many answers to one question."""

    control: str
    person: str
    skill: float
    answers: int


@dataclass(frozen=True)
class Together:
    """All tasks with an answer, everybody's skill, and how the method went, by question."""

    tasks: dict[int, Agreed]
    skills: list[Skill]
    report: dict[str, Any]


def together(interface: Interface, given: Sequence[Given], method: str, predicted: Predicted | None = None) -> Together:
    """The consensus of all answers. `method`: any of `labeling.consensus.METHODS`.

    Raises ParameterError if the method needs a model's predictions and there are none.
    """
    work = _Work(interface, given, method, predicted or {})
    for control in interface.controls:
        ways: dict[str, Callable[[Control], None]] = {
            "choices": work.several,
            "spans": work.marked,
            "boxes": work.marked,
        }
        if control.kind in COMPARED:
            work.compared(control)
        elif control.kind in ways:
            ways[control.kind](control)
    return Together(work.tasks, work.skills, work.report)


class _Work:
    def __init__(self, interface: Interface, given: Sequence[Given], method: str, predicted: Predicted) -> None:
        self._given, self._method, self._predicted = given, method, predicted
        self._interface = interface
        self.tasks: dict[int, Agreed] = {task: Agreed() for task, _, _ in given}
        self.skills: list[Skill] = []
        self.report: dict[str, Any] = {}

    def compared(self, control: Control) -> None:
        """One label of several, by the method."""
        rows = [(task, who, said) for task, who, result in self._given if (said := key(control, result)) is not None]
        if not rows:
            return
        answers, found = self._consolidated(control, rows, lambda result: key(control, result))
        names = [str(name) for name in answers.labels.ids.to_pylist()]
        starts, label, share = found.candidates.starts.tolist(), found.candidates.label, found.posterior
        for place, task in enumerate(answers.tasks.ids.to_pylist()):
            at = slice(starts[place], starts[place + 1])
            posterior = {
                names[code]: round(p, 6)
                for code, p in zip(label[at].tolist(), share[at].tolist(), strict=True)
                if p >= LEAST
            }
            chosen = names[int(found.chosen[place])]
            self.tasks[int(task)].add(control, [_value(control, chosen)], float(found.confidence[place]), posterior)
        people = [str(name) for name in answers.workers.ids.to_pylist()]
        self._skills(control, dict(zip(people, zip(found.skill, answers.per_worker, strict=True), strict=True)))

    def several(self, control: Control) -> None:
        """Any number of labels: each one given or not."""
        sets = [
            (task, who, labels)
            for task, who, result in self._given
            if (labels := _labels(control, result, "choices")) is not None
        ]
        if not sets:
            return
        names = sorted(set().union(*(labels for _, _, labels in sets)))
        posterior: dict[int, dict[str, float]] = {task: {} for task, _, _ in sets}
        right: dict[str, list[float]] = {}
        for name in names:
            rows = [(task, who, "yes" if name in labels else "no") for task, who, labels in sets]

            def predicted(result: Result, name: str = name) -> str:
                return "yes" if name in (_labels(control, result, "choices") or ()) else "no"

            answers, found = self._consolidated(control, rows, predicted)
            yes = answers.labels.ids.to_pylist().index("yes")
            table = found.table(answers.n_labels)[:, yes]
            for task, share in zip(answers.tasks.ids.to_pylist(), table.tolist(), strict=True):
                posterior[int(task)][name] = round(share, 6)
            for who, skill in zip(answers.workers.ids.to_pylist(), found.skill.tolist(), strict=True):
                right.setdefault(str(who), []).append(skill)
        for task, shares in posterior.items():
            chosen = [name for name, share in shares.items() if share > 0.5]
            sure = math.prod(max(share, 1 - share) for share in shares.values())
            kept = {name: share for name, share in shares.items() if share >= LEAST}
            self.tasks[task].add(control, [{"choices": chosen}], sure, kept)
        counts = {who: sum(1 for _, one, _ in sets if one == who) for who in right}
        self._skills(control, {who: (float(np.mean(each)), counts[who]) for who, each in right.items()})

    def marked(self, control: Control) -> None:
        """Stretches or boxes, merged by overlap. Whoever saw the task and marked nothing counts against."""
        weights = {each.person: max(each.skill, 0.05) for each in self.skills}
        by_task: dict[int, dict[str, Result]] = {}
        for task, who, result in self._given:
            by_task.setdefault(task, {})[who] = result
        for task, results in by_task.items():
            merged: list[Any]
            if control.kind == "spans":
                found = {who: _spans(control, result) for who, result in results.items()}
                merged = list(merge_spans(found, {who: weights.get(who, 1.0) for who in found}))
            else:
                drawn = {who: _boxes(control, result) for who, result in results.items()}
                merged = list(merge_boxes(drawn, {who: weights.get(who, 1.0) for who in drawn}))
            sure = min((float(each.support) for each in merged), default=1.0)
            self.tasks[task].add(control, [_mark(control, each.region) for each in merged], sure, {})

    def _consolidated(
        self, control: Control, rows: list[tuple[int, str, str]], label: Callable[[Result], str | None]
    ) -> tuple[Answers, Consensus]:
        tasks, people, labels = (list(column) for column in zip(*rows, strict=True))
        known = control.labels if control.kind == "choice" else ("no", "yes") if control.kind == "choices" else ()
        answers = Answers.of(tasks, people, labels, known)
        probabilities = None
        if method_class(self._method).uses_probabilities:
            probabilities = self._probabilities(answers, label)
        found = make_method(self._method).consolidate(answers, probabilities)
        self.report[control.name] = {"rounds": found.rounds, "converged": found.converged, "answers": len(answers)}
        return answers, found

    def _probabilities(self, answers: Answers, label: Callable[[Result], str | None]) -> Floats:
        """What a model says: its label as probable as it is sure, the others alike; all alike where it says nothing."""
        if not self._predicted:
            raise ParameterError(
                f"the method {self._method!r} needs a model's predictions, and there are none.",
                where="method",
                hint="Let a model label, or send predictions.",
            )
        table = np.full((answers.n_tasks, answers.n_labels), 1.0 / answers.n_labels)
        codes = {str(name): code for code, name in enumerate(answers.labels.ids.to_pylist())}
        for place, task in enumerate(answers.tasks.ids.to_pylist()):
            result, score = self._predicted.get(int(task), ((), 0.0))
            code = codes.get(str(label(result))) if result else None
            if code is not None and answers.n_labels > 1:
                table[place] = (1.0 - score) / (answers.n_labels - 1)
                table[place, code] = score
        return table

    def _skills(self, control: Control, found: Mapping[str, tuple[float, int]]) -> None:
        for person, (skill, answers) in found.items():
            self.skills.append(Skill(control.name, person, round(float(skill), 6), int(answers)))


def _value(control: Control, label: str) -> dict[str, Any]:
    if control.kind == "rating":
        return {"rating": int(label)}
    return {"selected": label} if control.kind == "pairwise" else {"choices": [label]}


def _values(control: Control, result: Result) -> list[Mapping[str, Any]]:
    return [region["value"] for region in result if region.get("from_name") == control.name]


def _labels(control: Control, result: Result, name: str) -> set[str] | None:
    found = _values(control, result)
    return set(found[0][name]) if found else None


def _spans(control: Control, result: Result) -> list[Span]:
    return [
        Span(value["start"], value["end"], label) for value in _values(control, result) for label in value["labels"]
    ]


def _boxes(control: Control, result: Result) -> list[Box]:
    return [
        Box(value["x"], value["y"], value["width"], value["height"], label)
        for value in _values(control, result)
        for label in value["rectanglelabels"]
    ]


def _mark(control: Control, region: Span | Box) -> dict[str, Any]:
    if isinstance(region, Span):
        return {"start": region.start, "end": region.end, "labels": [region.label]}
    place = {"x": region.x, "y": region.y, "width": region.width, "height": region.height}
    return {**place, "rectanglelabels": [region.label]}
