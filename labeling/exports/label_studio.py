"""Label Studio's own form: a task after the other, each with its annotations, as one JSON array or a line each."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import groupby
from typing import Any

from labeling.answers import labels_of
from labeling.store.definition import Project
from labeling.store.projects import Answered


def as_json(project: Project, rows: Iterable[Answered]) -> Iterator[str]:
    """One JSON array in pieces."""
    yield "["
    for number, task in enumerate(_tasks(project, rows)):
        yield (",\n" if number else "\n") + json.dumps(task, ensure_ascii=False)
    yield "\n]\n"


def as_jsonl(project: Project, rows: Iterable[Answered]) -> Iterator[str]:
    """One line per task."""
    for task in _tasks(project, rows):
        yield json.dumps(task, ensure_ascii=False) + "\n"


def by_task(rows: Iterable[Answered]) -> Iterator[list[Answered]]:
    """The answers to each task together."""
    return (list(group) for _, group in groupby(rows, key=lambda row: row.task_id))


def _tasks(project: Project, rows: Iterable[Answered]) -> Iterator[dict[str, Any]]:
    return (label_studio_task(project, group) for group in by_task(rows))


def label_studio_task(project: Project, rows: list[Answered]) -> dict[str, Any]:
    """One task as Label Studio exports it. `rows` are its answers, or one row without an answer."""
    first = rows[0]
    annotations = [_annotation(project, row) for row in rows if row.annotation_id is not None]
    return {
        "id": first.task_id,
        "inner_id": first.position + 1,
        "project": project.id,
        "data": first.data,
        "meta": {"external_id": first.external_id},
        "created_at": iso(first.task_created),
        "total_annotations": len(annotations),
        "cancelled_annotations": 0,
        "annotations": annotations,
        "predictions": _predictions(project, first),
    }


def _predictions(project: Project, row: Answered) -> list[dict[str, Any]]:
    """The consensus of people and the label of a model, as what Label Studio calls predictions."""
    found: list[dict[str, Any]] = []
    if row.agreed is not None:
        found.append({"model_version": "consensus", "score": row.agreed_confidence, "result": row.agreed})
    if row.label is not None:
        labels = labels_of(project.interface.controls[0], row.label)
        result = [project.interface.choice(labels)] if labels else []
        found.append({"model_version": row.model or "model", "score": row.label_confidence, "result": result})
    for number, each in enumerate(found):
        each["result"] = [{"id": f"p{row.task_id}-{number}-{n}", **one} for n, one in enumerate(each["result"])]
    return [{"task": row.task_id, "project": project.id, **each} for each in found]


def _annotation(project: Project, row: Answered) -> dict[str, Any]:
    return {
        "id": row.annotation_id,
        "task": row.task_id,
        "project": project.id,
        "completed_by": {"email": row.person},
        "result": [_region(row, number, region) for number, region in enumerate(row.value or [])],
        "was_cancelled": False,
        "ground_truth": row.decided and row.agreed == row.value,
        "lead_time": row.seconds,
        "created_at": iso(row.created),
        "updated_at": iso(row.updated),
    }


def _region(row: Answered, number: int, region: dict[str, Any]) -> dict[str, Any]:
    """The region with the id that Label Studio's editor needs, its own if it has one."""
    if region.get("type") == "relation":
        return region
    return {"id": f"a{row.annotation_id}-{number}", "origin": "manual", **region}


def iso(moment: datetime | None) -> str | None:
    """A moment as Label Studio writes it."""
    return None if moment is None else moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
