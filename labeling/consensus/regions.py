"""Text spans and boxes on images: one set of regions from what several people marked.

Marks are grouped by overlap (intersection over union), groups that more than half of the people support are kept,
borders are the weighted medians, labels are voted on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from labeling.consensus.answers import Floats
from labeling.consensus.overlap import groups, require_shares, vote, weighted_median, weights_of
from palate.errors import ParameterError


@dataclass(frozen=True, order=True)
class Span:
    """From `start` up to, not including, `end`: characters or tokens, as long as all count the same."""

    start: int
    end: int
    label: str


@dataclass(frozen=True, order=True)
class Box:
    """An upright rectangle: its left and top, and its size, in pixels or percent."""

    x: float
    y: float
    width: float
    height: float
    label: str


Region = TypeVar("Region", Span, Box)


@dataclass(frozen=True)
class Merged(Generic[Region]):
    """A region that people agree on.

    support: the weight of those who marked it, as a share of everybody's. confidence: of those who gave it its label
    as well. people: who marked it, sorted.
    """

    region: Region
    support: float
    confidence: float
    people: tuple[str, ...]


def merge_spans(
    marked: Mapping[str, Sequence[Span]],
    weights: Mapping[str, float] | None = None,
    overlap: float = 0.5,
    support: float = 0.5,
) -> list[Merged[Span]]:
    """The spans of a text on which more than half agree, by where they start.

    marked: each person's spans; who looked and marked nothing is there with an empty list, and counts against.
    weights: how much each person counts, their skill for instance; 1 unless told. overlap: the intersection over
    union from which two spans are one. support: the share of the weight that a span must exceed.
    A border is one that somebody drew. Raises ParameterError for a span that is empty or a weight that is not above 0.
    """
    spans = _sorted(marked)
    edges = np.array([[span.start, span.end] for _, span in spans], dtype=np.float64).reshape(-1, 2)
    for person, span in spans:
        if not 0 <= span.start < span.end:
            raise ParameterError(f"{span} of {person[:80]!r} is empty or begins before the text.", where="spans")
    both = _common(edges[:, 0], edges[:, 1])
    length = edges[:, 1] - edges[:, 0]
    alike = both / (np.add.outer(length, length) - both)

    def border(values: Floats, heavy: Floats) -> int:
        return int(weighted_median(values, heavy)[0])

    def made(members: Floats, heavy: Floats, label: str) -> Span:
        return Span(border(members[:, 0], heavy), border(members[:, 1], heavy), label)

    return _merge(spans, alike, edges, made, marked, weights, overlap, support)


def merge_boxes(
    marked: Mapping[str, Sequence[Box]],
    weights: Mapping[str, float] | None = None,
    overlap: float = 0.5,
    support: float = 0.5,
) -> list[Merged[Box]]:
    """The boxes of an image on which more than half agree, by their left edge; parameters as for `merge_spans`.

    An edge is the median of those drawn, midway where two are. Raises ParameterError for a box without area.
    """
    boxes = _sorted(marked)
    for person, box in boxes:
        values = (box.x, box.y, box.width, box.height)
        if not (np.isfinite(values).all() and box.width > 0 and box.height > 0):
            raise ParameterError(f"{box} of {person[:80]!r} has no area.", where="boxes")
    edges = np.array([[b.x, b.y, b.x + b.width, b.y + b.height] for _, b in boxes], np.float64).reshape(-1, 4)
    both = _common(edges[:, 0], edges[:, 2]) * _common(edges[:, 1], edges[:, 3])
    area = (edges[:, 2] - edges[:, 0]) * (edges[:, 3] - edges[:, 1])
    alike = both / (np.add.outer(area, area) - both)

    def made(members: Floats, heavy: Floats, label: str) -> Box:
        left, top, right, bottom = (sum(weighted_median(column, heavy)) / 2 for column in members.T)
        return Box(left, top, right - left, bottom - top, label)

    return _merge(boxes, alike, edges, made, marked, weights, overlap, support)


def _sorted(marked: Mapping[str, Sequence[Region]]) -> list[tuple[str, Region]]:
    """All marks in an order that does not depend on who came first."""
    marks = [(person, region) for person, regions in marked.items() for region in regions]
    return sorted(marks, key=lambda mark: (mark[1], mark[0]))


def _common(starts: Floats, ends: Floats) -> Floats:
    """How long each two intervals run together, `(n, n)`."""
    common: Floats = np.minimum.outer(ends, ends) - np.maximum.outer(starts, starts)
    return np.maximum(common, 0)


def _merge(
    marks: Sequence[tuple[str, Region]],
    alike: Floats,
    edges: Floats,
    made: Callable[[Floats, Floats, str], Region],
    marked: Mapping[str, Sequence[Region]],
    weights: Mapping[str, float] | None,
    overlap: float,
    support: float,
) -> list[Merged[Region]]:
    require_shares(overlap=overlap, support=support)
    weight = weights_of(list(marked), weights)
    everybody = sum(weight.values())
    people, labels = [person for person, _ in marks], [region.label for _, region in marks]
    found: list[Merged[Region]] = []
    for members in groups(alike, people, labels, overlap):
        heavy = np.array([weight[people[place]] for place in members])
        if heavy.sum() <= support * everybody * (1 + 1e-9):
            continue
        label, agreed = vote([labels[place] for place in members], heavy)
        who = tuple(sorted(people[place] for place in members))
        region = made(edges[members], heavy, label)
        found.append(Merged(region, float(heavy.sum() / everybody), agreed / everybody, who))
    return sorted(found, key=lambda merged: merged.region)
