"""Reading the query string: each parameter checked, a wrong or unknown one named."""

from __future__ import annotations

import re
from collections.abc import Collection

from werkzeug.datastructures import MultiDict

from palate.errors import ParameterError
from services.recommender.bodies import MAX_LIMIT, MAX_OFFSET, Preferences, RecommendBody, checked_id

PAGE = frozenset({"limit", "offset", "category", "exclude"})
"""What all lists take."""
_WHOLE = re.compile(r"-?[0-9]{1,18}", re.ASCII)
_TRUTH = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_MANY = 1000
_NO_PREFERENCES = Preferences()


def asked(args: MultiDict[str, str], known: Collection[str] = PAGE, *, user: str | None = None) -> RecommendBody:
    """The request that a query string describes. Raises ParameterError naming the first parameter that is wrong."""
    for name in args:
        if name not in known:
            raise ParameterError(
                "there is no such parameter.", where=name[:80], hint=f"Known: {', '.join(sorted(known))}."
            )
    return RecommendBody.model_construct(
        user=user,
        recent_items=[],
        item=None,
        attributes=_NO_PREFERENCES,
        segment=_whole(args, "segment", None, -(2**31), 2**31 - 1),
        limit=_whole(args, "limit", 10, 1, MAX_LIMIT),
        offset=_whole(args, "offset", 0, 0, MAX_OFFSET),
        exclude_seen=_truth(args, "exclude_seen", True),
        category=_several(args, "category"),
        exclude=[checked_id(value, "exclude") for value in _several(args, "exclude")],
    )


def _whole(args: MultiDict[str, str], name: str, default: int | None, low: int, high: int) -> int | None:
    values = args.getlist(name)
    if not values:
        return default
    if len(values) > 1:
        raise ParameterError("it is given more than once.", where=name)
    if not _WHOLE.fullmatch(values[0]) or not low <= int(values[0]) <= high:
        raise ParameterError(f"it must be a whole number from {low} to {high}, not {values[0][:40]!r}.", where=name)
    return int(values[0])


def _truth(args: MultiDict[str, str], name: str, default: bool) -> bool:
    value = args.get(name)
    if value is None:
        return default
    if value.lower() not in _TRUTH:
        raise ParameterError(f"it must be true or false, not {value[:40]!r}.", where=name)
    return _TRUTH[value.lower()]


def _several(args: MultiDict[str, str], name: str) -> list[str]:
    values = args.getlist(name)
    if len(values) > _MANY:
        raise ParameterError(f"it is given {len(values)} times, at most {_MANY} are taken.", where=name)
    return values
