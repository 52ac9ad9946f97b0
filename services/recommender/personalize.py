"""The routes of Amazon Personalize's clients: `personalize-runtime` and `personalize-events`, over the same service.

A campaign or recommender is a deployment: the part of its ARN after the last `/` is the name. So is a filter's, of
the filters that the deployment names.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

from flask import Blueprint, Response
from pydantic import ConfigDict, Field

from palate.errors import InputError, ParameterError, UnknownIdError
from palate.web import Model, require
from palate.web.aws import Codes, speak_aws
from palate.web.contract import read_json, validate
from palate.web.problems import FieldErrors
from services.recommender import service
from services.recommender.asking import MAX_LIMIT, RankBody, RecommendBody
from services.recommender.bodies import MAX_EVENTS, AnyId, EventBody, ItemBody, UserBody
from services.recommender.catalogue import ItemRow, fits
from services.recommender.deployments.named_filters import filled
from services.recommender.deployments.records import DEFAULT
from services.recommender.live import Live
from services.recommender.shares import shares_of_app
from services.recommender.state import as_json, count, state
from services.recommender.store import UserRow

CODES = Codes(
    invalid="InvalidInputException",
    missing="ResourceNotFoundException",
    taken="ResourceInUseException",
    bug="InternalFailure",
    away="ServiceUnavailable",
)
_AT_ONCE = 100
"""Items or users in one request, several times what Personalize takes."""
Arn = Annotated[str, Field(min_length=1, max_length=256)]
_LISTED = ("categories", "tags")
_NAMES = {
    "title": "title", "text": "text", "description": "text", "image": "image", "available": "available",
    "categories": "categories", "category": "categories", "genres": "categories", "genre": "categories",
    "tags": "tags", "timestamp": "timestamp", "creationtimestamp": "timestamp", "segment": "segment",
}  # fmt: skip
"""Properties, in small letters and without `_`, to the fields of an item or a user that they are."""


class _Asked(Model):
    """What both calls of the runtime take; what is not listed is refused by its name, not passed over."""

    model_config = ConfigDict(strict=True)

    campaignArn: Arn | None = None
    filterArn: Arn | None = None
    filterValues: dict[str, str] = Field(default_factory=dict, max_length=25)
    context: dict[str, str] = Field(default_factory=dict, max_length=150)
    userId: AnyId | None = None


class GetRecommendations(_Asked):
    recommenderArn: Arn | None = None
    itemId: AnyId | None = None
    numResults: int = Field(25, ge=1, le=MAX_LIMIT)


class GetRanking(_Asked):
    inputList: list[AnyId] = Field(min_length=1, max_length=500)
    userId: AnyId


class SentEvent(Model):
    model_config: ClassVar[ConfigDict] = ConfigDict(strict=True, extra="ignore")

    eventType: str
    itemId: AnyId
    sentAt: float
    eventId: AnyId | None = None
    eventValue: float | None = None
    recommendationId: str | None = None


class PutEvents(Model):
    model_config = ConfigDict(strict=True)

    trackingId: str = Field(min_length=1, max_length=256)
    sessionId: AnyId
    userId: AnyId | None = None
    eventList: list[SentEvent] = Field(min_length=1, max_length=MAX_EVENTS)


class SentItem(Model):
    itemId: AnyId
    properties: str = "{}"


class SentUser(Model):
    userId: AnyId
    properties: str = "{}"


class PutItems(Model):
    datasetArn: Arn
    items: list[SentItem] = Field(min_length=1, max_length=_AT_ONCE)


class PutUsers(Model):
    datasetArn: Arn
    users: list[SentUser] = Field(min_length=1, max_length=_AT_ONCE)


def personalize() -> Blueprint:
    """The routes that Personalize's clients call; their errors are AWS's."""
    blueprint = Blueprint("personalize", __name__)
    speak_aws(blueprint, CODES)
    blueprint.post("/recommendations")(get_recommendations)
    blueprint.post("/personalize-ranking")(get_personalized_ranking)
    blueprint.post("/events")(put_events)
    blueprint.post("/items")(put_items)
    blueprint.post("/users")(put_users)
    return blueprint


@require("recommend")
def get_recommendations() -> Response:
    """GetRecommendations: for a user, for an item on the page, or for both; popular items for nobody."""
    live = state()[0]
    asked = _taken(GetRecommendations)
    if (asked.campaignArn is None) == (asked.recommenderArn is None):
        raise ParameterError("give either campaignArn or recommenderArn.", where="campaignArn")
    ruled = _ruled(live, asked, asked.campaignArn or asked.recommenderArn)
    if asked.itemId is not None and asked.userId is None:
        ruled["exclude"] = [asked.itemId]
    body = RecommendBody(user=asked.userId, item=asked.itemId, limit=asked.numResults, **ruled)
    answer = service.recommend(live, body, asked.userId)
    count(answer["items"])
    if asked.userId is not None:
        shares_of_app().add(answer["strategies"])
    return as_json({"itemList": _scored(answer["items"]), "recommendationId": answer["recommendation_id"]})


@require("recommend")
def get_personalized_ranking() -> Response:
    """GetPersonalizedRanking: the given items in order, without those that are unknown, hidden or filtered out."""
    live = state()[0]
    asked = _taken(GetRanking)
    body = RankBody(user=asked.userId, items=asked.inputList, **_ruled(live, asked, asked.campaignArn))
    answer = service.rank(live, body)
    count(answer["items"])
    return as_json({"personalizedRanking": _scored(answer["items"]), "recommendationId": answer["recommendation_id"]})


@require("events")
def put_events() -> Response:
    """PutEvents: on disk before the answer. Without a user the session is one."""
    live = state()[0]
    asked = _taken(PutEvents)
    user = asked.userId or asked.sessionId
    events = []
    for each in asked.eventList:
        said = {
            "id": each.eventId,
            "user": user,
            "item": each.itemId,
            "kind": each.eventType,
            "weight": each.eventValue,
            "timestamp": each.sentAt,
            "recommendation_id": each.recommendationId,
        }
        events.append(validate(EventBody, said).event())
    live.add_events(events)
    return Response(b"", 200, mimetype="application/json")


@require("catalogue")
def put_items() -> Response:
    """PutItems: adds or replaces items of the live catalogue."""
    live = state()[0]
    asked = _taken(PutItems)
    rows: dict[str, ItemRow] = {}
    for at, each in enumerate(asked.items):
        if live.served is not None and not fits(each.itemId, live.served.catalogue.ids):
            raise ParameterError("the ids of this catalogue are 64-bit integers.", where=f"items.{at}.itemId")
        said = _properties(each.properties, f"items.{at}.properties", ItemBody)
        rows[each.itemId] = said.row(each.itemId)
    live.store.put_items(list(rows.values()))
    live.nudge()
    return Response(b"", 200, mimetype="application/json")


@require("catalogue")
def put_users() -> Response:
    """PutUsers: adds or replaces users."""
    live = state()[0]
    asked = _taken(PutUsers)
    rows: dict[str, UserRow] = {}
    for at, each in enumerate(asked.users):
        rows[each.userId] = _properties(each.properties, f"users.{at}.properties", UserBody).row(each.userId)
    live.store.put_users(list(rows.values()))
    live.forget(rows)
    live.nudge()
    return Response(b"", 200, mimetype="application/json")


def _taken(model: Any) -> Any:
    """The body as `model`. Raises FieldErrors."""
    return validate(model, read_json())


def _name(arn: str) -> str:
    return arn.rsplit("/", 1)[-1]


def _ruled(live: Live, asked: _Asked, arn: str | None) -> dict[str, Any]:
    """The deployment and the filter that are named. Raises UnknownIdError for those that are not there."""
    if arn is None:
        raise ParameterError("it is missing.", where="campaignArn")
    name = _name(arn)
    plan = live.traffic.plans.get(name)
    if plan is None and name != DEFAULT:
        raise UnknownIdError(f"there is no deployment {name[:80]!r}.", where="campaignArn")
    ruled: dict[str, Any] = {"deployment": name}
    if asked.filterArn is not None:
        wanted = _name(asked.filterArn)
        filters = {} if plan is None else plan.deployment.filters
        if wanted not in filters:
            raise UnknownIdError(f"the deployment has no filter {wanted[:80]!r}.", where="filterArn")
        ruled["filter"] = filled(filters[wanted], asked.filterValues)
    elif asked.filterValues:
        raise ParameterError("there are values, but no filter.", where="filterValues")
    return ruled


def _scored(places: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"itemId": str(place["item"]), **({} if place["score"] is None else {"score": place["score"]})}
        for place in places
    ]


def _properties(text: str, where: str, body: Any) -> Any:
    """Properties as the fields of a body; what is none of them is an attribute. Raises FieldErrors."""
    try:
        said = json.loads(text)
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise InputError("the properties must be a JSON object, as text.", where=where)
    fields: dict[str, Any] = {}
    attributes: dict[str, Any] = {}
    for name, value in said.items():
        field = _NAMES.get(name.lower().replace("_", ""))
        if field is None or field not in body.model_fields:
            attributes[name] = value
        elif field in _LISTED and isinstance(value, str):
            fields[field] = [part for part in value.split("|") if part]
        elif field == "timestamp" and isinstance(value, float) and math.isfinite(value):
            fields[field] = int(value)
        else:
            fields[field] = value
    try:
        return validate(body, {**fields, "attributes": attributes})
    except FieldErrors as error:
        raise FieldErrors([(f"{where}.{name}", told) for name, told in error.fields]) from None
