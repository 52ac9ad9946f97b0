"""An answer against the labeling interface: is each region one that was asked for, and is nothing required missing?"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from labeling.answers.kinds import CHECKS
from labeling.answers.short import long
from labeling.config import Control, Interface
from palate.errors import ParameterError

MAX_REGIONS = 5_000
MAX_SIZE = 1_000_000
"""Characters of one answer as JSON."""
MARKS = ("spans", "boxes", "other")
"""Kinds that may be given any number of times in one answer."""


def check(
    interface: Interface, data: Mapping[str, Any], answer: Any, *, whole: bool = True, where: str = "value"
) -> list[dict[str, Any]]:
    """The answer as Label Studio's list of regions. Raises ParameterError that says which region is wrong and how.

    data: the task's. whole: whether required questions must be answered; a draft need not.
    """
    if isinstance(answer, dict):
        result = long(interface, answer, where)
        places = [where]
    elif isinstance(answer, list):
        result = answer
        places = [f"{where}[{number}].value" for number in range(len(answer))]
    else:
        raise ParameterError(
            "an answer is a list of regions, or the value of the one question.",
            where=where,
            hint='Send {"choices": ["one of the labels"]}, for instance.',
        )
    if len(result) > MAX_REGIONS:
        raise ParameterError(f"has {len(result)} regions; at most {MAX_REGIONS} fit an answer.", where=where)
    if len(json.dumps(result, ensure_ascii=False)) > MAX_SIZE:
        raise ParameterError(f"is longer than {MAX_SIZE} characters.", where=where)
    for region, place in zip(result, places, strict=True):
        _region(interface, data, region, place)
    _once_each(interface, result, where)
    if whole:
        _nothing_missing(interface, result, where)
    return result


def _region(interface: Interface, data: Mapping[str, Any], region: Any, at: str) -> None:
    place = at.removesuffix(".value")
    if not isinstance(region, dict):
        raise ParameterError("is no region, which is an object.", where=place)
    if region.get("type") == "relation":  # between two regions; it has neither name nor value
        return
    name = region.get("from_name")
    control = interface.by_name.get(name) if isinstance(name, str) else None
    if control is None:
        there = ", ".join(interface.by_name)[:200]
        raise ParameterError(
            f"{str(name)[:80]!r} is not asked in this project.", where=f"{place}.from_name", hint=f"There is: {there}."
        )
    _fits(control, region, place)
    value = region.get("value")
    if not isinstance(value, dict):
        raise ParameterError("is no object.", where=f"{place}.value")
    if control.kind in CHECKS:
        CHECKS[control.kind](interface, control, data, value, at)


def _fits(control: Control, region: Mapping[str, Any], place: str) -> None:
    about = region.get("to_name")
    if not isinstance(about, str) or not {name.strip() for name in about.split(",")} <= set(control.to):
        raise ParameterError(
            f"{control.name!r} is about {', '.join(control.to)}, not {str(about)[:80]!r}.", where=f"{place}.to_name"
        )
    if region.get("type") != control.type:
        raise ParameterError(
            f"the results of {control.name!r} are {control.type!r}, not {str(region.get('type'))[:80]!r}.",
            where=f"{place}.type",
        )


def _once_each(interface: Interface, result: list[dict[str, Any]], where: str) -> None:
    counts = Counter(region.get("from_name") for region in result)
    for control in interface.controls:
        if control.kind not in MARKS and control.always and counts[control.name] > 1:
            raise ParameterError(f"{control.name!r} is answered {counts[control.name]} times.", where=where)


def _nothing_missing(interface: Interface, result: list[dict[str, Any]], where: str) -> None:
    given = {region.get("from_name") for region in result}
    for control in interface.controls:
        if control.required and control.always and control.name not in given:
            raise ParameterError(f"{control.name!r} is not answered, and is required.", where=where)
