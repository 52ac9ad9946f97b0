"""What requests may say, in the query and in JSON. Anything else is refused with the name of the field."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from palate.errors import ParameterError
from services.recommender.catalogue import ItemRow
from services.recommender.store import Event, UserRow
from services.recommender.tables import ID_LENGTH

MAX_LIMIT = 200
MAX_OFFSET = 10_000
MAX_EVENTS = 1000
_FAR = 86_400
"""Seconds that a timestamp may lie in the future: clocks differ."""
_EARLIEST = -(10**11)
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def checked_id(value: Any, where: str | None = None) -> str:
    """An id as text. Raises ParameterError (a ValueError) for empty, long or multi-line ones and for other types."""
    if isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63:
        return str(value)
    if not isinstance(value, str):
        raise ParameterError("an id is a string or a 64-bit integer.", where=where)
    if not value:
        raise ParameterError("an id cannot be empty.", where=where)
    if len(value) > ID_LENGTH:
        raise ParameterError(f"an id has at most {ID_LENGTH} characters, this one {len(value)}.", where=where)
    if _CONTROL.search(value):
        raise ParameterError("an id cannot hold line breaks or control characters.", where=where)
    return value


def _clean(value: Any) -> Any:
    if isinstance(value, str) and re.search("[\x00\ud800-\udfff]", value):
        raise ValueError("it holds characters that are not text")
    return value


def _clean_tree(value: Any) -> Any:
    if isinstance(value, Mapping):
        for key, each in value.items():
            _clean(key)
            _clean_tree(each)
    elif isinstance(value, list):
        for each in value:
            _clean_tree(each)
    return _clean(value)


def _not_far(value: Any) -> Any:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and not _EARLIEST < value < time.time() + _FAR:
        raise ValueError("it must be in seconds since 1970 and not in the future")
    return value


AnyId = Annotated[str, BeforeValidator(checked_id)]
Name = Annotated[str, BeforeValidator(_clean), StringConstraints(min_length=1, max_length=200)]
Names = Annotated[list[Name], Field(max_length=100)]
Attributes = Annotated[dict[str, Any], BeforeValidator(_clean_tree), Field(max_length=200)]
Segment = Annotated[int, Field(ge=-(2**31), lt=2**31)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class ItemBody(_Body):
    """An item of the catalogue. What is left out is empty: PUT replaces the whole item."""

    title: Annotated[str, BeforeValidator(_clean), StringConstraints(max_length=2000)] | None = None
    text: Annotated[str, BeforeValidator(_clean), StringConstraints(max_length=100_000)] | None = None
    categories: Names = []
    tags: Names = []
    image: Annotated[str, BeforeValidator(_clean), StringConstraints(max_length=4000)] | None = None
    available: bool = True
    timestamp: Annotated[int, BeforeValidator(_not_far)] | None = None
    attributes: Attributes = {}

    def row(self, item: str) -> ItemRow:
        """As the store keeps it; an item that does not say when it appeared appeared now."""
        return ItemRow(
            item,
            self.title,
            self.text,
            tuple(dict.fromkeys(self.categories)),
            tuple(dict.fromkeys(self.tags)),
            self.image,
            self.available,
            int(time.time()) if self.timestamp is None else self.timestamp,
            self.attributes,
        )


class UserBody(_Body):
    """What is known of a user: stated preferences and a segment. PUT replaces all of it."""

    categories: Names = []
    tags: Names = []
    segment: Segment | None = None
    attributes: Attributes = {}

    def row(self, user: str) -> UserRow:
        categories, tags = tuple(dict.fromkeys(self.categories)), tuple(dict.fromkeys(self.tags))
        return UserRow(user, categories, tags, self.segment, self.attributes)


class EventBody(_Body):
    """A user did something with an item. Send an `id` of your own, so that a repeated request counts once."""

    id: AnyId | None = None
    user: AnyId
    item: AnyId
    kind: Annotated[str, BeforeValidator(_clean), StringConstraints(min_length=1, max_length=80)] = "view"
    weight: Annotated[float, Field(allow_inf_nan=False, ge=-1e9, le=1e9)] | None = None
    timestamp: Annotated[float, Field(allow_inf_nan=False), BeforeValidator(_not_far)] | None = None
    recommendation_id: Annotated[str, StringConstraints(max_length=80), BeforeValidator(_clean)] | None = None

    def event(self) -> Event:
        return Event(
            self.id or uuid.uuid4().hex,
            self.user,
            self.item,
            self.kind,
            self.weight,
            time.time() if self.timestamp is None else self.timestamp,
            self.recommendation_id,
        )


class EventsBody(_Body):
    """Many events: all are stored, or none."""

    events: Annotated[list[EventBody], Field(min_length=1, max_length=MAX_EVENTS)]


class Preferences(_Body):
    """What a visitor says they like."""

    categories: Names = []
    tags: Names = []


class RecommendBody(_Body):
    """Who asks, and what is known of the moment. All of it is optional: nothing at all gets what is popular."""

    user: AnyId | None = None
    recent_items: Annotated[list[AnyId], Field(max_length=1000)] = []
    item: AnyId | None = None
    attributes: Preferences = Preferences()
    segment: Segment | None = None
    limit: Annotated[int, Field(ge=1, le=MAX_LIMIT)] = 10
    offset: Annotated[int, Field(ge=0, le=MAX_OFFSET)] = 0
    exclude_seen: bool = True
    category: Names = []
    exclude: Annotated[list[AnyId], Field(max_length=1000)] = []
