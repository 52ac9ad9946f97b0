"""What requests may say, in the query and in JSON. Anything else is refused with the name of the field."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    StringConstraints,
    field_validator,
    model_validator,
)

from palate.errors import ParameterError
from palate.web import Model
from services.recommender.catalogue import ItemRow
from services.recommender.filters import MAX_LENGTH
from services.recommender.store import Event, UserRow
from services.recommender.tables import ID_LENGTH

MAX_LIMIT = 200
MAX_OFFSET = 10_000
MAX_EVENTS = 1000
MAX_IMPORT = 50_000
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
Title = Annotated[str, BeforeValidator(_clean), StringConstraints(max_length=2000)]
Text = Annotated[str, BeforeValidator(_clean), StringConstraints(max_length=100_000)]
Image = Annotated[str, BeforeValidator(_clean), StringConstraints(max_length=4000)]
Timestamp = Annotated[int, BeforeValidator(_not_far)]
Segment = Annotated[int, Field(ge=-(2**31), lt=2**31)]


class _Body(Model):
    """JSON says its types: "10" is no number there, as it is in a query."""

    model_config = ConfigDict(strict=True)


class ItemBody(_Body):
    """An item of the catalogue. What is left out is empty: PUT replaces the whole item."""

    title: Title | None = None
    text: Text | None = None
    categories: Names = Field(default_factory=list)
    tags: Names = Field(default_factory=list)
    image: Image | None = None
    available: bool = True
    timestamp: Timestamp | None = None
    attributes: Attributes = Field(default_factory=dict)

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


class ItemPatch(_Body):
    """What changes of an item (JSON merge patch, RFC 7396): null takes out, attributes are merged, the rest stays."""

    title: Title | None = None
    text: Text | None = None
    categories: Names | None = None
    tags: Names | None = None
    image: Image | None = None
    available: bool | None = None
    timestamp: Timestamp | None = None
    attributes: Attributes | None = None


class UserBody(_Body):
    """What is known of a user: stated preferences and a segment. PUT replaces all of it."""

    categories: Names = Field(default_factory=list)
    tags: Names = Field(default_factory=list)
    segment: Segment | None = None
    attributes: Attributes = Field(default_factory=dict)

    def row(self, user: str) -> UserRow:
        categories, tags = tuple(dict.fromkeys(self.categories)), tuple(dict.fromkeys(self.tags))
        return UserRow(user, categories, tags, self.segment, self.attributes)


class UserPatch(_Body):
    """What changes of a user (JSON merge patch, RFC 7396)."""

    categories: Names | None = None
    tags: Names | None = None
    segment: Segment | None = None
    attributes: Attributes | None = None


class ImportedItem(ItemBody):
    item: AnyId


class ImportedUser(UserBody):
    user: AnyId


class ImportBody(_Body):
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
            dated=self.timestamp is not None,
        )


class EventsBody(_Body):
    """Many events, or one event alone: all are stored, or none."""

    events: Annotated[list[EventBody], Field(min_length=1, max_length=MAX_EVENTS)]

    @model_validator(mode="wrap")
    @classmethod
    def _one_alone(cls, data: Any, handler: ModelWrapValidatorHandler[EventsBody]) -> EventsBody:
        """`{"user": ..., "item": ...}` is one event; its faults are told without an index."""
        if isinstance(data, dict) and "events" not in data:
            return cls.model_construct(events=[EventBody.model_validate(data)])
        return handler(data)


class Preferences(_Body):
    """What a visitor says they like."""

    categories: Names = Field(default_factory=list)
    tags: Names = Field(default_factory=list)


NO_PREFERENCES = Preferences()

Limit = Annotated[int, Field(ge=1, le=MAX_LIMIT, description="How many items at most.")]
Offset = Annotated[int, Field(ge=0, le=MAX_OFFSET, description="How many of the best to leave out, for paging.")]
Categories = Annotated[list[Name], Field(max_length=100, description="Only items of one of these categories.")]
Excluded = Annotated[list[AnyId], Field(max_length=1000, description="Ids of items to leave out.")]


Filter = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MAX_LENGTH),
    Field(description='Only items that match, such as `price < 20 and not tags has "adult"`; see the documentation.'),
]


Included = Annotated[list[AnyId], Field(max_length=1000, description="Ids of the only items to take; none: all.")]
ExcludeFilter = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MAX_LENGTH),
    Field(description="Leave out items that match. Those of which it is not known stay."),
]
PerCategory = Annotated[int, Field(ge=1, le=MAX_LIMIT, description="At most so many items of any one category.")]
Diversity = Annotated[
    float,
    Field(ge=0, le=1, allow_inf_nan=False, description="0: the best ranked. 1: the least alike. Between: both."),
]


class Seen(_Body):
    """Which of a user's stored events count as having seen an item. Training history has neither kinds nor times."""

    kinds: Names = Field(default_factory=list, description="Only events of these kinds; none: all.")
    days: Annotated[float, Field(gt=0, le=36_500, allow_inf_nan=False)] | None = Field(None, description="No older.")


class Boost(_Body):
    """Lift what matches by a factor above 1, or bury it by one below 1."""

    filter: Filter
    factor: Annotated[float, Field(ge=0.01, le=100, allow_inf_nan=False)]


class Pin(_Body):
    """Show an item at a position, counted from 1."""

    item: AnyId
    position: Annotated[int, Field(ge=1, le=MAX_LIMIT)]


class RulesBody(_Body):
    """What may be shown, and what is to be lifted."""

    category: Categories = Field(default_factory=list)
    include: Included = Field(default_factory=list)
    exclude: Excluded = Field(default_factory=list)
    filter: Filter | None = None
    exclude_filter: ExcludeFilter | None = None
    boost: list[Boost] = Field(default_factory=list, max_length=20)
    max_per_category: PerCategory | None = None
    diversity: Diversity | None = None
    pins: list[Pin] = Field(default_factory=list, max_length=50)
    exclude_seen: bool | Seen | None = Field(
        None, description="Leave out what the user has touched: all of it, nothing, or some. Unless told: all of it."
    )

    @field_validator("pins")
    @classmethod
    def _one_each(cls, pins: list[Pin]) -> list[Pin]:
        for what, given in (("position", [pin.position for pin in pins]), ("item", [pin.item for pin in pins])):
            if len(set(given)) < len(given):
                raise ValueError(f"two pins have the same {what}")
        return pins


_EXPLAIN = "Say of each item because of which items, categories and tags it came up."
_PAGING = "Keep the list for an hour, so that `next` gives its next pages as they are now."


class Page(Model):
    """What the lists of items take in the query."""

    boost: ClassVar[tuple[Boost, ...]] = ()
    pins: ClassVar[tuple[Pin, ...]] = ()
    limit: Limit = 10
    offset: Offset = 0
    category: Categories = Field(default_factory=list)
    include: Included = Field(default_factory=list)
    exclude: Excluded = Field(default_factory=list)
    filter: Filter | None = None
    exclude_filter: ExcludeFilter | None = None
    max_per_category: PerCategory | None = None
    diversity: Diversity | None = None


class ItemsPage(Page):
    """A list that knows of no user: nothing was seen."""

    exclude_seen: ClassVar[bool | None] = None


class SegmentPage(ItemsPage):
    segment: Segment | None = None


class UserPage(Page):
    recent_items: ClassVar[tuple[str, ...]] = ()
    item: ClassVar[str | None] = None
    attributes: ClassVar[Preferences] = NO_PREFERENCES
    segment: Segment | None = None
    exclude_seen: bool | None = Field(
        None, description="Leave out what the user has touched, in training and since. True unless told."
    )
    explain: bool = Field(False, description=_EXPLAIN)
    paging: bool = Field(False, description=_PAGING)


class Moment(RulesBody):
    """What is known of the moment of a request."""

    recent_items: list[AnyId] = Field(default_factory=list, max_length=1000, description="Newest first.")
    item: AnyId | None = Field(None, description="The item on the page.")
    attributes: Preferences = NO_PREFERENCES
    segment: Segment | None = None
    explain: bool = Field(False, description=_EXPLAIN)


class RecommendBody(Moment):
    """Who asks, and what is known of the moment. All of it is optional: nothing at all gets what is popular."""

    user: AnyId | None = Field(None, description="Known or not.")
    limit: Limit = 10
    offset: Offset = 0
    paging: bool = Field(False, description=_PAGING)


class SessionBody(Moment):
    """A visitor without an account, by what they looked at in this session."""

    recent_items: list[AnyId] = Field(min_length=1, max_length=1000, description="Newest first.")
    limit: Limit = 10
    offset: Offset = 0
    paging: bool = Field(False, description=_PAGING)


class RankBody(Moment):
    """Items to put into order, for a user or a visitor. What was seen stays, unless `exclude_seen` says otherwise."""

    items: list[AnyId] = Field(min_length=1, max_length=1000)
    user: AnyId | None = Field(None, description="Known or not.")


class BatchBody(RulesBody):
    """Many users at once."""

    recent_items: ClassVar[tuple[str, ...]] = ()
    item: ClassVar[str | None] = None
    attributes: ClassVar[Preferences] = NO_PREFERENCES
    segment: ClassVar[int | None] = None
    users: list[AnyId] = Field(min_length=1, max_length=500)
    limit: Limit = 10
    explain: bool = Field(False, description=_EXPLAIN)


class NextPage(Model):
    after: int = Field(0, ge=0, le=1000, description="How many places of what was kept to skip, as `next` says.")
    limit: Limit = 10


class Why(Model):
    """What an item was chosen for."""

    because: str
    items: list[str | int] | None = None
    categories: list[str] | None = None
    tags: list[str] | None = None
    segment: int | None = None


class Place(Model):
    """One recommended item. Scores compare within one strategy of one answer; a pinned item has none."""

    item: str | int
    title: str | None
    categories: list[str]
    score: float | None
    strategy: str
    why: Why


class Recommended(Model):
    """Items, best first; which strategies gave them, in their order; send the id back with events."""

    items: list[Place]
    strategies: list[str]
    model_version: str
    recommendation_id: str
    next: str | None = Field(None, description="Where the next page is, if `paging` was asked for and there is one.")


class RankedOut(Recommended):
    """The items in order; those that are hidden, unknown or kept out by a rule are in `left_out`."""

    left_out: list[str]


class UserAnswer(Recommended):
    user: str


class Answers(Model):
    """One answer per user, in the order asked."""

    answers: list[UserAnswer]
    model_version: str


class ItemOut(Model):
    item: str
    title: str | None
    text: str | None
    categories: list[str]
    tags: list[str]
    image: str | None
    available: bool
    timestamp: int | None
    attributes: dict[str, Any]


class UserOut(Model):
    user: str
    categories: list[str]
    tags: list[str]
    segment: int | None
    attributes: dict[str, Any]
    known_to_model: bool
    recent_items: list[str]


class ItemsOut(Model):
    items: list[ItemOut]
    next: str | None


class StoredUser(Model):
    user: str
    categories: list[str]
    tags: list[str]
    segment: int | None
    attributes: dict[str, Any]


class UsersOut(Model):
    users: list[StoredUser]
    next: str | None


class EventOut(Model):
    id: str
    user: str
    item: str
    kind: str
    weight: float | None
    timestamp: float
    received: float
    recommendation_id: str | None


class EventList(Model):
    events: list[EventOut]
    next: str | None


class ImportOut(Model):
    """`state` is queued, running, done, failed or cancelled; `progress` goes from 0 to 1."""

    job: int
    state: str
    progress: float
    message: str
    result: dict[str, int] | None
    error: str | None
    created: str
    finished: str | None


class EventsOut(Model):
    """`stored` are new, `repeated` were there already; `ids` in the order sent."""

    stored: int
    repeated: int
    ids: list[str]


class ModelOut(Model):
    model_version: str
    kind: str
    parts: dict[str, str | None]
    capabilities: list[str]
    metrics: dict[str, float | None]
    trained_at: str | None
    fingerprint: str | None
    loaded_at: str
    items: int
    live_items: int
    users: int
    problems: dict[str, str]
