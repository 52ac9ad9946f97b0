"""What may be written: items, users, events; and the fields all requests are made of.

Anything else is refused with the name of the field.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import (
    BeforeValidator,
    Field,
    ModelWrapValidatorHandler,
    StringConstraints,
    model_validator,
)

from palate.errors import ParameterError
from palate.web import Body, Model
from services.recommender.catalogue import ItemRow
from services.recommender.store import Event, UserRow
from services.recommender.tables import ID_LENGTH

MAX_EVENTS = 1000
MAX_IMPORT = 50_000
_FAR = 86_400
"""Seconds that a timestamp may lie in the future: clocks differ."""
_EARLIEST = -(10**11)
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def checked_id(value: Any, where: str | None = None) -> str:
    """An id as text. Raises ParameterError (a ValueError) for empty, long or multi-line ones and for other types."""
    if isinstance(value, str) and 0 < len(value) <= ID_LENGTH and value.isprintable():
        return value  # nearly all of them: what is printable holds none of _CONTROL
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
Title = Annotated[str, BeforeValidator(_clean), StringConstraints(max_length=2000)]
Text = Annotated[str, BeforeValidator(_clean), StringConstraints(max_length=100_000)]
Image = Annotated[str, BeforeValidator(_clean), StringConstraints(max_length=4000)]
Timestamp = Annotated[int, BeforeValidator(_not_far)]
Segment = Annotated[int, Field(ge=-(2**31), lt=2**31)]


class ItemBody(Body):
    """An item of the catalogue. What is left out is empty: PUT replaces the whole item."""

    title: Title | None = None
    text: Text | None = None
    categories: Names = Field(default_factory=list)
    tags: Names = Field(default_factory=list)
    image: Image | None = None
    available: bool = True
    timestamp: Timestamp | None = None
    attributes: Attributes = Field(default_factory=dict)

    def row(self, item: str, now: int | None = None) -> ItemRow:
        """As the store keeps it; an item that does not say when it appeared appeared now (seconds since 1970)."""
        return ItemRow(
            item,
            self.title,
            self.text,
            tuple(dict.fromkeys(self.categories)),
            tuple(dict.fromkeys(self.tags)),
            self.image,
            self.available,
            self.timestamp if self.timestamp is not None else int(time.time()) if now is None else now,
            self.attributes,
        )


class ItemPatch(Body):
    """What changes of an item (JSON merge patch, RFC 7396): null takes out, attributes are merged, the rest stays."""

    title: Title | None = None
    text: Text | None = None
    categories: Names | None = None
    tags: Names | None = None
    image: Image | None = None
    available: bool | None = None
    timestamp: Timestamp | None = None
    attributes: Attributes | None = None


class UserBody(Body):
    """What is known of a user: stated preferences and a segment. PUT replaces all of it."""

    categories: Names = Field(default_factory=list)
    tags: Names = Field(default_factory=list)
    segment: Segment | None = None
    attributes: Attributes = Field(default_factory=dict)

    def row(self, user: str) -> UserRow:
        categories, tags = tuple(dict.fromkeys(self.categories)), tuple(dict.fromkeys(self.tags))
        return UserRow(user, categories, tags, self.segment, self.attributes)


class UserPatch(Body):
    """What changes of a user (JSON merge patch, RFC 7396)."""

    categories: Names | None = None
    tags: Names | None = None
    segment: Segment | None = None
    attributes: Attributes | None = None


class ImportedItem(ItemBody):
    item: AnyId


class ImportedUser(UserBody):
    user: AnyId


class ImportBody(Body):
    """Items and users to add or replace. All are checked before any is written."""

    items: list[ImportedItem] = Field(default_factory=list, max_length=MAX_IMPORT)
    users: list[ImportedUser] = Field(default_factory=list, max_length=MAX_IMPORT)


class Listing(Model):
    """A page of a list: `cursor` is `next` of the page before."""

    cursor: str | None = Field(None, max_length=4000)
    limit: int = Field(100, ge=1, le=1000)


class EventListing(Listing):
    user: AnyId | None = Field(None, description="Only events of this user.")


class ExportPage(Model):
    """Which events to export."""

    after: int = Field(0, ge=0, lt=2**63, description="The cursor: 0, or `Next-Cursor` of the page before.")
    limit: int = Field(10_000, ge=1, le=100_000, description="About how many; requests of events are never split.")


class EventBody(Body):
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
            dated=self.timestamp is not None,
        )


class EventsBody(Body):
    """Many events, or one event alone: all are stored, or none."""

    events: Annotated[list[EventBody], Field(min_length=1, max_length=MAX_EVENTS)]

    @model_validator(mode="wrap")
    @classmethod
    def _one_alone(cls, data: Any, handler: ModelWrapValidatorHandler[EventsBody]) -> EventsBody:
        """`{"user": ..., "item": ...}` is one event; its faults are told without an index."""
        if isinstance(data, dict) and "events" not in data:
            return cls.model_construct(events=[EventBody.model_validate(data)])
        return handler(data)
