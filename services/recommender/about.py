"""What is known of an item, of a user, of the model: the JSON of the routes that show them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from palate.errors import NotFittedError, UnknownIdError
from services.recommender.asking import ItemListing
from services.recommender.bodies import EventListing, Listing
from services.recommender.catalogue import ItemRow
from services.recommender.cursors import cursor_after, key_of
from services.recommender.live import Live
from services.recommender.served import Served
from services.recommender.store import UserRow

Json = dict[str, Any]
_LOOKED = 50_000
"""Ids of stored items that are looked at for one page of those that match a filter."""


def serving(live: Live) -> Served:
    """The snapshot to answer from. Raises NotFittedError while there is none."""
    if live.served is None:
        raise NotFittedError(
            "no model could be loaded yet.", hint=live.problems.get("model", "It is being loaded; try again soon.")
        )
    return live.served


def item(live: Live, item: str) -> Json:
    """An item of the live catalogue, or what the model's catalogue knows of it. Raises UnknownIdError for others."""
    row = live.store.item(item) or known_item(live, item)
    if row is None or row.deleted:
        raise no_item(item)
    return item_json(row)


def known_item(live: Live, item: str) -> ItemRow | None:
    """What the model's catalogue knows of an item that is not stored."""
    served = live.served
    code = -1 if served is None else served.catalogue.ids.code(item)
    if served is None or code < 0:
        return None
    shown = served.catalogue.entries[code]
    return ItemRow(str(shown["item"]), shown["title"], categories=tuple(shown["categories"]))


def item_json(row: ItemRow) -> Json:
    return {
        "item": row.id,
        "title": row.title,
        "text": row.text,
        "categories": list(row.categories),
        "tags": list(row.tags),
        "image": row.image,
        "available": row.available,
        "timestamp": row.timestamp,
        "attributes": dict(row.attributes),
    }


def user(live: Live, user: str) -> Json:
    """What is known of a user. Raises UnknownIdError if nothing is."""
    state = live.users.get(user)
    served = live.served
    code = -1 if served is None else served.user_code(user)
    if state.row is None and not state.touched and code < 0:
        raise UnknownIdError(f"there is no user {user[:80]!r}.", where="user", hint="They get what is popular.")
    return {
        "user": user,
        **_traits(state.row or UserRow(user)),
        "known_to_model": code >= 0,
        "recent_items": list(state.touched[:20]),
    }


def items(live: Live, asked: ItemListing) -> Json:
    """A page of the stored items, by their ids. Raises as `Columns.mask` for a filter that cannot be read."""
    after = None if asked.cursor is None else key_of(asked.cursor, str)[0]
    if asked.filter is None:
        rows = live.store.list_items(after, asked.limit + 1)
        return {"items": [item_json(row) for row in rows[: asked.limit]], "next": _next(rows, asked.limit)}
    catalogue = serving(live).catalogue
    matches = catalogue.columns.mask(asked.filter)
    looked = live.store.item_ids(after, _LOOKED)
    codes = catalogue.ids.encode(looked)
    found = [item for item, code in zip(looked, codes, strict=True) if code >= 0 and matches[code]]
    shown = found[: asked.limit]
    last = shown[-1] if len(found) > len(shown) else looked[-1] if len(looked) == _LOOKED else None
    rows = live.store.items_of(shown)
    return {"items": [item_json(row) for row in rows], "next": None if last is None else cursor_after(last)}


def users(live: Live, asked: Listing) -> Json:
    """A page of the stored users, by their ids."""
    after = None if asked.cursor is None else key_of(asked.cursor, str)[0]
    rows = live.store.list_users(after, asked.limit + 1)
    return {
        "users": [{"user": row.id, **_traits(row)} for row in rows[: asked.limit]],
        "next": _next(rows, asked.limit),
    }


def events(live: Live, asked: EventListing) -> Json:
    """A page of the events, newest first."""
    before = None if asked.cursor is None else key_of(asked.cursor, int, str)
    rows = live.store.list_events(asked.user, None if before is None else (before[0], before[1]), asked.limit + 1)
    shown = rows[: asked.limit]
    names = ("id", "user", "item", "kind", "weight", "timestamp", "received")
    return {
        "events": [
            {**{name: row._mapping[name] for name in names}, "recommendation_id": row.recommendation} for row in shown
        ],
        "next": cursor_after(int(shown[-1].change), shown[-1].id) if len(rows) > asked.limit else None,
    }


def _next(rows: Sequence[ItemRow | UserRow], limit: int) -> str | None:
    return cursor_after(rows[limit - 1].id) if len(rows) > limit else None


def _traits(row: UserRow) -> Json:
    return {
        "categories": list(row.categories),
        "tags": list(row.tags),
        "segment": row.segment,
        "attributes": dict(row.attributes),
    }


def model(live: Live) -> Json:
    """What is served, and whether something newer could not be."""
    served = serving(live)
    release = served.release
    return {
        "model_version": served.version,
        "kind": release.model.kind,
        "parts": {
            "personal": served.personal.model.kind,
            "content": None if served.content is None else served.content.model.kind,
            "popularity": served.popularity.model.kind,
        },
        "capabilities": sorted(release.model.capabilities),
        "metrics": {name: value if math.isfinite(value) else None for name, value in release.metrics.items()},
        "trained_at": release.trained,
        "fingerprint": release.fingerprint,
        "loaded_at": datetime.fromtimestamp(release.loaded, UTC).isoformat(),
        "items": len(served.catalogue),
        "live_items": len(served.live),
        "users": len(release.model.users),
        "problems": dict(live.problems),
    }


def no_item(item: str) -> UnknownIdError:
    """The error for an id that neither the model nor the live catalogue holds."""
    return UnknownIdError(f"there is no item {item[:80]!r}.", where="item")
