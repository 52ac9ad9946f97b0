"""What is known of an item, of a user, of the model: the JSON of the routes that show them."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

from palate.errors import NotFittedError, UnknownIdError
from services.recommender.catalogue import ItemRow
from services.recommender.live import Live
from services.recommender.served import Served

Json = dict[str, Any]


def serving(live: Live) -> Served:
    """The snapshot to answer from. Raises NotFittedError while there is none."""
    if live.served is None:
        raise NotFittedError(
            "no model could be loaded yet.", hint=live.problems.get("model", "It is being loaded; try again soon.")
        )
    return live.served


def item(live: Live, item: str) -> Json:
    """An item of the live catalogue, or what the model's catalogue knows of it. Raises UnknownIdError for others."""
    row = live.store.item(item)
    if row is not None and not row.deleted:
        return item_json(row)
    served = live.served
    code = -1 if served is None else served.catalogue.ids.code(item)
    if row is not None or served is None or code < 0:
        raise no_item(item)
    shown = served.catalogue.entries[code]
    return item_json(ItemRow(str(shown["item"]), shown["title"], categories=tuple(shown["categories"])))


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
    row = state.row
    return {
        "user": user,
        "categories": list(row.categories) if row else [],
        "tags": list(row.tags) if row else [],
        "segment": row.segment if row else None,
        "attributes": dict(row.attributes) if row else {},
        "known_to_model": code >= 0,
        "recent_items": list(state.touched[:20]),
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
