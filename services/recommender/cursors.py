"""Cursors of lists: opaque text that says after which row the next page begins."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from palate.errors import ParameterError


def cursor_after(*key: str | float) -> str:
    """The cursor after the row with this key."""
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode().rstrip("=")


def key_of(cursor: str, *types: type) -> tuple[Any, ...]:
    """The key that a cursor holds. Raises ParameterError for what is no cursor of a list with such keys."""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        key = json.loads(raw)
        if isinstance(key, list) and [type(part) for part in key] == list(types) and cursor_after(*key) == cursor:
            return tuple(key)
    except (ValueError, binascii.Error, RecursionError):
        pass
    raise ParameterError("is no cursor of this list.", where="cursor", hint="Take it from `next` of the page before.")
