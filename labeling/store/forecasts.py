"""Predictions: what a model says of tasks that people will see; one per task, the latest."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from labeling.answers import check
from labeling.store.definition import Project
from labeling.store.ranking import copy_ranks
from labeling.store.tables import predictions, tasks
from palate.errors import ParameterError, UnknownIdError
from palate.store.types import clock

MAX_MODEL = 200


@dataclass(frozen=True)
class Prediction:
    """value: an answer in either form; score: how sure the model is of it, from 0 to 1."""

    external_id: str
    value: Any
    score: float


def predict(connection: Connection, project: Project, model: str, new: Sequence[Prediction]) -> int:
    """Store predictions in place of earlier ones, all or none; how many.

    Raises UnknownIdError for a task there is not, ParameterError for what is no answer in this project.
    """
    if not model.strip() or len(model) > MAX_MODEL or not model.isprintable():
        raise ParameterError(f"is no line of 1 to {MAX_MODEL} characters.", where="model")
    known = dict(_known(connection, project, [each.external_id for each in new]))
    rows: dict[int, dict[str, Any]] = {}
    now = clock(connection)
    for number, each in enumerate(new):
        where = f"predictions[{number}]"
        if each.external_id not in known:
            raise UnknownIdError(f"project {project.id} has no task {each.external_id[:80]!r}.", where=where)
        if not math.isfinite(each.score) or not 0 <= each.score <= 1:
            raise ParameterError("is not between 0 and 1.", where=f"{where}.score")
        task, data = known[each.external_id]
        if task in rows:
            raise ParameterError("is predicted twice.", where=where)
        value = check(project.interface, data, each.value, whole=False, where=f"{where}.value")
        rows[task] = {"task_id": task, "project_id": project.id, "value": value, "score": each.score}
        rows[task] |= {"model": model, "created": now}
    for batch in _batched(list(rows)):
        connection.execute(delete(predictions).where(predictions.c.task_id.in_(batch)))
        connection.execute(insert(predictions), [rows[task] for task in batch])
    if project.ordering == "uncertainty" and rows:
        change = update(tasks).where(tasks.c.id == bindparam("this")).values(rank=bindparam("to"))
        connection.execute(change, [{"this": task, "to": row["score"]} for task, row in rows.items()])
        copy_ranks(connection, project)
    return len(rows)


def store_predictions(
    connection: Connection, project: Project, model: str, said: Sequence[tuple[int, list[dict[str, Any]], float]]
) -> None:
    """Store what our own model says of tasks: by id, as regions, with its confidence; in place of earlier predictions.

    The order of the queue stays as it is.
    """
    now = clock(connection)
    rows = [{"task_id": t, "project_id": project.id, "value": value, "score": score} for t, value, score in said]
    forget_predictions(connection, [task for task, _, _ in said])
    if rows:
        connection.execute(insert(predictions), [row | {"model": model[:MAX_MODEL], "created": now} for row in rows])


def forget_predictions(connection: Connection, which: Sequence[int]) -> None:
    """Forget what a model says of these tasks."""
    for batch in _batched(list(which)):
        connection.execute(delete(predictions).where(predictions.c.task_id.in_(batch)))


def _known(
    connection: Connection, project: Project, names: list[str]
) -> Iterable[tuple[str, tuple[int, dict[str, Any]]]]:
    for batch in _batched(names):
        query = select(tasks.c.external_id, tasks.c.id, tasks.c.data).where(
            tasks.c.project_id == project.id, tasks.c.external_id.in_(batch)
        )
        for name, task, data in connection.execute(query):
            yield name, (task, data)


def _batched(values: list[Any], size: int = 500) -> Iterable[list[Any]]:
    return (values[first : first + size] for first in range(0, len(values), size))
