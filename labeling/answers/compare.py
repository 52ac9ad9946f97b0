"""Whether two answers say the same."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from labeling.answers.short import key
from labeling.config import Control, Interface

OVERLAP = 0.5
"""Intersection over union from which two boxes are one."""
Regions = Sequence[Mapping[str, Any]]


def same(interface: Interface, one: Regions, other: Regions) -> bool:
    """Whether both say the same in every question: the same labels, numbers and stretches; texts but for case and
    spaces; boxes with the same labels that overlap by more than half.
    """
    return all(
        _same(control, _of(control, one), _of(control, other), key(control, one) == key(control, other))
        for control in interface.controls
    )


def _of(control: Control, result: Regions) -> list[Mapping[str, Any]]:
    return [region["value"] for region in result if region.get("from_name") == control.name]


def _same(control: Control, one: list[Mapping[str, Any]], other: list[Mapping[str, Any]], keys: bool) -> bool:
    if control.kind in ("choice", "choices", "rating", "pairwise"):
        return keys
    if len(one) != len(other):
        return False
    if control.kind == "spans":
        return sorted(map(_span, one)) == sorted(map(_span, other))
    if control.kind == "text":
        return [_text(value) for value in one] == [_text(value) for value in other]
    if control.kind == "boxes":
        return _paired(one, list(other))
    return sorted(json.dumps(value, sort_keys=True) for value in one) == sorted(
        json.dumps(value, sort_keys=True) for value in other
    )


def _span(value: Mapping[str, Any]) -> tuple[int, int, list[str]]:
    return value["start"], value["end"], sorted(value["labels"])


def _text(value: Mapping[str, Any]) -> list[str]:
    given = value["text"]
    return [" ".join(each.casefold().split()) for each in ([given] if isinstance(given, str) else given)]


def _paired(one: list[Mapping[str, Any]], other: list[Mapping[str, Any]]) -> bool:
    for box in one:
        alike = [each for each in other if sorted(each["rectanglelabels"]) == sorted(box["rectanglelabels"])]
        best = max(alike, key=lambda each: _shared(box, each), default=None)
        if best is None or _shared(box, best) <= OVERLAP:
            return False
        other.remove(best)
    return True


def _shared(one: Mapping[str, Any], other: Mapping[str, Any]) -> float:
    """Intersection over union of two upright boxes."""
    across = min(one["x"] + one["width"], other["x"] + other["width"]) - max(one["x"], other["x"])
    down = min(one["y"] + one["height"], other["y"] + other["height"]) - max(one["y"], other["y"])
    common = max(across, 0) * max(down, 0)
    return float(common / (one["width"] * one["height"] + other["width"] * other["height"] - common))
