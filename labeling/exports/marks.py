"""What several people marked in one task as one set of marks: exports for training hold each thing once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from labeling.consensus import Box, Span, merge_boxes, merge_spans
from labeling.store.definition import Project
from labeling.store.projects import Answered


def regions(project: Project, kind: str, row: Answered) -> Iterator[dict[str, Any]]:
    """The regions of one answer that are of this kind of question."""
    names = {control.name for control in project.interface.controls if control.kind == kind}
    return (region for region in row.value or [] if region.get("from_name") in names)


def spans(project: Project, rows: list[Answered]) -> list[Span]:
    """The stretches that more than half of those who answered agree on; all of them if one person did."""
    marked = {
        str(row.person): [
            Span(region["value"]["start"], region["value"]["end"], label)
            for region in regions(project, "spans", row)
            for label in region["value"]["labels"]
        ]
        for row in rows
    }
    return _only(marked) if len(marked) == 1 else [each.region for each in merge_spans(marked)]


def boxes(project: Project, rows: list[Answered]) -> list[Box]:
    """The boxes that more than half of those who answered agree on, in percent; all of them if one person did."""
    marked = {
        str(row.person): [
            Box(value["x"], value["y"], value["width"], value["height"], label)
            for region in regions(project, "boxes", row)
            for value in [region["value"]]
            for label in value["rectanglelabels"]
        ]
        for row in rows
    }
    return _only(marked) if len(marked) == 1 else [each.region for each in merge_boxes(marked)]


def _only(marked: dict[str, list[Any]]) -> list[Any]:
    return sorted(next(iter(marked.values())))
