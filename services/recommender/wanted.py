"""Which items it would help most to know more about: those that people meet often, and of which little is known.

An item's score is what it was part of lately (events, and one for being there at all) times what is unknown of it.
Unknown is half of what it was for each of categories and tags that it has; of a label that was published with its
confidence, what that leaves open, so one that people gave with certainty is wanted no more.

The pages of a list go by the events that were stored when its first page was made, so new ones move nothing.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

from flask import Response
from pydantic import Field

from palate.errors import NotFittedError
from palate.web import Model, gives, takes
from services.recommender.cursors import cursor_after, key_of
from services.recommender.state import as_json, state


class WantedQuery(Model):
    """`label`: the attribute that labels are published as, with `label_confidence` beside it."""

    label: str = Field("label", min_length=1, max_length=100)
    cursor: str | None = Field(None, max_length=4000, description="`next` of the page before, of the same `label`.")
    limit: int = Field(100, ge=1, le=10_000)
    days: float = Field(30.0, gt=0, le=3650, description="Events of so many days count; a cursor keeps its own.")


class WantedItem(Model):
    """An item, how much of it is `unknown` (0 to 1), and in how many `events` it was met."""

    item: str | int
    title: str | None
    score: float
    unknown: float
    events: int


class WantedOut(Model):
    """Items, the most wanted first."""

    items: list[WantedItem]
    next: str | None


@takes(query=WantedQuery)
@gives(WantedOut)
def wanted(query: WantedQuery) -> Response:
    """List the items that it would help most to know more about: much met, little known."""
    live, _ = state()
    served = live.served
    if served is None:
        raise NotFittedError("no model is loaded yet.")
    since, until, after = int(time.time() / 3600 - 24 * query.days), None, None
    if query.cursor is not None:
        *after, since, until = key_of(query.cursor, float, str, int, int)
        since = max(0, min(since, 2**31))
    met: Counter[str] = Counter()
    until, counts = live.store.activity(0, since, until)
    for item, _, count in counts:
        met[item] += count
    catalogue, found = served.catalogue, []
    for code, entry in enumerate(catalogue.entries):
        share = _unknown(entry["categories"], catalogue.tags[code], catalogue.attributes[code], query.label)
        if share > 0 and catalogue.available[code]:
            name = str(entry["item"])
            place = -(1 + met[name]) * share, name  # by its id, which is the same in every model and worker
            if after is None or place > (-after[0], after[1]):
                found.append((*place, code, share))
    found.sort()
    shown, rows = found[: query.limit], []
    for score, name, code, share in shown:
        about = {"item": catalogue.entries[code]["item"], "title": catalogue.entries[code]["title"]}
        rows.append({**about, "score": round(-score, 4), "unknown": round(share, 4), "events": met[name]})
    more = len(found) > len(shown)
    return as_json({"items": rows, "next": cursor_after(-shown[-1][0], shown[-1][1], since, until) if more else None})


def _unknown(categories: Any, tags: Any, attributes: Mapping[str, Any], label: str) -> float:
    """How much of an item is unknown, from 0 to 1."""
    if label in attributes:
        sure = attributes.get(f"{label}_confidence")
        return max(1.0 - float(sure), 0.0) if isinstance(sure, int | float) else 0.0
    return 0.5 ** (bool(categories) + bool(tags))
