"""The routes under /v1: each takes what its contract says, asks `service` or the store, and answers JSON."""

from __future__ import annotations

import json
from collections import Counter as Tally
from collections.abc import Iterable
from typing import Any

from flask import Blueprint, Response, current_app
from prometheus_client import Counter

from palate.errors import ParameterError
from palate.web import gives, gives_file, require, require_all, takes
from services.recommender import about, imports, service
from services.recommender.addresses import checked, install
from services.recommender.batches import recommend_to_many
from services.recommender.bodies import (
    Answers,
    BatchBody,
    EventList,
    EventListing,
    EventsBody,
    EventsOut,
    ExportPage,
    ImportBody,
    ImportOut,
    ItemBody,
    ItemOut,
    ItemPatch,
    ItemsOut,
    ItemsPage,
    Listing,
    ModelOut,
    NextPage,
    RankBody,
    RankedOut,
    RecommendBody,
    Recommended,
    RulesBody,
    SegmentPage,
    SessionBody,
    UserBody,
    UserOut,
    UserPage,
    UserPatch,
    UsersOut,
)
from services.recommender.catalogue import fits
from services.recommender.exports import MEDIA, parquet
from services.recommender.live import Live
from services.recommender.pages import following
from services.recommender.patches import item_change, user_change
from services.recommender.rules import check

KEY = "palate.recommender"


def state() -> tuple[Live, Counter]:
    """What `create` left in the app: the snapshot's keeper, and the counter of recommended items by strategy."""
    found: tuple[Live, Counter] = current_app.extensions[KEY]
    return found


def blueprint() -> Blueprint:
    """A new blueprint with all routes; the scopes are recommend, catalogue and events."""
    v1 = Blueprint("v1", __name__, url_prefix="/v1")
    v1.record_once(install)
    require_all(v1, "recommend")
    v1.get("/users/<id:user>/recommendations")(for_user)
    v1.post("/recommendations")(for_anybody)
    v1.post("/recommendations/session")(for_session)
    v1.post("/recommendations/batch")(for_many)
    v1.get("/recommendations/<id:recommendation_id>")(next_page)
    v1.post("/rank")(rank)
    v1.get("/items/popular")(popular)
    v1.get("/items/trending")(trending)
    v1.get("/items/latest")(latest)
    v1.get("/items/<id:item>/similar")(similar)
    v1.get("/items")(list_items)
    v1.get("/items/<id:item>")(get_item)
    v1.put("/items/<id:item>")(put_item)
    v1.patch("/items/<id:item>")(patch_item)
    v1.delete("/items/<id:item>")(delete_item)
    v1.get("/users")(list_users)
    v1.get("/users/<id:user>")(get_user)
    v1.put("/users/<id:user>")(put_user)
    v1.patch("/users/<id:user>")(patch_user)
    v1.delete("/users/<id:user>")(delete_user)
    v1.post("/imports")(post_import)
    v1.get("/imports/<int:job>")(get_import)
    v1.delete("/imports/<int:job>")(cancel_import)
    v1.get("/events")(list_events)
    v1.get("/events/export")(export_events)
    v1.post("/events")(post_events)
    v1.get("/rules")(get_rules)
    v1.put("/rules")(put_rules)
    v1.get("/model")(get_model)
    return v1


@takes(query=UserPage)
@gives(Recommended)
def for_user(user: str, query: UserPage) -> Response:
    """Recommend items to a user.

    Known users get their personal ranking, with what they did since the training folded in; unknown ones what their
    stored attributes suggest, or what is popular. Each item says its strategy.
    """
    return _counted(service.recommend(state()[0], query, checked(user, "user")))


@takes(body=RecommendBody)
@gives(Recommended)
def for_anybody(body: RecommendBody) -> Response:
    """Recommend items to a visitor.

    From a user's id, recent items, the item on the page, stated categories and tags: whatever is known.
    """
    return _counted(service.recommend(state()[0], body, body.user))


@takes(body=SessionBody)
@gives(Recommended)
def for_session(body: SessionBody) -> Response:
    """Recommend items to a visitor without an account, from the items of their session, newest first."""
    return _counted(service.recommend(state()[0], body, None))


@takes(body=BatchBody)
@gives(Answers)
def for_many(body: BatchBody) -> Response:
    """Recommend items to many users at once. Each is answered as if asked alone, only faster."""
    answer = recommend_to_many(state()[0], body)
    _count(place for one in answer["answers"] for place in one["items"])
    return _json(answer)


@takes(query=NextPage)
@gives(Recommended)
def next_page(recommendation_id: str, query: NextPage) -> Response:
    """Show the next page of a list that was asked for with `paging`, as it was then; `next` leads here."""
    live, _ = state()
    name = checked(recommendation_id, "recommendation_id")
    return _counted(following(live.store, about.serving(live), name, query.after, query.limit))


@takes(body=RankBody)
@gives(RankedOut)
def rank(body: RankBody) -> Response:
    """Put given items into order for a user or a visitor."""
    return _counted(service.rank(state()[0], body))


@takes(query=ItemsPage)
@gives(Recommended)
def trending(query: ItemsPage) -> Response:
    """List items that are trending: done something with more often lately than usual."""
    return _counted(service.trending(state()[0], query))


@takes(query=SegmentPage)
@gives(Recommended)
def popular(query: SegmentPage) -> Response:
    """List popular items, over all or within a segment of users."""
    return _counted(service.popular(state()[0], query))


@takes(query=ItemsPage)
@gives(Recommended)
def latest(query: ItemsPage) -> Response:
    """List the newest items. The score is when each appeared, in seconds since 1970 UTC."""
    return _counted(service.latest(state()[0], query))


@takes(query=ItemsPage)
@gives(Recommended)
def similar(item: str, query: ItemsPage) -> Response:
    """List items like one, by what users did with it, or by its content if it is new."""
    return _counted(service.similar(state()[0], checked(item, "item"), query))


@gives(ItemOut)
def get_item(item: str) -> Response:
    """Show an item of the catalogue."""
    return _json(about.item(state()[0], checked(item, "item")))


@require("catalogue")
@takes(body=ItemBody)
@gives(ItemOut)
def put_item(item: str, body: ItemBody) -> Response:
    """Add an item, or replace what is known of it.

    A new item with content is recommended by its content within a second, by every worker. Answers 201 if it is new.
    """
    live, _ = state()
    item = checked(item, "item")
    if live.served is not None and not fits(item, live.served.catalogue.ids):
        raise ParameterError("the ids of this catalogue are 64-bit integers, this is none.", where="item")
    row = body.row(item)
    created = live.store.put_items([row])[0]
    live.nudge()
    return _json(about.item_json(row), 201 if created else 200)


@require("catalogue")
@takes(body=ItemPatch)
@gives(ItemOut)
def patch_item(item: str, body: ItemPatch) -> Response:
    """Change some of what is known of an item.

    JSON merge patch (RFC 7396): what is given replaces, null takes out, attributes are merged, the rest stays.
    """
    live, _ = state()
    item = checked(item, "item")
    row = live.store.patch_item(item, about.known_item(live, item), item_change(body))
    live.nudge()
    return _json(about.item_json(row))


@takes(query=Listing)
@gives(ItemsOut)
def list_items(query: Listing) -> Response:
    """List the items of the live catalogue in the order of their ids, page by page."""
    return _json(about.items(state()[0], query))


@require("catalogue")
@gives(ItemOut, description="The item as it was.")
def delete_item(item: str) -> Response:
    """Take an item out of the catalogue: it is not recommended any more."""
    live, _ = state()
    item = checked(item, "item")
    was = about.item(live, item)
    live.store.delete_item(item)
    live.nudge()
    return _json(was)


@gives(UserOut)
def get_user(user: str) -> Response:
    """Show what is known of a user."""
    return _json(about.user(state()[0], checked(user, "user")))


@require("catalogue")
@takes(body=UserBody)
@gives(UserOut)
def put_user(user: str, body: UserBody) -> Response:
    """Add a user, or replace their attributes. Answers 201 if they are new."""
    live, _ = state()
    user = checked(user, "user")
    created = live.store.put_user(body.row(user))
    live.forget([user])
    live.nudge()
    return _json(about.user(live, user), 201 if created else 200)


@require("catalogue")
@takes(body=UserPatch)
@gives(UserOut)
def patch_user(user: str, body: UserPatch) -> Response:
    """Change some of what is known of a user, by JSON merge patch (RFC 7396)."""
    live, _ = state()
    user = checked(user, "user")
    about.user(live, user)
    live.store.patch_user(user, user_change(body))
    live.forget([user])
    live.nudge()
    return _json(about.user(live, user))


@require("catalogue")
@gives(UserOut, description="The user as they were.")
def delete_user(user: str) -> Response:
    """Forget a user: what was stored of them, and all their events. The model forgets them at its next training."""
    live, _ = state()
    user = checked(user, "user")
    was = about.user(live, user)
    live.store.delete_user(user)
    live.forget([user])
    live.nudge()
    return _json(was)


@require("catalogue")
@takes(query=Listing)
@gives(UsersOut)
def list_users(query: Listing) -> Response:
    """List the stored users in the order of their ids, page by page."""
    return _json(about.users(state()[0], query))


@require("catalogue")
@takes(body=ImportBody)
@gives(ImportOut, status=202)
def post_import(body: ImportBody) -> Response:
    """Add or replace many items and users.

    All are checked first; a wrong one is named and nothing is imported. Then a job writes them in batches; ask for it
    to see how far it is.
    """
    return _json(imports.begin(state()[0], body), 202)


@require("catalogue")
@gives(ImportOut)
def get_import(job: int) -> Response:
    """Say how far an import is."""
    return _json(imports.look(state()[0], job))


@require("catalogue")
@gives(ImportOut)
def cancel_import(job: int) -> Response:
    """Stop an import. What it has written stays."""
    return _json(imports.cancel(state()[0], job))


@require("catalogue")
@takes(query=EventListing)
@gives(EventList)
def list_events(query: EventListing) -> Response:
    """List events, newest first, of one user or of all, page by page."""
    return _json(about.events(state()[0], query))


@require("catalogue")
@takes(query=ExportPage)
@gives_file(MEDIA, description="The events as Parquet; the header Next-Cursor says where the next page begins.")
def export_events(query: ExportPage) -> Response:
    """Export events as Parquet, in the order they came.

    The same cursor and limit give the same bytes, so a reader that crashed can repeat. A page without events has the
    cursor it was asked for as its Next-Cursor.
    """
    rows, until = state()[0].store.events_page(query.after, query.limit)
    return Response(parquet(rows), 200, {"Next-Cursor": str(until)}, mimetype=MEDIA)


@require("events")
@takes(body=EventsBody)
@gives(EventsOut, status=201)
def post_events(body: EventsBody) -> Response:
    """Store one event or many: all of them, or none.

    Send one event as an object, or many as {"events": [...]}. They are on disk before the answer is sent. An event
    whose id is stored already is not stored again, so a request may be repeated safely; an id that is taken by an
    event which said anything else is refused.
    """
    live, _ = state()
    events = [each.event() for each in body.events]
    stored = live.store.add_events(events)
    live.forget({event.user for event in events})
    live.nudge()
    answer = {"stored": stored, "repeated": len(events) - stored, "ids": [event.id for event in events]}
    return _json(answer, 201 if stored else 200)


@gives(RulesBody)
def get_rules() -> Response:
    """Show the rules that stand behind every request."""
    live, _ = state()
    return _json(RulesBody.model_validate(live.store.rules()).model_dump(mode="json"))


@require("catalogue")
@takes(body=RulesBody)
@gives(RulesBody)
def put_rules(body: RulesBody) -> Response:
    """Set the rules that stand behind every request, in place of those before; an empty object: none.

    They hold within a second, in every worker.
    """
    live, _ = state()
    if live.served is not None:
        check(live.served.catalogue, body)
    said = body.model_dump(mode="json")
    live.store.put_rules(body.model_dump(mode="json", exclude_defaults=True))
    live.nudge()
    return _json(said)


@gives(ModelOut)
def get_model() -> Response:
    """Say which model is served, how good it was, and whether a newer one could not be loaded."""
    return _json(about.model(state()[0]))


def _counted(answer: dict[str, Any]) -> Response:
    _count(answer["items"])
    return _json(answer)


def _count(places: Iterable[dict[str, Any]]) -> None:
    counter = state()[1]
    for strategy, count in Tally(place["strategy"] for place in places).items():
        counter.labels(strategy).inc(count)


def _json(answer: dict[str, Any], status: int = 200) -> Response:
    body = json.dumps(answer, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Response(body, status, mimetype="application/json")
