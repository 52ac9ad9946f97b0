"""What the routes answer, as OpenAPI describes it."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from palate.web import Model


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
    deployment: str | None = Field(None, description="Which deployment answered, if one did.")
    variant: str | None = Field(None, description="Which of its variants.")
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
