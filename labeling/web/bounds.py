"""The form by which a project is paused, and given a deadline and a budget."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from labeling.store.budgets import Limits
from palate.errors import ParameterError

HOUR = 3600.0


def changes_of(form: Mapping[str, str]) -> dict[str, Any]:
    """What `Labeling.change` takes; a field left empty bounds nothing. Raises ParameterError naming the field."""
    answers, price, money = number(form, "answers"), number(form, "price"), number(form, "money")
    hours = number(form, "hours")
    bounds: dict[str, Any] = {"answers": None if answers is None else int(answers), "money": money}
    bounds["seconds"] = None if hours is None else hours * HOUR
    none = price is None and all(bound is None for bound in bounds.values())
    budget = None if none else Limits(price=price or 0.0, **bounds)
    return {"paused": "paused" in form, "deadline": _moment(form.get("deadline", "")), "budget": budget}


def number(form: Mapping[str, str], name: str) -> float | None:
    """The number in a field, None if it is empty. Raises ParameterError."""
    text = form.get(name, "").strip()
    try:
        found = float(text) if text else None
    except ValueError:
        found = math.nan
    if found is not None and not math.isfinite(found):
        raise ParameterError(f"{text[:40]!r} is no number.", where=name)
    return found


def _moment(text: str) -> datetime | None:
    """Browsers send the moment without a time zone; the page says that it is UTC."""
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC) if text.strip() else None
    except ValueError:
        raise ParameterError(f"{text[:40]!r} is no date and time.", where="deadline") from None
