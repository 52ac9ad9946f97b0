"""What a project asks of automatic labeling, and the model that looks at its tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labeling.autolabel.goal import Goal
from labeling.config import Control, Interface
from labeling.store.definition import Project
from palate.errors import ParameterError

if TYPE_CHECKING:
    from labeling.autolabel.learners import Learner

MODELS = ("auto", "tfidf", "embeddings", "table")
"""Texts by their words, by sentence embeddings, or (auto) by both where embeddings can be had; tasks without any text
by the numbers and words of their data, as `table` does in any case."""
FEWEST = 20


@dataclass(frozen=True)
class RunSettings:
    """A promise, its price, and how. Raises ParameterError where a value is out of range.

    target, confidence, budget, check, seed_items: see `labeling.autolabel.Goal`. budget counts answers given after the
    start. suggest: whether people see what the model says of the tasks it asks for; in the audit they never do.
    warm_from: an earlier project whose labels train along as long as that helps.
    """

    target: float = 0.95
    confidence: float = 0.95
    budget: int | None = None
    check: float = 0.01
    seed_items: int | None = None
    model: str = "auto"
    seed: int = 0
    suggest: bool = True
    warm_from: int | None = None

    def __post_init__(self) -> None:
        self.goal(0)
        if self.model not in MODELS:
            raise ParameterError(
                f"{self.model[:40]!r} is no model.", where="model", hint=f"Use one of {', '.join(MODELS)}."
            )
        if not 0 <= self.seed < 2**31:
            raise ParameterError("is not between 0 and 2147483647.", where="seed")

    def goal(self, before: int) -> Goal:
        """The goal of a run before which there were so many answers, which the budget does not count."""
        return Goal(
            target=self.target,
            confidence=self.confidence,
            budget=None if self.budget is None else self.budget + before,
            check=self.check,
            check_at_most=max(self.check, 0.05),
            seed_items=self.seed_items,
        )

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def control_of(project: Project) -> Control:
    """The question that is labeled automatically. Raises ParameterError unless the project asks for one label."""
    control = project.interface.controls[0]
    if project.kind != "choice" or control.any_label or len(control.labels) < 2:
        raise ParameterError(
            "automatic labels are for projects that ask for one of several labels, and for nothing else.",
            where="project",
        )
    return control


def text_of(interface: Interface, data: Mapping[str, Any]) -> str:
    """All text that the project shows of a task."""
    shown = [data.get(each.field) for each in interface.objects if each.field is not None and each.inline]
    return "\n".join(text.strip() for text in shown if isinstance(text, str) and text.strip())


def learner_for_tasks(
    interface: Interface, data: Sequence[Mapping[str, Any]], model: str, cache: Path | None
) -> Learner:
    """The model for tasks with these data. Raises InputError if there is nothing in them to learn from."""
    from labeling.autolabel.learning import learner_for
    from labeling.autolabel.tables import Known

    texts = [text_of(interface, each) for each in data]
    if model == "table" or (model == "auto" and not any(texts)):
        names = sorted({name for each in data for name, value in each.items() if isinstance(value, int | float | str)})
        columns = {name: [_plain(each.get(name)) for each in data] for name in names}
        return learner_for(Known([], None, columns, 0))
    return learner_for(Known([], texts, {}, 0), model, cache)


def _plain(value: object) -> str | float | None:
    return value if isinstance(value, int | float | str) else None
