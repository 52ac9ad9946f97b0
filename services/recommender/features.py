"""Feature values of users and items over HTTP: what `palate features refresh` put there, the numbers of the offline
tables.

They lie in a database of their own, so that a refresh, one large transaction, keeps no event waiting on SQLite.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Annotated, Self

from flask import current_app
from pydantic import Field, model_validator

from palate.errors import UnknownIdError
from palate.features.online import OnlineFeatures
from palate.settings import Settings
from palate.store import open_engine
from palate.web import Body, Model, gives, takes
from services.recommender.addresses import checked
from services.recommender.bodies import AnyId

KEY = "palate.features"
HOUSE = "features"
Ids = Annotated[list[AnyId], Field(max_length=1000)]


class Features:
    """The values that a worker looks up; their database is opened when the first is asked for."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @cached_property
    def online(self) -> OnlineFeatures:
        return OnlineFeatures(open_engine(self._settings.database(HOUSE)))


class FeaturesBody(Body):
    """Users and items whose values are wanted, up to 1,000 of each."""

    users: Ids = Field(default_factory=list)
    items: Ids = Field(default_factory=list)

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not self.users and not self.items:
            raise ValueError("Name users or items.")
        return self


class FeaturesOut(Model):
    """The values of one user or item. as_of: seconds since 1970 UTC. Both are null where nothing is held."""

    id: str
    as_of: float | None
    features: dict[str, float | None] | None = Field(description="Name to value; null where there is none.")


class FeaturesOfMany(Model):
    """In the order asked."""

    users: list[FeaturesOut]
    items: list[FeaturesOut]


@gives(FeaturesOut)
def of_user(user: str) -> FeaturesOut:
    """Show the feature values of a user."""
    return _one("user", checked(user, "user"))


@gives(FeaturesOut)
def of_item(item: str) -> FeaturesOut:
    """Show the feature values of an item."""
    return _one("item", checked(item, "item"))


@takes(body=FeaturesBody)
@gives(FeaturesOfMany)
def of_many(body: FeaturesBody) -> FeaturesOfMany:
    """Show the feature values of many users and items. Of whom nothing is held, null is."""
    return FeaturesOfMany(users=_values("user", body.users), items=_values("item", body.items))


def _one(entity: str, name: str) -> FeaturesOut:
    found = _values(entity, [name])[0]
    if found.features is None:
        raise UnknownIdError(
            f"nothing is held of the {entity} {name[:80]!r}.",
            where=entity,
            hint="Held are those whom an event names that `palate features refresh` was given.",
        )
    return found


def _values(entity: str, names: Sequence[str]) -> list[FeaturesOut]:
    if not names:
        return []
    online: OnlineFeatures = current_app.extensions[KEY].online
    found = online.get(entity, names)
    return [
        FeaturesOut(id=name, as_of=found[name].as_of, features=found[name].features)
        if name in found
        else FeaturesOut(id=name, as_of=None, features=None)
        for name in names
    ]
