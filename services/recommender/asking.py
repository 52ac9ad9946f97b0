"""What may be asked of the lists, in the query and in JSON: for whom, how many, under which rules."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints, field_validator

from palate.web import Body, Model
from services.recommender.bodies import AnyId, Listing, Name, Names, Segment
from services.recommender.filters import MAX_LENGTH

MAX_LIMIT = 200
MAX_OFFSET = 10_000


class Preferences(Body):
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


class ItemListing(Listing):
    """A page of items. One that is filtered may hold fewer than `limit`, or none, though `next` says there are more."""

    filter: Filter | None = None


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


class Seen(Body):
    """Which of a user's stored events count as having seen an item. Training history has neither kinds nor times."""

    kinds: Names = Field(default_factory=list, description="Only events of these kinds; none: all.")
    days: Annotated[float, Field(gt=0, le=36_500, allow_inf_nan=False)] | None = Field(None, description="No older.")


class Boost(Body):
    """Lift what matches by a factor above 1, or bury it by one below 1."""

    filter: Filter
    factor: Annotated[float, Field(ge=0.01, le=100, allow_inf_nan=False)]


class Pin(Body):
    """Show an item at a position, counted from 1."""

    item: AnyId
    position: Annotated[int, Field(ge=1, le=MAX_LIMIT)]


class RulesBody(Body):
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


DeploymentName = Annotated[
    str, StringConstraints(min_length=1, max_length=63), Field(description="Who answers; `default` unless told.")
]
VariantName = Annotated[
    str, StringConstraints(min_length=1, max_length=63), Field(description="Which variant of it, whatever the weights.")
]


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
    deployment: DeploymentName | None = None
    variant: VariantName | None = None


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
    attributes: Preferences = Field(default_factory=Preferences)
    segment: Segment | None = None
    explain: bool = Field(False, description=_EXPLAIN)
    deployment: DeploymentName | None = None
    variant: VariantName | None = None


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
    deployment: DeploymentName | None = None
    variant: VariantName | None = None


class NextPage(Model):
    after: int = Field(0, ge=0, le=1000, description="How many places of what was kept to skip, as `next` says.")
    limit: Limit = 10
