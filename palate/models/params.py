"""Parameters of models, declared once: name, type, default and range; wrong ones are refused by name.

A model's `Params` is a frozen dataclass on `ModelParams`; a field says its range by `metadata=within(...)` or its
choices by `metadata=one_of(...)`. Nothing else checks parameters.
"""

from __future__ import annotations

import dataclasses
import math
import numbers
import typing
from typing import Any

from palate.errors import ParameterError


def within(low: float | None = None, high: float | None = None, *, above: float | None = None) -> dict[str, Any]:
    """Field metadata: `low` <= value <= `high`, and value > `above`, each where given."""
    return {"low": low, "high": high, "above": above}


def one_of(*choices: str) -> dict[str, Any]:
    """Field metadata: the value is one of these."""
    return {"choices": choices}


@dataclasses.dataclass(frozen=True)
class ModelParams:
    """Base of every model's `Params`: types and ranges are checked at construction.

    Raises ParameterError whose `where` is the parameter's name. Numbers become the declared type, so that a NumPy
    integer is stored as an `int`; an integer is welcome where a float is declared, not the other way round.
    """

    def __post_init__(self) -> None:
        hints = typing.get_type_hints(type(self))
        for entry in dataclasses.fields(self):
            value = _typed(getattr(self, entry.name), hints[entry.name], entry.name)
            _check(value, entry.metadata, entry.name)
            object.__setattr__(self, entry.name, value)


def _typed(value: Any, hint: Any, name: str) -> Any:
    if hint is bool:
        if not isinstance(value, bool):
            raise ParameterError(f"it must be true or false, not {value!r}.", where=name)
    elif hint is int:
        if isinstance(value, bool) or not isinstance(value, numbers.Integral):
            raise ParameterError(f"it must be a whole number, not {value!r}.", where=name)
        return int(value)
    elif hint is float:
        if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value):
            raise ParameterError(f"it must be a finite number, not {value!r}.", where=name)
        return float(value)
    elif hint is str and not isinstance(value, str):
        raise ParameterError(f"it must be text, not {value!r}.", where=name)
    return value


def _check(value: Any, rule: typing.Mapping[str, Any], name: str) -> None:
    if "choices" in rule and value not in rule["choices"]:
        raise ParameterError(f"it must be one of {', '.join(rule['choices'])}, not {value!r}.", where=name)
    low, high, above = rule.get("low"), rule.get("high"), rule.get("above")
    if (
        (low is not None and value < low)
        or (high is not None and value > high)
        or (above is not None and value <= above)
    ):
        raise ParameterError(f"it must be {_range(low, high, above)}, not {value!r}.", where=name)


def _range(low: float | None, high: float | None, above: float | None) -> str:
    parts = []
    if above is not None:
        parts.append(f"above {above:g}")
    if low is not None and high is not None:
        return f"between {low:g} and {high:g}"
    if low is not None:
        parts.append(f"at least {low:g}")
    if high is not None:
        parts.append(f"at most {high:g}")
    return " and ".join(parts)
