"""What the recommendation service may be asked: the keywords of the client's methods. docs/api.md says what they do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from palate.client.answers import Id


class Boost(TypedDict):
    """Lift what matches by a factor above 1, bury it by one below."""

    filter: str
    factor: float


class Pin(TypedDict):
    """Show an item at a position, counted from 1."""

    item: Id
    position: int


class Seen(TypedDict, total=False):
    """Which events count as having seen an item."""

    kinds: Sequence[str]
    days: float


class Preferences(TypedDict, total=False):
    categories: Sequence[str]
    tags: Sequence[str]


class Limits(TypedDict, total=False):
    """What every list takes."""

    limit: int
    category: Sequence[str]
    include: Sequence[Id]
    exclude: Sequence[Id]
    filter: str
    exclude_filter: str
    max_per_category: int
    diversity: float
    deployment: str
    variant: str


class Listed(Limits, total=False):
    """What lists take that know of no user."""

    offset: int


class Segmented(Listed, total=False):
    segment: int


class Rules(TypedDict, total=False):
    """What may be shown, and what is to be lifted; also what `set_rules` takes."""

    category: Sequence[str]
    include: Sequence[Id]
    exclude: Sequence[Id]
    filter: str
    exclude_filter: str
    boost: Sequence[Boost]
    max_per_category: int
    diversity: float
    pins: Sequence[Pin]
    exclude_seen: bool | Seen


class ForMany(Rules, total=False):
    limit: int
    explain: bool
    deployment: str
    variant: str


class ForRanking(Rules, total=False):
    recent_items: Sequence[Id]
    item: Id
    attributes: Preferences
    segment: int
    explain: bool
    deployment: str
    variant: str


class ForSession(Rules, total=False):
    """paging: keep the list for its next pages."""

    limit: int
    offset: int
    item: Id
    attributes: Preferences
    segment: int
    explain: bool
    paging: bool
    deployment: str
    variant: str


class ForAnybody(ForSession, total=False):
    recent_items: Sequence[Id]


class ItemFields(TypedDict, total=False):
    """timestamp: when it appeared, in seconds since 1970 UTC."""

    title: str | None
    text: str | None
    categories: Sequence[str]
    tags: Sequence[str]
    image: str | None
    available: bool
    timestamp: int | None
    attributes: Mapping[str, Any]


class UserFields(TypedDict, total=False):
    categories: Sequence[str]
    tags: Sequence[str]
    segment: int | None
    attributes: Mapping[str, Any]


class NewItem(ItemFields):
    item: Id


class NewUser(UserFields):
    user: Id


class _Happened(TypedDict):
    user: Id
    item: Id


class NewEvent(_Happened, total=False):
    """kind: `view` unless told. timestamp: when it happened, in seconds since 1970 UTC; else it is when it comes.

    id: makes it count once, however often it is sent; one is made up where there is none.
    """

    id: str
    kind: str
    weight: float
    timestamp: float
    recommendation_id: str


class NewVariant(TypedDict, total=False):
    """A bundle, or a registered model with its version or alias; neither: the service's own model."""

    name: str
    bundle: str
    model: str
    version: str
    weight: float
    shadow: bool


class DeploymentFields(TypedDict, total=False):
    rules: Rules
    filters: Mapping[str, str]
    clicks: Sequence[str]


class Bounds(TypedDict, total=False):
    errors: float | None
    slow_ms: float | None
    slow: float
    click_through: float | None
    risk: float


class RolloutFields(TypedDict, total=False):
    """kind: canary, linear or blue-green. seconds: how long each step takes at least."""

    kind: str
    share: float
    seconds: float
    least_requests: int
    click_seconds: float
    bounds: Bounds


class ModelFields(TypedDict, total=False):
    """A bundle as the server's machine names it, or a registered model with its version or alias; part: a stage."""

    bundle: str
    model: str
    version: str
    part: str


class NewHosted(ModelFields, total=False):
    """A variant of an endpoint."""

    name: str
    weight: float
    shadow: bool


class TransformFields(TypedDict, total=False):
    content_type: str
    accept: str
    variant: str
