"""An answer in few words: the value alone, a cell of a table, a key under which equal answers are equal."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from labeling.config import Control, Interface
from palate.errors import ParameterError

VALUES = {"choice": "choices", "choices": "choices", "rating": "rating", "pairwise": "selected", "text": "text"}
"""The kinds whose whole answer is one value, and the name it has in Label Studio's form."""


def plain(interface: Interface) -> Control | None:
    """The one question of an interface, if its answer is one value."""
    only = interface.controls[0]
    return only if len(interface.controls) == 1 and only.kind in VALUES else None


def long(interface: Interface, value: Mapping[str, Any], where: str) -> list[dict[str, Any]]:
    """The regions for a value alone, not yet checked. Raises ParameterError if the project asks for more."""
    control = plain(interface)
    if control is None:
        raise ParameterError(
            "an answer in this project is a list of regions.",
            where=where,
            hint='Each is {"from_name": ..., "to_name": ..., "type": ..., "value": {...}}.',
        )
    name = VALUES[control.kind]
    if set(value) != {name}:
        raise ParameterError(f"an answer is one {name!r}.", where=where, hint=f'Send {{"{name}": ...}}.')
    to = ",".join(control.to)
    return [{"from_name": control.name, "to_name": to, "type": control.type, "value": dict(value)}]


def short(interface: Interface, result: Sequence[Mapping[str, Any]]) -> Any:
    """The answer in the form people would send it: the value alone where that says it all, else all regions."""
    control = plain(interface)
    if control is not None and len(result) == 1 and set(result[0]["value"]) == {VALUES[control.kind]}:
        return result[0]["value"]
    return list(result)


def cell(interface: Interface, result: Sequence[Mapping[str, Any]]) -> str:
    """The answer in one cell of a table: labels with commas between, a number, a text; JSON where there is more."""
    control = plain(interface)
    if control is None or len(result) != 1:
        return json.dumps(list(result), ensure_ascii=False) if result else ""
    given = result[0]["value"][VALUES[control.kind]]
    if isinstance(given, list):
        return ("\n" if control.kind == "text" else ", ").join(given)
    return str(given)


def kept(control: Control, labels: Sequence[str]) -> str:
    """A model's labels as one text, which `labels_of` reads: the label itself, or several as a JSON list."""
    return json.dumps(list(labels), ensure_ascii=False) if control.kind == "choices" else labels[0]


def labels_of(control: Control, text: str) -> list[str]:
    """The labels in what `kept` made."""
    return [str(label) for label in json.loads(text)] if control.kind == "choices" else [text]


def labels_in(control: Control, result: Sequence[Mapping[str, Any]]) -> list[str] | None:
    """The labels that somebody gave to a question of choices, each once, in the interface's order and then those that
    it does not have; None if the question is not answered.
    """
    given = [region["value"]["choices"] for region in result if region.get("from_name") == control.name]
    if not given:
        return None
    places = {label: place for place, label in enumerate(control.labels)}
    labels = {label for each in given for label in each}
    return sorted(labels, key=lambda label: (places.get(label, len(places)), label))


def key(control: Control, result: Sequence[Mapping[str, Any]]) -> str | None:
    """What somebody answered to one question, the same text for the same answer; None if nothing, or nothing that
    can be compared by being equal (stretches, boxes, texts). Labels are as `kept` has them; `readable` is for people.
    """
    if control.kind in ("choice", "choices"):
        labels = labels_in(control, result)
        return kept(control, labels) if labels or (labels is not None and control.kind == "choices") else None
    if control.kind not in ("rating", "pairwise"):
        return None
    given = [region["value"] for region in result if region.get("from_name") == control.name]
    return str(given[0][VALUES[control.kind]]) if given else None


def readable(control: Control, text: str) -> str:
    """What `key` gave, as people read it: several labels with a + between, which a label may hold, too."""
    return " + ".join(labels_of(control, text))
