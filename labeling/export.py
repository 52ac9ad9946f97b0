"""A project's answers as files: JSON in Label Studio's form, and CSV that is safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import groupby
from typing import Any

from labeling.store.projects import Answered, Project

FROM_NAME, TO_NAME = "label", "text"
"""How the choice and the text it is about are called in Label Studio's form."""

CSV_COLUMNS = ("task", "external_id", "title", "text", "label", "person", "seconds", "created", "updated")

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A cell that starts with one of these is run by spreadsheets."""


def as_json(project: Project, rows: Iterable[Answered]) -> Iterator[str]:
    """One JSON array in pieces: a Label Studio task after the other, each with its annotations."""
    yield "["
    for number, (_, group) in enumerate(groupby(rows, key=lambda row: row.task_id)):
        task = label_studio_task(project, list(group))
        yield (",\n" if number else "\n") + json.dumps(task, ensure_ascii=False)
    yield "\n]\n"


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
        "created_at": _iso(first.task_created),
        "total_annotations": len(annotations),
        "cancelled_annotations": 0,
        "annotations": annotations,
        "predictions": [],
    }


def _annotation(project: Project, row: Answered) -> dict[str, Any]:
    return {
        "id": row.annotation_id,
        "task": row.task_id,
        "project": project.id,
        "completed_by": {"email": row.person},
        "result": [
            {
                "id": f"a{row.annotation_id}",
                "type": "choices",
                "from_name": FROM_NAME,
                "to_name": TO_NAME,
                "origin": "manual",
                "value": row.value,
            }
        ],
        "was_cancelled": False,
        "ground_truth": False,
        "lead_time": row.seconds,
        "created_at": _iso(row.created),
        "updated_at": _iso(row.updated),
    }


def as_csv(rows: Iterable[Answered]) -> Iterator[str]:
    """A header and one line per answer, in pieces; UTF-8, RFC 4180, formulas neutralised."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(CSV_COLUMNS)
    for row in rows:
        label = ", ".join(row.value["choices"]) if row.value else ""
        cells = (
            row.task_id,
            row.external_id,
            row.data.get("title", ""),
            row.data.get("text", ""),
            label,
            row.person,
            row.seconds,
            _iso(row.created),
            _iso(row.updated),
        )
        writer.writerow([safe_cell(cell) for cell in cells])
        if buffer.tell() > 32_768:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


def safe_cell(value: object) -> object:
    """The value, with ' before a text that a spreadsheet would take for a formula. Numbers stay numbers."""
    if value is None:
        return ""
    if isinstance(value, (int, float)):
        return value
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = text.replace("\0", "")
    return f"'{text}" if text.startswith(FORMULA) else text


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
