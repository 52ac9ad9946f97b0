"""The route that takes in what Label Studio exports: tasks with their annotations and predictions."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field, JsonValue

from labeling.api.caller import by, labeling
from labeling.api.models import DAY
from labeling.label_studio import api
from labeling.store.arrivals import Arrival, Given
from labeling.store.definition import NewTask
from labeling.store.forecasts import Prediction
from labeling.store.members import ADMINISTRATOR
from palate.errors import ParameterError
from palate.web import Model, gives, takes


class Lenient(Model):
    """Label Studio's objects have many more fields, which are left aside."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False, protected_namespaces=())


class Annotation(Lenient):
    """An answer. `completed_by`: a user's number, or an object with an `email`."""

    result: list[dict[str, JsonValue]]
    completed_by: int | str | dict[str, JsonValue] | None = None
    was_cancelled: bool = False
    lead_time: Annotated[float, Field(ge=0, le=30 * DAY)] | None = None

    def given(self) -> Given:
        who: Any = self.completed_by
        if isinstance(who, dict):
            who = who.get("email") or who.get("id")
        # Numbers are those of Label Studio's own users, who are nobody here.
        return Given(who if isinstance(who, str) else f"label-studio:{who}", self.result, self.lead_time)


class LabelStudioPrediction(Lenient):
    """What a model says of the task."""

    result: list[dict[str, JsonValue]]
    score: Annotated[float, Field(ge=0, le=1)] | None = None
    model_version: str | None = None


class LabelStudioTask(Lenient):
    """A task of Label Studio's JSON. Its name here is `meta.external_id`, otherwise its `id`."""

    id: int | None = None
    data: dict[str, JsonValue]
    meta: dict[str, JsonValue] | None = None
    annotations: list[Annotation] = Field(default_factory=list, max_length=100)
    predictions: list[LabelStudioPrediction] = Field(default_factory=list, max_length=100)

    def arrival(self, number: int) -> Arrival:
        named = (self.meta or {}).get("external_id")
        name = named if isinstance(named, str) else None if self.id is None else str(self.id)
        if name is None:
            raise ParameterError("has neither an id nor meta.external_id.", where=f"tasks[{number}]")
        task = NewTask(name, self.data, where=f"tasks[{number}]")
        said = [each for each in self.predictions if each.score is not None][-1:]
        predictions = [
            (each.model_version or "unnamed", Prediction(name, each.result, each.score or 0.0)) for each in said
        ]
        return Arrival(task, [each.given() for each in self.annotations if not each.was_cancelled], predictions)


class LabelStudioTasks(Model):
    """What Label Studio exports as JSON, as `tasks`."""

    tasks: list[LabelStudioTask] = Field(min_length=1, max_length=100_000)


class TakenIn(Model):
    """What was new; `present` tasks were there already."""

    tasks: int
    answers: int
    present: int


@by(ADMINISTRATOR)
@takes(body=LabelStudioTasks)
@gives(TakenIn)
def take_in(project_id: int, body: LabelStudioTasks) -> TakenIn:
    """Take in tasks as Label Studio exports them, with people's annotations and the latest prediction: all or nothing.

    Cancelled annotations and predictions without a score are left aside. Sent again it changes nothing.
    """
    arrivals = [task.arrival(number) for number, task in enumerate(body.tasks)]
    added, answers = labeling().take_in(project_id, arrivals)
    return TakenIn(tasks=added, answers=answers, present=len(arrivals) - added)


RULES = [("POST", "/projects/<int:project_id>/label-studio", take_in), *api.RULES]
"""Method, path, view."""
