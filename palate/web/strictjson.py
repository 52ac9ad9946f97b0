"""Reading JSON that means one thing only: UTF-8, no NaN, no key twice, no bottomless nesting."""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

from palate.errors import InputError

# Possessive, and the closing quote may be missing: whatever is sent is walked through once, not from every quote anew.
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
_ONE_KIND, _NO_BRACKETS = bytes.maketrans(b"[{]}", b"(())"), bytes(set(range(256)) - set(b"[]{}"))
_FLAT = 8
"""Up to so many levels are counted by taking the innermost away: what is sent most is a long list of short objects."""


def loads(body: bytes, *, max_depth: int) -> Any:
    """The value that `body` holds. Raises InputError saying what is wrong and where."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"The body is not UTF-8 (byte {error.start}).") from None
    if body.count(b"[") + body.count(b"{") > max_depth and is_deeper(body, max_depth):
        raise InputError(f"The body is nested deeper than {max_depth} levels.")
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise InputError(f"The body is not JSON: {error.msg} (line {error.lineno}, column {error.colno}).") from None
    except ValueError:
        raise InputError("The body holds a number with too many digits.") from None
    except RecursionError:
        raise InputError(f"The body is nested deeper than {max_depth} levels.") from None
    if b"\\u" in body:
        _refuse_surrogates(value)
    return value


def is_deeper(body: bytes, most: int) -> bool:
    """Whether objects and lists are nested deeper than `most`, counted without parsing, and no further than needed."""
    # Where nothing is escaped, each quote begins or ends a string, and what lies outside of them comes by splitting.
    outside = _STRING.sub(b"", body) if b"\\" in body else b"".join(body.split(b'"')[::2])
    brackets = left = outside.translate(_ONE_KIND, _NO_BRACKETS)
    for _ in range(min(most, _FLAT)):
        left = left.replace(b"()", b"")  # a level less
        if not left:
            return False
    level = 0
    for bracket in brackets:
        level += 1 if bracket == ord("(") else -1
        if level > most:
            return True
    return False


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise InputError(f"The body holds the key {name[:100]!r} twice.")
            seen.add(name)
    return found


def _constant(name: str) -> NoReturn:
    raise InputError(f"The body holds {name}, which is not JSON.")


def _float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise InputError(f"The body holds a number that is too large: {text[:40]}.")
    return value


def _refuse_surrogates(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise InputError("The body holds half a Unicode character (a lone surrogate).") from None


_DECODER = json.JSONDecoder(object_pairs_hook=_pairs, parse_constant=_constant, parse_float=_float)
