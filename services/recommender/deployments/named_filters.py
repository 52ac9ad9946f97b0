"""Named filters of a deployment: texts of the filter language in which `$name` stands for a value that a request gives.

    category in ($categories) and price < $most       {"categories": "\"Comedy\",\"Drama\"", "most": "20"}

Values come as Personalize's clients send them: literals, several of them separated by commas. They are read, and
written into the filter again as literals, so that a value cannot be anything but a value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from palate.errors import ParameterError
from services.recommender.filters import MAX_LENGTH, parse

MAX_FILTER = 1000
MAX_VALUES = 200
_TOKEN = re.compile(r"""("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|\$([A-Za-z0-9_]+)""")
_VALUE = re.compile(r"""\s*("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^,"']+?)\s*(?:,|$)""")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?", re.ASCII)


def checked_filter(text: str) -> None:
    """Raises ParameterError, with the position, for what is no filter whatever its values."""
    parse(_TOKEN.sub(lambda found: found[1] or '"value"', text))


def filled(text: str, values: Mapping[str, str]) -> str:
    """The filter with the values in it. Raises ParameterError for one that is missing, foreign or cannot be read."""
    wanted = {found[2] for found in _TOKEN.finditer(text) if found[2]}
    for name in wanted - set(values):
        raise ParameterError(f"the filter needs a value for {name!r}.", where="filterValues")
    for name in set(values) - wanted:
        raise ParameterError(f"the filter has no parameter {name[:80]!r}.", where="filterValues")
    made = _TOKEN.sub(lambda found: found[1] or _literals(found[2], values[found[2]]), text)
    if len(made) > MAX_LENGTH:
        raise ParameterError("the filter is too long with these values.", where="filterValues")
    return made


def _literals(name: str, said: str) -> str:
    found, at = [], 0
    while at < len(said):
        match = _VALUE.match(said, at)
        if match is None:
            raise ParameterError(
                f"the value of {name!r} cannot be read.", where="filterValues", hint='Write 20, or "Comedy","Drama".'
            )
        found.append(_literal(match[1]))
        at = match.end()
    if not 1 <= len(found) <= MAX_VALUES:
        raise ParameterError(f"{name!r} needs 1 to {MAX_VALUES} values.", where="filterValues")
    return ", ".join(found)


def _literal(text: str) -> str:
    if text[0] in "\"'":
        try:
            inner = str(json.loads(text))
        except ValueError:
            inner = re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL)
        return json.dumps(inner, ensure_ascii=False)
    if _NUMBER.fullmatch(text) or text in ("true", "false"):
        return text
    return json.dumps(text, ensure_ascii=False)
