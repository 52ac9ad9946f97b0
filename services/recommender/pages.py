"""Next pages: a list that was asked for with `paging` is kept for an hour, so that it stays as it was.

What has been hidden meanwhile is left out of the later pages; nothing comes twice, and nothing moves.
"""

from __future__ import annotations

from typing import Any

from palate.errors import UnknownIdError
from services.recommender.served import Served
from services.recommender.store import Store

KEPT = 300
"""How many places of a list are kept."""
SECONDS = 3600

Json = dict[str, Any]


def keep(store: Store, answer: Json, limit: int) -> Json:
    """The answer cut to the first `limit` places of its list, and where the next page is; the rest is stored."""
    places, rest = answer["items"][:limit], answer["items"][limit:]
    name = answer["recommendation_id"]
    told = {
        **answer,
        "items": places,
        "strategies": list(dict.fromkeys(place["strategy"] for place in places)),
        "next": _address(name, 0, limit) if rest else None,
    }
    if rest:
        kept = [{key: place[key] for key in ("item", "score", "strategy", "why")} for place in rest]
        store.keep_list(name, {"model_version": answer["model_version"], "places": kept}, SECONDS)
    return told


def following(store: Store, served: Served, name: str, after: int, limit: int) -> Json:
    """The page of a kept list after so many of its places. Raises UnknownIdError if it is not kept (any more)."""
    held = store.kept_list(name, SECONDS)
    if held is None:
        raise UnknownIdError(
            "there is no such list.", where="recommendation_id", hint="Lists asked for with paging are kept an hour."
        )
    catalogue = served.catalogue
    shown: list[Json] = []
    places = held["places"]
    while after < len(places) and len(shown) < limit:
        place = places[after]
        after += 1
        code = catalogue.ids.code(place["item"])
        if code >= 0 and not catalogue.barred[code]:
            shown.append({**catalogue.entries[code], **place})
    return {
        "items": shown,
        "strategies": list(dict.fromkeys(place["strategy"] for place in shown)),
        "model_version": held["model_version"],
        "recommendation_id": name,
        "next": _address(name, after, limit) if after < len(places) else None,
    }


def _address(name: str, after: int, limit: int) -> str:
    return f"/v1/recommendations/{name}?after={after}&limit={limit}"
