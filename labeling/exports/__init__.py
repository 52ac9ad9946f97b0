"""A project's answers as files, each format a function from the project and its answers in task order to pieces of
text.

    pieces = FORMATS["csv"].write(project, rows)

`json` and `jsonl` are Label Studio's form, and hold everything; `csv` has a line per answer, for spreadsheets; `labels`
and `parquet` have one label per task; `coco` and `spacy` are what trainers of detectors and of entity recognisers read,
for the projects that have boxes or stretches of text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from labeling.exports.coco import as_coco
from labeling.exports.final import as_labels, as_parquet
from labeling.exports.label_studio import as_json, as_jsonl
from labeling.exports.spacy import as_spacy
from labeling.exports.table import as_csv, safe_cell
from labeling.store.definition import Project
from labeling.store.projects import Answered
from palate.errors import ParameterError


@dataclass(frozen=True)
class Format:
    """kind: the kind of question that it needs, None if any will do."""

    write: Callable[[Project, Iterable[Answered]], Iterator[str] | Iterator[bytes]]
    mimetype: str
    suffix: str
    kind: str | None = None


FORMATS = {
    "json": Format(as_json, "application/json", "json"),
    "jsonl": Format(as_jsonl, "application/x-ndjson", "jsonl"),
    "csv": Format(as_csv, "text/csv; charset=utf-8", "csv"),
    "labels": Format(as_labels, "text/csv; charset=utf-8", "labels.csv"),
    "parquet": Format(as_parquet, "application/vnd.apache.parquet", "parquet"),
    "coco": Format(as_coco, "application/json", "coco.json", "boxes"),
    "spacy": Format(as_spacy, "application/x-ndjson", "spacy.jsonl", "spans"),
}


def format_of(name: str, project: Project) -> Format:
    """The format. Raises ParameterError for one that there is not, or that this project's answers do not fit."""
    found = FORMATS.get(name)
    if found is None:
        raise ParameterError(f"{name[:40]!r} is no format.", where="format", hint=f"Use one of {', '.join(FORMATS)}.")
    if found.kind is not None and not any(control.kind == found.kind for control in project.interface.controls):
        raise ParameterError(f"{name} is for {found.kind}, which this project does not ask for.", where="format")
    return found


__all__ = ["FORMATS", "Format", "as_coco", "as_csv", "as_json", "as_jsonl", "as_spacy", "format_of", "safe_cell"]
