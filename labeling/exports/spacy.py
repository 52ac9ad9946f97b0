"""For spaCy: a line per text, `["text", {"entities": [[start, end, label], ...]}]`, as `Example.from_dict` reads it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from labeling.exports.label_studio import by_task
from labeling.exports.marks import spans
from labeling.store.definition import Project
from labeling.store.projects import Answered


def as_spacy(project: Project, rows: Iterable[Answered]) -> Iterator[str]:
    """The texts that have an answer. Where people marked differently, what most of them marked."""
    control = next(control for control in project.interface.controls if control.kind == "spans")
    field = project.interface.shown[control.to[0]].field
    for group in by_task(rows):
        text = group[0].data.get(field) if field is not None else None
        if group[0].annotation_id is None or not isinstance(text, str):
            continue
        entities = [[span.start, span.end, span.label] for span in spans(project, group)]
        yield json.dumps([text, {"entities": entities}], ensure_ascii=False) + "\n"
