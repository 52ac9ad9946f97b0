"""What the labeling API takes and gives, as OpenAPI shows it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import Field, JsonValue, StrictFloat, StrictInt, StrictStr

from labeling.queue import progress as counting
from labeling.queue.turns import Turn
from labeling.service import Step
from labeling.store import projects
from palate.errors import ParameterError
from palate.web import Model

DAY = 86_400.0


class ProgressOut(Model):
    """How far the project is; `mine` and `skipped` are the caller's own."""

    tasks: int
    done: int = Field(description="Tasks with as many answers as the overlap asks for.")
    remaining: int
    answers: int
    needed: int
    mine: int
    skipped: int

    @classmethod
    def of(cls, state: counting.Progress) -> Self:
        return cls(**asdict(state))


class ProjectOut(Model):
    """A project and how far it is."""

    id: int
    title: str
    kind: str
    labels: list[str]
    instructions: str
    overlap: int
    created: datetime
    progress: ProgressOut

    @classmethod
    def of(cls, project: projects.Project, state: counting.Progress) -> Self:
        return cls(
            id=project.id,
            title=project.title,
            kind=project.kind,
            labels=list(project.labels),
            instructions=project.instructions,
            overlap=project.overlap,
            created=project.created,
            progress=ProgressOut.of(state),
        )


class ProjectList(Model):
    """All projects, the newest first."""

    projects: list[ProjectOut]


class TaskIn(Model):
    """One task: `data` is what people see of it (title, text, tags) and whatever should come out again with the answer.

    `external_id` is your own name for it; without one it is `data.item_id`. Sent again, it is not added again.
    """

    external_id: StrictStr | None = None
    data: dict[str, JsonValue] = Field(default_factory=dict)

    def task(self, where: str) -> projects.NewTask:
        name = self.external_id if self.external_id is not None else self.data.get("item_id", "")
        if isinstance(name, bool) or not isinstance(name, str | int):
            raise ParameterError("an id is a text or an integer.", where=f"{where}.data.item_id")
        return projects.NewTask(str(name), self.data, where=where)


class TasksIn(Model):
    """Tasks to add: all of them or, if one does not fit, none."""

    tasks: list[TaskIn] = Field(min_length=1, max_length=100_000)

    def new(self) -> Iterator[projects.NewTask]:
        return (task.task(f"tasks[{number}]") for number, task in enumerate(self.tasks))


class ProjectIn(Model):
    """A project to make, with its first tasks if you like."""

    title: StrictStr
    labels: list[StrictStr]
    instructions: StrictStr = ""
    overlap: StrictInt = 1
    kind: StrictStr = "choice"
    tasks: list[TaskIn] = Field(default_factory=list, max_length=100_000)

    def definition(self) -> projects.Definition:
        return projects.Definition(self.title, tuple(self.labels), self.instructions, self.overlap, self.kind)

    def new(self) -> list[projects.NewTask]:
        return [task.task(f"tasks[{number}]") for number, task in enumerate(self.tasks)]


class Added(Model):
    """What an import did; `present` tasks were there already."""

    project: int
    added: int
    present: int


class TaskOut(Model):
    """A task in your hands. `value` is your answer if you came back to it; otherwise it is yours until `expires`."""

    id: int
    external_id: str
    data: dict[str, JsonValue]
    expires: datetime | None
    value: dict[str, Any] | None

    @classmethod
    def of(cls, turn: Turn) -> Self:
        return cls(
            id=turn.task_id, external_id=turn.external_id, data=turn.data, expires=turn.expires, value=turn.value
        )


class StepOut(Model):
    """Where a turn leaves you: a task, or null if there is none for you, and how far the project is."""

    task: TaskOut | None
    progress: ProgressOut

    @classmethod
    def of(cls, step: Step) -> Self:
        return cls(task=None if step.task is None else TaskOut.of(step.task), progress=ProgressOut.of(step.progress))


class NextIn(Model):
    """`holding`: tasks you have before you or loaded ahead. Any other task leased to you is given first."""

    holding: list[StrictInt] = Field(default_factory=list, max_length=1000)


class AnswerIn(Model):
    """One answer: `value` in Label Studio's form, {"choices": ["Drama"]}, and how long it took."""

    value: JsonValue
    seconds: Annotated[StrictFloat | StrictInt, Field(ge=0, le=30 * DAY)] | None = None


class UndoIn(Model):
    """`task`: the one before you. If you came back to it already, undo goes back one further."""

    task: StrictInt | None = None


class Empty(Model):
    """An empty object."""


class ExportQuery(Model):
    """`format`: json is Label Studio's form, csv is for spreadsheets. `all`: tasks without an answer, too."""

    format: Literal["json", "csv"] = "json"
    all: bool = False
