"""What the labeling API takes and gives, as OpenAPI shows it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import Field, JsonValue, StrictFloat, StrictInt, StrictStr

from labeling.answers import short
from labeling.config import Control
from labeling.exports import FORMATS
from labeling.queue import progress as counting
from labeling.queue.leases import Turn
from labeling.service import Step
from labeling.store.budgets import Budget
from labeling.store.definition import Definition, NewTask, Project
from palate.errors import ParameterError
from palate.web import Model

DAY = 86_400.0


class ProgressOut(Model):
    """How far the project is; `mine` and `skipped` are the caller's own."""

    tasks: int
    done: int = Field(
        description="Tasks with as many answers as the overlap asks for, all reviewed if the project says so."
    )
    remaining: int
    answers: int
    needed: int
    mine: int
    skipped: int
    to_review: int = Field(description="Answers that wait for a verdict, or that a model doubts.")
    automatic: int = Field(description="Tasks that a model has labeled and nobody was asked about.")

    @classmethod
    def of(cls, state: counting.Progress) -> Self:
        return cls(**{name: getattr(state, name) for name in cls.model_fields})


class SpentOut(Model):
    """What a project's work has come to; `in_hands` are tasks that people have and have not answered yet."""

    answers: int
    in_hands: int
    money: float
    seconds: float


class BudgetOut(Model):
    """Bounds of a project's work, null where there is none; once one is `reached`, no more tasks are handed out.

    `price` is that of one answer, `seconds` are of work. Gold tasks count, too.
    """

    answers: int | None
    price: float
    money: float | None
    seconds: float | None
    reached: Literal["answers", "money", "seconds"] | None
    spent: SpentOut

    @classmethod
    def of(cls, budget: Budget) -> Self:
        spent = SpentOut(
            answers=budget.answered, in_hands=budget.in_hands, money=budget.spent, seconds=round(budget.worked, 2)
        )
        return cls(**asdict(budget.limits), reached=budget.reached, spent=spent)


class ControlOut(Model):
    """One question of the labeling interface: results carry its `name` as `from_name` and `type`."""

    name: str
    type: str
    kind: str
    to: list[str]
    labels: list[str]
    required: bool

    @classmethod
    def of(cls, control: Control) -> Self:
        return cls(
            name=control.name,
            type=control.type,
            kind=control.kind,
            to=list(control.to),
            labels=list(control.labels),
            required=control.required,
        )


class ProjectOut(Model):
    """A project and how far it is."""

    id: int
    title: str
    kind: str
    labels: list[str]
    instructions: str
    overlap: int
    created: datetime
    config: str = Field(description="The labeling interface: Label Studio's XML, as it came or as it was written.")
    editor: Literal["own", "label-studio"] = Field(description="Whose editor can show it.")
    controls: list[ControlOut]
    paused: bool
    deadline: datetime | None
    budget: BudgetOut | None
    order: str
    seed: int
    review: str
    consensus: str = Field(description="The method by which answers are kept consolidated, or none.")
    progress: ProgressOut

    @classmethod
    def of(cls, project: Project, state: counting.Progress) -> Self:
        return cls(
            id=project.id,
            title=project.title,
            kind=project.kind,
            labels=list(project.labels),
            instructions=project.instructions,
            overlap=project.overlap,
            created=project.created,
            config=project.config,
            editor=project.interface.editor,
            controls=[ControlOut.of(control) for control in project.interface.controls],
            paused=project.paused,
            deadline=project.deadline,
            budget=None if state.budget is None else BudgetOut.of(state.budget),
            order=project.ordering,
            seed=project.seed,
            review=project.review,
            consensus=project.consensus,
            progress=ProgressOut.of(state),
        )


class ProjectList(Model):
    """All projects, the newest first."""

    projects: list[ProjectOut]


class TaskIn(Model):
    """One task: `data` is what people see of it (title, text, tags) and whatever should come out again with the answer.

    `external_id` is your own name for it; without one it is `data.item_id`. Sent again, it is not added again. The
    higher the `priority` the earlier it is handed out, where the project's order is `priority`. `gold` is the right
    answer, if it is known: such a task is given to everybody now and then, to see how well they answer.
    """

    external_id: StrictStr | None = None
    data: dict[str, JsonValue] = Field(default_factory=dict)
    priority: StrictInt = 0
    gold: JsonValue = None

    def task(self, where: str) -> NewTask:
        name = self.external_id if self.external_id is not None else self.data.get("item_id", "")
        if isinstance(name, bool) or not isinstance(name, str | int):
            raise ParameterError("an id is a text or an integer.", where=f"{where}.data.item_id")
        return NewTask(str(name), self.data, self.priority, self.gold, where=where)


class TasksIn(Model):
    """Tasks to add: all of them or, if one does not fit, none."""

    tasks: list[TaskIn] = Field(min_length=1, max_length=100_000)

    def new(self) -> Iterator[NewTask]:
        return (task.task(f"tasks[{number}]") for number, task in enumerate(self.tasks))


class ProjectIn(Model):
    """A project to make, with its first tasks if you like.

    What is asked is described by `kind` (choice, choices, spans, boxes, rating, pairwise, text) and `labels`, or by
    `config`, a labeling interface in Label Studio's XML.
    """

    title: StrictStr
    labels: list[StrictStr] = Field(default_factory=list)
    instructions: StrictStr = ""
    overlap: StrictInt = 1
    kind: StrictStr = "choice"
    config: StrictStr = ""
    tasks: list[TaskIn] = Field(default_factory=list, max_length=100_000)

    def definition(self) -> Definition:
        return Definition(self.title, tuple(self.labels), self.instructions, self.overlap, self.kind, self.config)

    def new(self) -> list[NewTask]:
        return [task.task(f"tasks[{number}]") for number, task in enumerate(self.tasks)]


class Added(Model):
    """What an import did; `present` tasks were there already."""

    project: int
    added: int
    present: int


class SuggestionOut(Model):
    """What a model says of a task, and how sure it is, from 0 to 1. It counts only once a person submits it."""

    value: dict[str, Any] | list[dict[str, Any]]
    score: float
    model: str


class TaskOut(Model):
    """A task in your hands. `value` is your answer if you came back to it; otherwise it is yours until `expires`.
    `draft` is what you had begun, `note` what a reviewer says who sent your answer back.

    An answer is a list of regions in Label Studio's form, or the one value where that says it all.
    """

    id: int
    external_id: str
    data: dict[str, JsonValue]
    expires: datetime | None
    value: dict[str, Any] | list[dict[str, Any]] | None
    draft: dict[str, Any] | list[dict[str, Any]] | None
    note: str | None
    suggestion: SuggestionOut | None

    @classmethod
    def of(cls, project: Project, turn: Turn) -> Self:
        hint = turn.suggestion
        said = (
            None
            if hint is None
            else SuggestionOut(value=short(project.interface, hint.value), score=hint.score, model=hint.model)
        )
        return cls(
            id=turn.task_id,
            external_id=turn.external_id,
            data=turn.data,
            expires=turn.expires,
            value=None if turn.value is None else short(project.interface, turn.value),
            draft=None if turn.draft is None else short(project.interface, turn.draft),
            note=turn.note,
            suggestion=said,
        )


class StepOut(Model):
    """Where a turn leaves you: a task, or null if there is none for you, and how far the project is.

    `more`: there is none now, but a model is learning from the answers and may ask for more. Ask again.
    """

    task: TaskOut | None
    progress: ProgressOut
    more: bool

    @classmethod
    def of(cls, step: Step) -> Self:
        task = None if step.task is None else TaskOut.of(step.project, step.task)
        return cls(task=task, progress=ProgressOut.of(step.progress), more=step.more)


class NextIn(Model):
    """`holding`: tasks you have before you or loaded ahead. Any other task leased to you is given first."""

    holding: list[StrictInt] = Field(default_factory=list, max_length=1000)


class AnswerIn(Model):
    """One answer and how long it took: `value` is Label Studio's `result`, a list of regions.

    Where a project asks one plain question its value alone will do: {"choices": ["Drama"]}, {"rating": 4},
    {"selected": "left"}, {"text": ["..."]}.

    `holding` asks for the next task at once, as in POST /next: one call for a whole turn. If none is handed out, the
    task is null, whatever the reason; the answer is stored all the same.
    """

    value: JsonValue
    seconds: Annotated[StrictFloat, Field(ge=0, le=30 * DAY)] | None = None
    holding: list[StrictInt] | None = Field(None, max_length=1000)


class UndoIn(Model):
    """`task`: the one before you. If you came back to it already, undo goes back one further."""

    task: StrictInt | None = None


class SkipIn(Model):
    """Why the task is left to others, if you like to say."""

    reason: StrictStr | None = None


class ExportQuery(Model):
    """`all`: tasks without an answer, too."""

    format: str = Field("json", json_schema_extra={"enum": list(FORMATS)})
    all: bool = False
