"""What is picked from on a page, and what a form without script then says as an answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from werkzeug.datastructures import MultiDict

from labeling.config import Control

FORMS = ("choice", "choices", "rating", "pairwise", "text")
"""The kinds of project whose question a plain form can ask."""


def options_of(control: Control) -> list[tuple[str, str]]:
    """What is picked from, and how each option is called."""
    if control.kind == "rating":
        return [(str(stars), f"{stars} ★") for stars in range(1, control.maximum + 1)]
    if control.kind == "pairwise":
        return [("left", "Left"), ("right", "Right")]
    return [(label, label) for label in control.labels]


def answer_in(kind: str, form: MultiDict[str, str]) -> dict[str, Any] | None:
    """The answer to a project of one of `FORMS`, None if nothing was picked or written."""
    picked = form.getlist("label")
    if not any(each.strip() for each in picked):
        return None
    if kind == "rating":
        return {"rating": int(picked[0]) if picked[0].isdecimal() else picked[0]}
    if kind == "pairwise":
        return {"selected": picked[0]}
    return {"text": picked} if kind == "text" else {"choices": picked}


def picked_in(said: Sequence[dict[str, Any]]) -> set[str]:
    """Which options an answer picks."""
    values = [region.get("value", {}) for region in said]
    chosen = {label for value in values for label in value.get("choices", ())}
    return chosen | {str(value[name]) for value in values for name in ("rating", "selected") if name in value}
