"""One label per task, from whoever it is: what people say together, otherwise what a model says; as CSV or Parquet."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, fields
from itertools import islice

import pyarrow as pa
import pyarrow.parquet as pq

from labeling.answers import cell, labels_of
from labeling.exports.label_studio import by_task
from labeling.exports.table import safe_cell
from labeling.store.definition import Project
from labeling.store.projects import Answered

_BATCH = 10_000


@dataclass(frozen=True)
class Final:
    """A task's label. source: people, reviewer or model; empty, like the label, where there is none.

    confidence: the consensus's, or the model's; None where several people's answers were only counted. answers: of
    people. model, round, threshold: what the label of a model rests on.
    """

    task: int
    external_id: str
    title: str
    text: str
    label: str
    confidence: float | None
    source: str
    answers: int
    model: str | None
    round: int | None
    threshold: float | None


SCHEMA = pa.schema(
    [
        ("task", pa.int64()),
        *((name, pa.string()) for name in ("external_id", "title", "text", "label")),
        ("confidence", pa.float64()),
        ("source", pa.string()),
        ("answers", pa.int32()),
        ("model", pa.string()),
        ("round", pa.int32()),
        ("threshold", pa.float64()),
    ]
)


def finals(project: Project, rows: Iterable[Answered]) -> Iterator[Final]:
    """One per task, in the order of tasks."""
    return (_final(project, group) for group in by_task(rows))


def _final(project: Project, group: list[Answered]) -> Final:
    first = group[0]
    said = Counter(cell(project.interface, row.value or []) for row in group if row.annotation_id is not None)
    label, confidence, source = "", None, ""
    by_model = False
    if said and first.agreed is not None:
        label, confidence = cell(project.interface, first.agreed), first.agreed_confidence
        source = "reviewer" if first.decided else "people"
    elif said:
        label, source = said.most_common(1)[0][0], "people"
    elif first.label is not None:
        label, confidence, source = (
            ", ".join(labels_of(project.interface.controls[0], first.label)),
            first.label_confidence,
            "model",
        )
        by_model = True
    return Final(
        task=first.task_id,
        external_id=first.external_id,
        title=str(first.data.get("title", "")),
        text=str(first.data.get("text", "")),
        label=label,
        confidence=confidence,
        source=source,
        answers=sum(said.values()),
        model=first.model if by_model else None,
        round=first.round if by_model else None,
        threshold=first.threshold if by_model else None,
    )


def as_labels(project: Project, rows: Iterable[Answered]) -> Iterator[str]:
    """CSV, safe to open in a spreadsheet."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow([each.name for each in fields(Final)])
    for final in finals(project, rows):
        writer.writerow([safe_cell(each) for each in astuple(final)])
        if buffer.tell() > 32_768:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


def as_parquet(project: Project, rows: Iterable[Answered]) -> Iterator[bytes]:
    """Parquet of the same columns, in pieces."""
    sink = io.BytesIO()
    found = finals(project, rows)
    with pq.ParquetWriter(sink, SCHEMA) as writer:
        while batch := list(islice(found, _BATCH)):
            columns = zip(*map(astuple, batch), strict=True)
            writer.write_table(pa.table([list(column) for column in columns], schema=SCHEMA))
            yield sink.getvalue()
            sink.seek(0)
            sink.truncate()
    yield sink.getvalue()
