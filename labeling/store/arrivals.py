"""Tasks that come with answers and predictions, as Label Studio exports them: all of it is taken in, or nothing.

An answer takes a slot of its task as if its person had answered here, so the overlap and "nobody twice" hold as
always. Taking the same in again changes nothing: an answer that its person has given here already stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from labeling.answers import check
from labeling.store.definition import NewTask, Project
from labeling.store.forecasts import Prediction, predict
from labeling.store.projects import add_tasks
from labeling.store.tables import ANSWERED, FREE, PERSON_LENGTH, answers, slots, tasks
from palate.errors import ConflictError, ParameterError
from palate.store.types import clock

BATCH = 500


@dataclass(frozen=True)
class Given:
    """An answer somebody gave elsewhere."""

    person: str
    value: Any
    seconds: float | None = None


@dataclass(frozen=True)
class Arrival:
    """A task with what is known of it. predictions: by model."""

    task: NewTask
    answers: Sequence[Given] = ()
    predictions: Sequence[tuple[str, Prediction]] = ()


def take_in(connection: Connection, project: Project, arrivals: Sequence[Arrival]) -> tuple[int, int]:
    """How many tasks and how many answers were new.

    Raises ParameterError for what does not fit the project, ConflictError for a task with more answers than the
    overlap leaves room for.
    """
    added = add_tasks(connection, project, [arrival.task for arrival in arrivals])
    new = 0
    for first in range(0, len(arrivals), BATCH):
        new += _answers(connection, project, arrivals[first : first + BATCH], first)
    by_model: dict[str, list[Prediction]] = {}
    for arrival in arrivals:
        for model, prediction in arrival.predictions:
            by_model.setdefault(model, []).append(prediction)
    for model, predictions in by_model.items():
        predict(connection, project, model, predictions)
    return added, new


def _answers(connection: Connection, project: Project, arrivals: Sequence[Arrival], first: int) -> int:
    names = [arrival.task.external_id for arrival in arrivals if arrival.answers]
    mine = (tasks.c.project_id == project.id) & tasks.c.external_id.in_(names)
    known = {row.external_id: row for row in connection.execute(select(tasks).where(mine))}
    places: dict[int, list[_Place]] = {row.id: [] for row in known.values()}
    query = select(slots).join(tasks, tasks.c.id == slots.c.task_id).where(mine)
    for row in connection.execute(query.order_by(slots.c.number).with_for_update(of=slots)):
        places[row.task_id].append(_Place(row.id, row.state, row.person))
    now = clock(connection)
    rows: list[dict[str, Any]] = []
    for number, arrival in enumerate(arrivals, first):
        for place, given in enumerate(arrival.answers):
            task = known[arrival.task.external_id]
            where = f"tasks[{number}].annotations[{place}]"
            _check_person(given.person, where)
            value = check(project.interface, task.data, given.value, whole=False, where=f"{where}.result")
            slot = _slot(places[task.id], given.person, where)
            if slot.state != ANSWERED:
                slot.state, slot.person = ANSWERED, given.person
                rows.append({"slot_id": slot.id, "task_id": task.id, "project_id": project.id, "value": value})
                rows[-1] |= {"person": given.person, "seconds": given.seconds, "created": now, "updated": now}
    if rows:
        taken: dict[str, Any] = {"state": ANSWERED, "leased": None, "expires": None, "person": bindparam("by")}
        change = update(slots).where(slots.c.id == bindparam("this")).values(taken)
        connection.execute(change, [{"this": row["slot_id"], "by": row["person"]} for row in rows])
        answered = slots.c.task_id.in_({row["task_id"] for row in rows})
        connection.execute(update(slots).where(answered, slots.c.withheld).values(withheld=False))
        connection.execute(insert(answers), rows)
    return len(rows)


@dataclass
class _Place:
    """A slot of a task as it is after what was taken in so far."""

    id: int
    state: str
    person: str | None


def _slot(places: Sequence[_Place], person: str, where: str) -> _Place:
    """The slot the person has, answered already or not; otherwise a free one."""
    theirs = next((place for place in places if place.person == person), None)
    free = theirs or next((place for place in places if place.state == FREE), None)
    if free is None:
        raise ConflictError(
            "the task has no place left for another person's answer.", where=where, hint="Its overlap is too low."
        )
    return free


def _check_person(person: str, where: str) -> None:
    if not person.strip() or len(person) > PERSON_LENGTH or not person.isprintable():
        raise ParameterError("is no name of a person.", where=f"{where}.completed_by")
