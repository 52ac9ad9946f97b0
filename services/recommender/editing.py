"""Views of the catalogue, of users, events and rules: what is shown, changed, imported and exported."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

from flask import Response, current_app, request

from palate.errors import InputError, ParameterError
from palate.web import gives, gives_file, require, takes
from services.recommender import about, imports, uploads
from services.recommender.addresses import checked
from services.recommender.answers import (
    EventList,
    EventsOut,
    ImportOut,
    ItemOut,
    ItemsOut,
    UserOut,
    UsersOut,
)
from services.recommender.asking import ItemListing, RulesBody
from services.recommender.bodies import (
    EventListing,
    EventsBody,
    ExportPage,
    ImportBody,
    ItemBody,
    ItemPatch,
    Listing,
    UserBody,
    UserPatch,
)
from services.recommender.catalogue import fits
from services.recommender.exports import MEDIA, parquet
from services.recommender.patches import item_change, user_change
from services.recommender.rules import check
from services.recommender.state import as_json, state


@gives(ItemOut)
def get_item(item: str) -> Response:
    """Show an item of the catalogue."""
    return as_json(about.item(state()[0], checked(item, "item")))


@require("catalogue")
@takes(body=ItemBody)
@gives(ItemOut, also=(201,))
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
    return as_json(about.item_json(row), 201 if created else 200)


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
    return as_json(about.item_json(row))


@takes(query=ItemListing)
@gives(ItemsOut)
def list_items(query: ItemListing) -> Response:
    """List the items of the live catalogue in the order of their ids, page by page; all, or those that match."""
    return as_json(about.items(state()[0], query))


@require("catalogue")
@gives(ItemOut, description="The item as it was.")
def delete_item(item: str) -> Response:
    """Take an item out of the catalogue: it is not recommended any more."""
    live, _ = state()
    item = checked(item, "item")
    was = about.item(live, item)
    live.store.delete_item(item)
    live.nudge()
    return as_json(was)


@gives(UserOut)
def get_user(user: str) -> Response:
    """Show what is known of a user."""
    return as_json(about.user(state()[0], checked(user, "user")))


@require("catalogue")
@takes(body=UserBody)
@gives(UserOut, also=(201,))
def put_user(user: str, body: UserBody) -> Response:
    """Add a user, or replace their attributes. Answers 201 if they are new."""
    live, _ = state()
    user = checked(user, "user")
    created = live.store.put_user(body.row(user))
    live.forget([user])
    live.nudge()
    return as_json(about.user(live, user), 201 if created else 200)


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
    return as_json(about.user(live, user))


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
    return as_json(was)


@require("catalogue")
@takes(query=Listing)
@gives(UsersOut)
def list_users(query: Listing) -> Response:
    """List the stored users in the order of their ids, page by page."""
    return as_json(about.users(state()[0], query))


@require("catalogue")
@takes(body=ImportBody, raw=imports.LINES)
@gives(ImportOut, status=202)
def post_import(body: ImportBody | None) -> Response:
    """Add or replace many items and users.

    All are checked first; a wrong one is named and nothing is imported. Then a job writes them in batches; ask for it
    to see how far it is. A file of JSON Lines, an item or a user on each, may be much larger than JSON; it is checked
    by the job.
    """
    live, _ = state()
    if body is not None:
        return as_json(imports.begin(live, body), 202)
    request.max_content_length = current_app.extensions["palate"].settings.max_import_bytes
    return as_json(imports.begin_lines(live, _pieces(request.stream)), 202)


@require("catalogue")
@gives(ImportOut)
def get_import(job: int) -> Response:
    """Say how far an import is."""
    return as_json(imports.look(state()[0], job))


@require("catalogue")
@gives(ImportOut)
def cancel_import(job: int) -> Response:
    """Stop an import. What it has written stays."""
    return as_json(imports.cancel(state()[0], job))


@require("catalogue")
@takes(query=EventListing)
@gives(EventList)
def list_events(query: EventListing) -> Response:
    """List events, newest first, of one user or of all, page by page."""
    return as_json(about.events(state()[0], query))


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
@gives(EventsOut, status=201, also=(200,))
def post_events(body: EventsBody) -> Response:
    """Store one event or many: all of them, or none.

    Send one event as an object, or many as {"events": [...]}. They are on disk before the answer is sent. An event
    whose id is stored already is not stored again, so a request may be repeated safely; an id that is taken by an
    event which said anything else is refused.
    """
    live, _ = state()
    events = [each.event() for each in body.events]
    stored = live.add_events(events)
    answer = {"stored": stored, "repeated": len(events) - stored, "ids": [event.id for event in events]}
    return as_json(answer, 201 if stored else 200)


@gives(RulesBody)
def get_rules() -> Response:
    """Show the rules that stand behind every request."""
    live, _ = state()
    return as_json(RulesBody.model_validate(live.store.rules()).model_dump(mode="json"))


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
    return as_json(said)


def _pieces(stream: IO[bytes]) -> Iterator[bytes]:
    """The request's body. Raises InputError if it is empty or ends early."""
    size = 0
    while piece := stream.read(uploads.PART):
        size += len(piece)
        yield piece
    if size < (request.content_length or 0):
        raise InputError("The body ended early.", hint=f"Content-Length says {request.content_length} bytes.")
    if not size:
        raise InputError("The body is empty; lines of JSON are expected.")
