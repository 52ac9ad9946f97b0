"""What the value of a region has to be, for each kind of question."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from labeling.config import Control, Interface
from palate.errors import ParameterError

Check = Callable[[Interface, Control, Mapping[str, Any], Mapping[str, Any], str], None]
"""Of a control's value in a task's data. Raises ParameterError; the last argument says where the value stands."""
SLACK = 1e-6
"""Percent by which a box may stick out: editors compute edges in floating point."""
MAX_TEXT = 50_000


def choice(interface: Interface, control: Control, data: Mapping[str, Any], value: Mapping[str, Any], at: str) -> None:
    """One label."""
    if len(_labels(control, value, "choices", at)) != 1:
        raise ParameterError("an answer is one choice.", where=f"{at}.choices", hint=_hint(control))


def choices(interface: Interface, control: Control, data: Mapping[str, Any], value: Mapping[str, Any], at: str) -> None:
    """Labels, each once."""
    if not _labels(control, value, "choices", at) and control.required:
        raise ParameterError("at least one label is asked for.", where=f"{at}.choices", hint=_hint(control))


def spans(interface: Interface, control: Control, data: Mapping[str, Any], value: Mapping[str, Any], at: str) -> None:
    """A stretch of the text, from `start` up to, not including, `end`, in characters (code points)."""
    _one_label(control, value, "labels", at)
    start, end = _offset(value, "start", at), _offset(value, "end", at)
    if start >= end:
        raise ParameterError(f"the stretch from {start} to {end} is empty.", where=at)
    shown = interface.shown[control.to[0]]
    text = data.get(shown.field) if shown.field is not None and shown.inline else None
    if isinstance(text, str) and end > len(text):
        raise ParameterError(f"{end} is beyond the text, which has {len(text)} characters.", where=f"{at}.end")


def boxes(interface: Interface, control: Control, data: Mapping[str, Any], value: Mapping[str, Any], at: str) -> None:
    """A rectangle in percent of the image, from its left and top."""
    _one_label(control, value, "rectanglelabels", at)
    x, y, width, height = (_percent(value, name, at) for name in ("x", "y", "width", "height"))
    if width <= 0 or height <= 0:
        raise ParameterError("the box has no area.", where=at)
    for name, far in (("x", x + width), ("y", y + height)):
        if far > 100 + SLACK:
            raise ParameterError(f"the box reaches to {far:g} % of the image.", where=f"{at}.{name}")


def rating(interface: Interface, control: Control, data: Mapping[str, Any], value: Mapping[str, Any], at: str) -> None:
    """From 1 (0 takes a rating back) to the control's maximum."""
    stars = value.get("rating")
    lowest = 1 if control.required else 0
    if isinstance(stars, bool) or not isinstance(stars, int) or not lowest <= stars <= control.maximum:
        raise ParameterError(f"a rating is a number from {lowest} to {control.maximum}.", where=f"{at}.rating")


def pairwise(
    interface: Interface, control: Control, data: Mapping[str, Any], value: Mapping[str, Any], at: str
) -> None:
    """The better of two."""
    if value.get("selected") not in ("left", "right"):
        raise ParameterError("the better one is left or right.", where=f"{at}.selected")


def text(interface: Interface, control: Control, data: Mapping[str, Any], value: Mapping[str, Any], at: str) -> None:
    """One text or several."""
    given = value.get("text")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not all(isinstance(each, str) for each in texts):
        raise ParameterError("is no text and no list of texts.", where=f"{at}.text")
    if sum(len(each) for each in texts) > MAX_TEXT:
        raise ParameterError(f"is longer than {MAX_TEXT} characters.", where=f"{at}.text")
    if control.required and not any(each.strip() for each in texts):
        raise ParameterError("is empty; a text is asked for.", where=f"{at}.text")


CHECKS: dict[str, Check] = {
    "choice": choice,
    "choices": choices,
    "spans": spans,
    "boxes": boxes,
    "rating": rating,
    "pairwise": pairwise,
    "text": text,
}
"""By kind of control. What is not here belongs to Label Studio's editor, and is kept as it came."""


def _one_label(control: Control, value: Mapping[str, Any], key: str, at: str) -> None:
    if not _labels(control, value, key, at):
        raise ParameterError("has no label.", where=f"{at}.{key}", hint=_hint(control))


def _labels(control: Control, value: Mapping[str, Any], key: str, at: str) -> list[str]:
    given = value.get(key)
    if not isinstance(given, list) or not all(isinstance(label, str) for label in given):
        raise ParameterError("is no list of labels.", where=f"{at}.{key}", hint=_hint(control))
    if len(set(given)) != len(given):
        raise ParameterError("a label is there twice.", where=f"{at}.{key}")
    for label in given:
        if label not in control.labels and not control.any_label:
            raise ParameterError(
                f"{label[:80]!r} is no label of this project.", where=f"{at}.{key}", hint=_hint(control)
            )
    return given


def _hint(control: Control) -> str | None:
    if not control.labels:
        return None
    return f"Labels are: {', '.join(control.labels[:8])}{', ...' if len(control.labels) > 8 else '.'}"


def _offset(value: Mapping[str, Any], name: str, at: str) -> int:
    number = value.get(name)
    if isinstance(number, bool) or not isinstance(number, int) or number < 0:
        raise ParameterError("is no number of characters from the text's start.", where=f"{at}.{name}")
    return number


def _percent(value: Mapping[str, Any], name: str, at: str) -> float:
    number = value.get(name)
    if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
        raise ParameterError("is no number.", where=f"{at}.{name}")
    if not -SLACK <= number <= 100 + SLACK:
        raise ParameterError(f"{number:g} is not between 0 and 100 percent.", where=f"{at}.{name}")
    return float(number)
