"""What is said of Label Studio's tasks: by the project's own model, or as it was predicted here before."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, select

from labeling.answers import check
from labeling.config import Control, Interface
from labeling.label_studio.models import Loaded, answered, fields, text_of
from labeling.label_studio.tables import linked_tasks, links
from labeling.store.definition import Project
from labeling.store.tables import predictions, tasks
from palate.errors import ParameterError
from palate.store import reading

Said = dict[str, Any]
"""A prediction in Label Studio's form: `result`, `score`, `model_version`."""
_BATCH = 500


@dataclass(frozen=True)
class Asked:
    """A task that Label Studio asks about: its number there, its data, its `meta`."""

    id: int | None
    data: Mapping[str, Any]
    meta: Mapping[str, Any]


def remote_id(project: str | int | None) -> int | None:
    """The number of a Label Studio project from what it calls itself towards backends, `2.1795206562`."""
    found = re.match(r"(\d{1,9})(\.\d+)?\Z", str(project or ""), re.ASCII)
    return int(found[1]) if found else None


def predict(
    engine: Engine, project: Project, loaded: Loaded, asked: Sequence[Asked], theirs: Interface, remote: int | None
) -> tuple[str | None, list[Said | None]]:
    """The model's version, and for each task what is said of it; None where there is nothing to say.

    theirs: the interface of the Label Studio project `remote`; what does not fit it is not said.
    """
    said: list[Said | None] = [None] * len(asked)
    model = loaded.newest(engine, project.id)
    control = answered(project.interface, theirs)
    if model is not None and control is not None:
        version, fitted = model
        texts = [text_of(task.data, fields(theirs, control)) for task in asked]
        for number, found in enumerate(fitted.predict(texts)):
            if found is not None and found[0]:  # Label Studio has no way to predict that no label fits
                said[number] = _choice(control, *found, version)
    missing = [number for number, each in enumerate(said) if each is None]
    if missing:
        with reading(engine) as db:
            stored = _stored(db, project, [asked[number] for number in missing], remote)
        for number, each in zip(missing, stored, strict=True):
            said[number] = each
    return (model[0] if model else None), [
        each if each is not None and _fits(theirs, task, each) else None for task, each in zip(asked, said, strict=True)
    ]


def _choice(control: Control, labels: Sequence[str], score: float, version: str) -> Said:
    region = {"from_name": control.name, "to_name": ",".join(control.to), "type": control.type}
    return {
        "result": [{**region, "value": {"choices": list(labels)}}],
        "score": round(score, 6),
        "model_version": version,
    }


def _fits(theirs: Interface, task: Asked, said: Said) -> bool:
    """Label Studio throws away a whole batch for one prediction that its interface has no label for."""
    try:
        check(theirs, task.data, said["result"], whole=False)
    except ParameterError:
        return False
    return True


def _stored(db: Connection, project: Project, asked: Sequence[Asked], remote: int | None) -> list[Said | None]:
    """What was predicted here, for tasks that are linked with these or carry our name for them."""
    by_number: dict[int, Said] = {}
    by_name: dict[str, Said] = {}
    known = select(predictions.c.value, predictions.c.score, predictions.c.model)
    linked = select(links.c.project_id).where(links.c.project_id == project.id, links.c.remote_id == remote)
    numbers = [task.id for task in asked if task.id is not None]
    if remote is not None and db.execute(linked).first() is not None:
        joined = predictions.join(linked_tasks, linked_tasks.c.task_id == predictions.c.task_id)
        query = known.add_columns(linked_tasks.c.remote_id).select_from(joined)
        for first in range(0, len(numbers), _BATCH):
            some = linked_tasks.c.remote_id.in_(numbers[first : first + _BATCH])
            for row in db.execute(query.where(linked_tasks.c.project_id == project.id, some)):
                by_number[row.remote_id] = _told(row)
    names = [name for task in asked if isinstance(name := task.meta.get("external_id"), str)]
    joined = predictions.join(tasks, tasks.c.id == predictions.c.task_id)
    query = known.add_columns(tasks.c.external_id).select_from(joined)
    for first in range(0, len(names), _BATCH):
        some = tasks.c.external_id.in_(names[first : first + _BATCH])
        for row in db.execute(query.where(tasks.c.project_id == project.id, some)):
            by_name[row.external_id] = _told(row)
    found: list[Said | None] = []
    for task in asked:
        name = task.meta.get("external_id")
        one = by_number.get(task.id) if task.id is not None else None
        found.append(one or (by_name.get(name) if isinstance(name, str) else None))
    return found


def _told(row: Any) -> Said:
    return {"result": row.value, "score": row.score, "model_version": row.model}
