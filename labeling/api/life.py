"""Routes for what happens to a project after it was made, and for what people say about its tasks."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import AwareDatetime, Field, JsonValue, StrictBool, StrictFloat, StrictInt, StrictStr

from labeling.api.caller import MANAGE, by, labeling, me
from labeling.api.models import ProjectOut
from labeling.store import remarks
from labeling.store.budgets import Limits
from labeling.store.forecasts import Prediction
from labeling.store.members import ADMINISTRATOR, REVIEWER
from palate.web import Model, gives, require, takes


class BudgetIn(Model):
    """Bounds of a project's work: at least one of `answers`, `money` (with the `price` of an answer) and `seconds`."""

    answers: Annotated[StrictInt, Field(ge=0)] | None = None
    price: Annotated[StrictFloat, Field(ge=0)] = 0
    money: Annotated[StrictFloat, Field(ge=0)] | None = None
    seconds: Annotated[StrictFloat, Field(ge=0)] | None = None


class ProjectChange(Model):
    """What to change; what is left out stays. `deadline` and `budget`: null for none.

    `order`: import, priority, random (by `seed`), uncertainty (the least sure prediction first) or diversity (each task
    unlike those before it). `gold_rate`: the share of everybody's tasks that are gold. `review`: none, open, or blind,
    where the reviewer answers as well without seeing the answer. `consensus`: none, or the method by which answers are
    kept consolidated.
    """

    instructions: StrictStr = ""
    paused: StrictBool = False
    deadline: AwareDatetime | None = None
    budget: BudgetIn | None = None
    order: StrictStr = "import"
    seed: StrictInt = 0
    gold_rate: Annotated[StrictFloat, Field(ge=0, le=1)] = 0
    review: StrictStr = "none"
    consensus: StrictStr = "none"

    def changes(self) -> dict[str, Any]:
        """By the names that the store has for them."""
        changes = {"ordering" if name == "order" else name: getattr(self, name) for name in self.model_fields_set}
        if self.budget is not None:
            changes["budget"] = Limits(**self.budget.model_dump())
        return changes


class PredictionIn(Model):
    """What a model says of one task: an answer, and how sure it is."""

    external_id: StrictStr
    value: JsonValue
    score: Annotated[StrictFloat, Field(ge=0, le=1)]


class PredictionsIn(Model):
    """What one model says of tasks; each takes the place of an earlier prediction."""

    model: StrictStr
    predictions: list[PredictionIn] = Field(min_length=1, max_length=100_000)


class Predicted(Model):
    """How many predictions were stored."""

    stored: int


class DraftIn(Model):
    """What you have begun to answer; null forgets it."""

    value: JsonValue


class DraftOut(Model):
    """Whether a draft is kept."""

    kept: bool


class InterfaceIn(Model):
    """The new interface: `config`, Label Studio's XML, or for a project made from a kind its new `labels`.

    `map` says by control which new label takes the place of an old one: {"label": {"Drama": "Tragedy"}}.
    """

    config: StrictStr = ""
    labels: list[StrictStr] = Field(default_factory=list, max_length=1000)
    map: dict[StrictStr, dict[StrictStr, StrictStr]] = Field(default_factory=dict)


class Relabeled(Model):
    """The project as it is now; `mapped` answers got other labels."""

    mapped: int
    project: ProjectOut


class Removed(Model):
    """What was deleted."""

    project: int
    title: str
    tasks: int


class TaskStateOut(Model):
    """Where one task stands: done once it has as many `answers` as `needed`; `skipped` by so many people.

    Annotators don't see this: it would tell gold tasks from others.
    """

    id: int
    external_id: str
    data: dict[str, JsonValue]
    answers: int
    needed: int
    done: bool
    skipped: int
    skip_reasons: list[str]
    comments: int
    flagged: bool


class CommentIn(Model):
    """A comment on a task. `flag`: somebody should look at the task."""

    text: StrictStr
    flag: StrictBool = False


class CommentOut(Model):
    """A comment; a flag is open until it is resolved."""

    id: int
    task_id: int
    person: str
    text: str
    flag: bool
    resolved: bool
    created: datetime

    @classmethod
    def of(cls, comment: remarks.Comment) -> Self:
        return cls(**asdict(comment))


class CommentList(Model):
    """Comments, the newest first; at most 1000."""

    comments: list[CommentOut]


class CommentQuery(Model):
    """Only flags, or only open or resolved ones."""

    flag: bool | None = None
    resolved: bool | None = None


class ResolvedIn(Model):
    """Whether the comment is dealt with."""

    resolved: StrictBool


@by(ADMINISTRATOR)
@takes(body=ProjectChange)
@gives(ProjectOut)
def change_project(project_id: int, body: ProjectChange) -> ProjectOut:
    """Change a project's instructions, deadline, budget, order or review, pause it, take it up again.

    While it is paused, after its deadline and once its budget is spent no tasks are handed out; those in people's hands
    can still be answered.
    """
    labeling().change(project_id, body.changes())
    return ProjectOut.of(*labeling().project(project_id, me()))


@by(ADMINISTRATOR)
@takes(body=InterfaceIn)
@gives(Relabeled)
def change_interface(project_id: int, body: InterfaceIn) -> Relabeled:
    """Change what is asked, also after work began: rename, merge, add or remove labels.

    All answers are mapped, or none: 409 says how many answers use a label that would be gone without a successor.
    """
    _, mapped = labeling().relabel(project_id, config=body.config, labels=body.labels, mapping=body.map)
    return Relabeled(mapped=mapped, project=ProjectOut.of(*labeling().project(project_id, me())))


@require(MANAGE)
@gives(Removed)
def delete_project(project_id: int) -> Removed:
    """Delete a project with its tasks, answers and comments. There is no way back but a backup."""
    gone = labeling().remove(project_id)
    return Removed(project=gone.id, title=gone.title, tasks=gone.tasks)


@by(ADMINISTRATOR)
@takes(body=PredictionsIn)
@gives(Predicted)
def put_predictions(project_id: int, body: PredictionsIn) -> Predicted:
    """Store what a model says of tasks: all of it or, if one does not fit, nothing. People see it as a suggestion."""
    new = [Prediction(each.external_id, each.value, each.score) for each in body.predictions]
    return Predicted(stored=labeling().predict(project_id, body.model, new))


@takes(body=DraftIn)
@gives(DraftOut)
def keep_draft(project_id: int, task_id: int, body: DraftIn) -> DraftOut:
    """Keep what you have begun to answer; it comes back with the task, and goes when you submit or skip it."""
    labeling().keep_draft(project_id, me(), task_id, body.value)
    return DraftOut(kept=body.value is not None)


@by(ADMINISTRATOR, REVIEWER)
@gives(TaskStateOut)
def get_task(project_id: int, task_id: int) -> TaskStateOut:
    """Where one task stands."""
    return TaskStateOut(**asdict(labeling().task(project_id, task_id)))


@gives(CommentList)
def list_task_comments(project_id: int, task_id: int) -> CommentList:
    """What was said about a task."""
    return CommentList(comments=[CommentOut.of(each) for each in labeling().comments(project_id, task_id=task_id)])


@takes(body=CommentIn)
@gives(CommentOut, status=201)
def add_comment(project_id: int, task_id: int, body: CommentIn) -> tuple[CommentOut, int]:
    """Say something about a task, or flag it."""
    return CommentOut.of(labeling().comment(project_id, task_id, me(), body.text, flag=body.flag)), 201


@takes(query=CommentQuery)
@gives(CommentList)
def list_comments(project_id: int, query: CommentQuery) -> CommentList:
    """What was said about all tasks of a project; `flag=true&resolved=false` are those somebody should look at."""
    found = labeling().comments(project_id, flag=query.flag, resolved=query.resolved)
    return CommentList(comments=[CommentOut.of(each) for each in found])


@takes(body=ResolvedIn)
@gives(CommentOut)
def resolve_comment(project_id: int, comment_id: int, body: ResolvedIn) -> CommentOut:
    """Mark a comment as dealt with, or as open again."""
    return CommentOut.of(labeling().resolve(project_id, comment_id, resolved=body.resolved))


ONE = "/projects/<int:project_id>"
RULES = [
    ("PATCH", ONE, change_project),
    ("DELETE", ONE, delete_project),
    ("PUT", f"{ONE}/interface", change_interface),
    ("PUT", f"{ONE}/predictions", put_predictions),
    ("GET", f"{ONE}/tasks/<int:task_id>", get_task),
    ("PUT", f"{ONE}/tasks/<int:task_id>/draft", keep_draft),
    ("GET", f"{ONE}/tasks/<int:task_id>/comments", list_task_comments),
    ("POST", f"{ONE}/tasks/<int:task_id>/comments", add_comment),
    ("GET", f"{ONE}/comments", list_comments),
    ("PUT", f"{ONE}/comments/<int:comment_id>", resolve_comment),
]
"""Method, path, view."""
