"""The catalogue of the recommendation API from the caller's side: what is known of an item, and changing it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode

from palate.client.answers import Wanted, WantedItem
from palate.client.calls import Caller, Policy
from palate.errors import RemoteError

KEY = "PALATE_API_KEY"
"""The environment variable that holds a key of the scopes `recommend` and `catalogue`."""
Item = dict[str, Any]
WANTED = 10_000
"""Wanted items in a page, as many as the service gives: it ranks all of them for each."""
_PAGE = 1000


class Catalogue:
    """One recommendation API. Safe to share between threads. Raises RemoteError where it refuses or does not answer."""

    def __init__(self, url: str, key: str | None = None, *, policy: Policy | None = None, connections: int = 1) -> None:
        """url: http://host:port. key: a token; that of the environment unless given."""
        found = key if key is not None else os.environ.get(KEY, "").strip() or None
        self._caller = Caller(url, found, policy, connections=connections)

    def item(self, item: str) -> Item | None:
        """What is known of an item; None if it is not in the catalogue."""
        try:
            found: Item = self._caller.json("GET", _path(item))
        except RemoteError as error:
            # Another service, or none at this address, says 404 of everything.
            if error.code == 404 and any(fault.get("field") == "item" for fault in _faults(error)):
                return None
            raise
        return found

    def items(self, filter: str | None = None) -> Iterator[Item]:
        """The stored items that match, such as `genre is not missing`, or all, in the order of their ids, read page by
        page."""
        cursor: str | None = ""
        while cursor is not None:
            asked = {"limit": _PAGE, **({"cursor": cursor} if cursor else {}), **({"filter": filter} if filter else {})}
            page = self._caller.json("GET", f"/v1/items?{urlencode(asked)}")
            yield from page["items"]
            cursor = page["next"]

    def patch(self, item: str, change: Mapping[str, Any]) -> Item:
        """The item after a JSON merge patch (RFC 7396)."""
        found: Item = self._caller.json("PATCH", _path(item), dict(change))
        return found

    def wanted(self, label: str = "label", limit: int | None = 100, days: float = 30.0) -> list[WantedItem]:
        """Items of which it would help most to know more: much met in these days, little known. limit: None for all.

        label: the attribute that labels are published as.
        """
        found: list[WantedItem] = []
        cursor: str | None = ""
        while cursor is not None and (limit is None or len(found) < limit):
            most = WANTED if limit is None else min(WANTED, limit - len(found))
            asked = {"label": label, "limit": most, "days": days, **({"cursor": cursor} if cursor else {})}
            page = Wanted.model_validate(self._caller.json("GET", f"/v1/items/wanted?{urlencode(asked)}"))
            found += page.items
            cursor = page.next
        return found

    def close(self) -> None:
        self._caller.close()


def _faults(error: RemoteError) -> list[dict[str, str]]:
    """The fields that a refusal names."""
    faults: list[dict[str, str]] = (error.problem or {}).get("errors", [])
    return faults


def _path(item: str) -> str:
    return f"/v1/items/{quote(item, safe='')}"
