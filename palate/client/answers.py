"""What the recommendation service answers, as typed objects. Fields that a newer service adds are passed over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict

Id = str | int
"""Ids are of the catalogue's type: text, or integers where all of them are."""


class Answered(BaseModel):
    """The base of all answers: never changed after it was made."""

    model_config = ConfigDict(extra="ignore", frozen=True, protected_namespaces=())


class Why(Answered):
    """What an item was chosen for."""

    because: str
    items: list[Id] | None = None
    categories: list[str] | None = None
    tags: list[str] | None = None
    segment: int | None = None


class Place(Answered):
    """One recommended item. Scores compare within one strategy of one answer; a pinned item has none."""

    item: Id
    title: str | None
    categories: list[str]
    score: float | None
    strategy: str
    why: Why


class Recommended(Answered):
    """Items, best first. Send `recommendation_id` back with the events that come of it. next: of kept lists, where the
    next page is."""

    items: list[Place]
    strategies: list[str]
    model_version: str
    recommendation_id: str
    deployment: str | None = None
    variant: str | None = None
    next: str | None = None


class Ranked(Recommended):
    """The given items in order; `left_out` are hidden, unknown or kept out by a rule."""

    left_out: list[str]


class UserAnswer(Recommended):
    user: str


class Answers(Answered):
    """An answer per user, in the order asked."""

    answers: list[UserAnswer]
    model_version: str


class Item(Answered):
    item: str
    title: str | None
    text: str | None
    categories: list[str]
    tags: list[str]
    image: str | None
    available: bool
    timestamp: int | None
    attributes: dict[str, Any]


class StoredUser(Answered):
    user: str
    categories: list[str]
    tags: list[str]
    segment: int | None
    attributes: dict[str, Any]


class WantedItem(Answered):
    """An item of which it would help to know more. unknown: from 0 to 1; events: in how many it was met."""

    item: Id
    title: str | None
    score: float
    unknown: float
    events: int


class Wanted(Answered):
    """A page, the most wanted first."""

    items: list[WantedItem]
    next: str | None

    @property
    def rows(self) -> list[WantedItem]:
        return self.items


class User(StoredUser):
    """recent_items: of their latest events, newest first."""

    known_to_model: bool
    recent_items: list[str]


class Features(Answered):
    """as_of: seconds since 1970 UTC. features: name to value, None where there is none. Both None: nothing is held."""

    id: str
    as_of: float | None
    features: dict[str, float | None] | None


class FeaturesOfMany(Answered):
    """In the order asked."""

    users: list[Features]
    items: list[Features]


class Event(Answered):
    """timestamp: when it happened; received: when it came; both in seconds since 1970 UTC."""

    id: str
    user: str
    item: str
    kind: str
    weight: float | None
    timestamp: float
    received: float
    recommendation_id: str | None


class Items(Answered):
    items: list[Item]
    next: str | None

    @property
    def rows(self) -> list[Item]:
        return self.items


class Users(Answered):
    users: list[StoredUser]
    next: str | None

    @property
    def rows(self) -> list[StoredUser]:
        return self.users


class Events(Answered):
    events: list[Event]
    next: str | None

    @property
    def rows(self) -> list[Event]:
        return self.events


class Stored(Answered):
    """How many events are new, and how many were there already; their ids in the order sent."""

    stored: int
    repeated: int
    ids: list[str]


@dataclass(frozen=True)
class Exported:
    """Events as Parquet, and the cursor after them."""

    parquet: bytes
    next: int


class Import(Answered):
    """`state` is queued, running, done, failed or cancelled; `progress` goes from 0 to 1."""

    job: int
    state: str
    progress: float
    message: str
    result: dict[str, int] | None
    error: str | None
    created: str
    finished: str | None


class Served(Answered):
    """The service's own model."""

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
