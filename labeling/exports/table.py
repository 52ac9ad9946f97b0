"""CSV that is safe to open in a spreadsheet: a header and one line per answer; UTF-8, RFC 4180."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator

from labeling.answers import cell, labels_of
from labeling.exports.label_studio import iso
from labeling.store.definition import Project
from labeling.store.projects import Answered

CSV_COLUMNS = ("task", "external_id", "title", "text", "label", "person", "seconds", "created", "updated")
LATER = ("consensus", "consensus_confidence", "model_label", "model_confidence", "model")
"""Columns that came later, after the others."""

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A cell that starts with one of these is run by spreadsheets."""


def as_csv(project: Project, rows: Iterable[Answered]) -> Iterator[str]:
    """The lines in pieces; `label` is the answer, as JSON if it is more than labels, a number or a text.

    A task that only a model has labeled has a line without an answer.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(CSV_COLUMNS + LATER)
    for row in rows:
        cells = (
            row.task_id,
            row.external_id,
            row.data.get("title", ""),
            row.data.get("text", ""),
            cell(project.interface, row.value or []),
            row.person,
            row.seconds,
            iso(row.created),
            iso(row.updated),
            "" if row.agreed is None else cell(project.interface, row.agreed),
            row.agreed_confidence,
            "" if row.label is None else ", ".join(labels_of(project.interface.controls[0], row.label)),
            row.label_confidence,
            row.model,
        )
        writer.writerow([safe_cell(each) for each in cells])
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
