"""The recommendation service from a program's side, blocking or awaited.

    with RecommenderClient("http://127.0.0.1:8000", token) as shop:
        shop.put_item("moon", title="To the Moon", categories=["Space"])
        answer = shop.recommend("ada", limit=3, filter="price < 20", explain=True)
        shop.add_event("ada", answer.items[0].item, "click", recommendation_id=answer.recommendation_id)

    async with AsyncRecommenderClient("http://127.0.0.1:8000", token) as shop:
        first, second = await asyncio.gather(shop.recommend("ada"), shop.recommend("bob"))
        async for item in shop.items():
            ...

Both have the same methods: each is defined once, in `Methods`. docs/api.md and the service's /docs say what the
keywords mean. Calls are sent again as `palate.client.calls` says; all of them may be, for events have ids, and what is
not safe to do twice (beginning a roll-out) is only sent again where the service said that it was not done.

Every method raises RemoteError with the service's own words where it refuses (`code` is the status, `problem` the whole
problem+json) or does not answer, and ParameterError for what cannot be sent.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

from palate.client import answers, asking
from palate.client.answers import Id
from palate.client.calls import Plan, Request
from palate.client.catalogue import KEY, WANTED
from palate.client.deployments import Deployments
from palate.client.service import AwaitedService, BlockingService, address, given, numbered, query_of
from palate.client.twins import listing, method
from palate.errors import ParameterError

EVENTS = 500
"""How many events go in one request; the service takes 1,000."""
_PAGE = 500


class Methods(Deployments):
    """What can be asked. The two clients below are this, and say how a call is made."""

    KEY = KEY
    WHAT = "a recommendation service"

    # Lists

    @method
    def recommend(self, user: Id | None = None, **asked: Unpack[asking.ForAnybody]) -> Plan[answers.Recommended]:
        """Recommend to a user, known or not, or to a visitor of whom only the keywords tell."""
        body = given(asked) if user is None else {"user": user, **given(asked)}
        return self._ask(answers.Recommended, "POST", "/v1/recommendations", body)

    @method
    def session(self, recent_items: Sequence[Id], **asked: Unpack[asking.ForSession]) -> Plan[answers.Recommended]:
        """Recommend to a visitor without an account, from the items of their session, newest first."""
        body = {"recent_items": list(recent_items), **given(asked)}
        return self._ask(answers.Recommended, "POST", "/v1/recommendations/session", body)

    @method
    def batch(self, users: Sequence[Id], **asked: Unpack[asking.ForMany]) -> Plan[answers.Answers]:
        """Recommend to up to 500 users at once."""
        return self._ask(answers.Answers, "POST", "/v1/recommendations/batch", {"users": list(users), **given(asked)})

    @method
    def next_page(self, answer: answers.Recommended) -> Plan[answers.Recommended]:
        """The page after a list that was asked for with `paging`. Raises ParameterError if there is none."""
        if answer.next is None:
            raise ParameterError("the list has no next page.", where="answer", hint="Was it asked for with paging?")
        return self._ask(answers.Recommended, "GET", answer.next)

    @method
    def rank(
        self, items: Sequence[Id], user: Id | None = None, **asked: Unpack[asking.ForRanking]
    ) -> Plan[answers.Ranked]:
        """Put up to 1,000 given items into order."""
        body = {"items": list(items), **({} if user is None else {"user": user}), **given(asked)}
        return self._ask(answers.Ranked, "POST", "/v1/rank", body)

    @method
    def popular(self, **asked: Unpack[asking.Segmented]) -> Plan[answers.Recommended]:
        """Popular items, over all or within a segment of users."""
        return self._ask(answers.Recommended, "GET", "/v1/items/popular" + query_of(asked))

    @method
    def trending(self, **asked: Unpack[asking.Listed]) -> Plan[answers.Recommended]:
        """What is done more often lately than usual."""
        return self._ask(answers.Recommended, "GET", "/v1/items/trending" + query_of(asked))

    @method
    def latest(self, **asked: Unpack[asking.Listed]) -> Plan[answers.Recommended]:
        """The newest items; the score is when each appeared."""
        return self._ask(answers.Recommended, "GET", "/v1/items/latest" + query_of(asked))

    @listing
    def wanted(
        self, cursor: str | None, *, label: str | None = None, days: float | None = None
    ) -> Plan[answers.Wanted]:
        """All items of which it would help to know more, the most wanted first: much met, little known."""
        asked = query_of({"cursor": cursor, "limit": WANTED, "label": label, "days": days})
        return self._ask(answers.Wanted, "GET", f"/v1/items/wanted{asked}")

    @method
    def similar(self, item: Id, **asked: Unpack[asking.Listed]) -> Plan[answers.Recommended]:
        """Items like one."""
        return self._ask(answers.Recommended, "GET", f"{address('items', item)}/similar{query_of(asked)}")

    # The catalogue

    @method
    def item(self, item: Id) -> Plan[answers.Item]:
        return self._ask(answers.Item, "GET", address("items", item))

    @listing
    def items(self, cursor: str | None, *, filter: str | None = None) -> Plan[answers.Items]:
        """The items of the live catalogue that match, in the order of their ids; all unless told."""
        query = query_of({"cursor": cursor, "limit": _PAGE, "filter": filter})
        return self._ask(answers.Items, "GET", "/v1/items" + query)

    @method
    def put_item(self, item: Id, **fields: Unpack[asking.ItemFields]) -> Plan[answers.Item]:
        """Add an item, or replace all that is known of it."""
        return self._ask(answers.Item, "PUT", address("items", item), fields)

    @method
    def patch_item(self, item: Id, **fields: Unpack[asking.ItemFields]) -> Plan[answers.Item]:
        """Change what is given; None takes out, attributes are merged, the rest stays."""
        return self._ask(answers.Item, "PATCH", address("items", item), fields)

    @method
    def delete_item(self, item: Id) -> Plan[None]:
        return self._do("DELETE", address("items", item))

    # Users

    @method
    def user(self, user: Id) -> Plan[answers.User]:
        return self._ask(answers.User, "GET", address("users", user))

    @listing
    def users(self, cursor: str | None) -> Plan[answers.Users]:
        """All stored users, in the order of their ids; those that the model alone knows are not among them."""
        return self._ask(answers.Users, "GET", "/v1/users" + query_of({"cursor": cursor, "limit": _PAGE}))

    @method
    def put_user(self, user: Id, **fields: Unpack[asking.UserFields]) -> Plan[answers.User]:
        """Add a user, or replace their preferences, segment and attributes."""
        return self._ask(answers.User, "PUT", address("users", user), fields)

    @method
    def patch_user(self, user: Id, **fields: Unpack[asking.UserFields]) -> Plan[answers.User]:
        return self._ask(answers.User, "PATCH", address("users", user), fields)

    @method
    def delete_user(self, user: Id) -> Plan[None]:
        """Forget a user and their events."""
        return self._do("DELETE", address("users", user))

    # Features

    @method
    def user_features(self, user: Id) -> Plan[answers.Features]:
        return self._ask(answers.Features, "GET", address("users", user) + "/features")

    @method
    def item_features(self, item: Id) -> Plan[answers.Features]:
        return self._ask(answers.Features, "GET", address("items", item) + "/features")

    @method
    def features(self, users: Sequence[Id] = (), items: Sequence[Id] = ()) -> Plan[answers.FeaturesOfMany]:
        """Of up to 1,000 users and as many items."""
        body = {"users": list(users), "items": list(items)}
        return self._ask(answers.FeaturesOfMany, "POST", "/v1/features", body)

    # Imports

    @method
    def start_import(
        self, items: Sequence[asking.NewItem] = (), users: Sequence[asking.NewUser] = ()
    ) -> Plan[answers.Import]:
        """Have many items and users written by a job. Sent twice, it writes the same twice."""
        return self._import(items, users)

    @method
    def start_import_file(self, file: str | Path) -> Plan[answers.Import]:
        """Have the items and users of a JSON Lines file written by a job: `{"item": ...}` or `{"user": ...}` a line.

        Raises ParameterError if it cannot be read.
        """
        return self._import_file(file)

    @method
    def import_state(self, job: int) -> Plan[answers.Import]:
        return self._ask(answers.Import, "GET", "/v1" + numbered("imports", job))

    @method
    def cancel_import(self, job: int) -> Plan[answers.Import]:
        """Stop an import; what it has written stays."""
        return self._ask(answers.Import, "DELETE", "/v1" + numbered("imports", job))

    @method
    def import_and_wait(
        self,
        items: Sequence[asking.NewItem] = (),
        users: Sequence[asking.NewUser] = (),
        *,
        seconds: float = 3600.0,
        every: float = 0.5,
    ) -> Plan[answers.Import]:
        """The import once it is done, looked at `every` so many seconds.

        Raises RemoteError if it failed, was cancelled, or takes longer than `seconds`.
        """
        begun = yield from self._import(items, users)
        return (yield from self._done(begun, seconds, every))

    @method
    def import_file_and_wait(
        self, file: str | Path, *, seconds: float = 3600.0, every: float = 0.5
    ) -> Plan[answers.Import]:
        """The same for a JSON Lines file."""
        begun = yield from self._import_file(file)
        return (yield from self._done(begun, seconds, every))

    # Events

    @method
    def add_event(
        self,
        user: Id,
        item: Id,
        kind: str = "view",
        *,
        weight: float | None = None,
        timestamp: float | None = None,
        recommendation_id: str | None = None,
        id: str | None = None,
    ) -> Plan[answers.Stored]:
        """Store that a user did something with an item. When this returns, it is on the service's disk."""
        more = {"weight": weight, "timestamp": timestamp, "recommendation_id": recommendation_id, "id": id}
        return self._events([{"user": user, "item": item, "kind": kind, **given(more)}])

    @method
    def add_events(self, events: Sequence[asking.NewEvent]) -> Plan[answers.Stored]:
        """Store many, 500 in each request: all of a request or none of it."""
        return self._events(events)

    @listing
    def events(self, cursor: str | None, user: Id | None = None) -> Plan[answers.Events]:
        """Events, newest first, of one user or of all."""
        query = query_of({"cursor": cursor, "limit": _PAGE, "user": user})
        return self._ask(answers.Events, "GET", "/v1/events" + query)

    @method
    def export_events(self, after: int = 0, limit: int = 10_000) -> Plan[answers.Exported]:
        """The events after a cursor as Parquet: the same bytes whenever the same page is asked for."""
        path = "/v1/events/export" + query_of({"after": after, "limit": limit})
        answer = yield from self._call(Request("GET", path))
        return answers.Exported(answer.body, int(answer.header("Next-Cursor") or after))

    # Standing rules, the model

    @method
    def rules(self) -> Plan[dict[str, Any]]:
        """The rules that stand behind every list."""
        return self._json("GET", "/v1/rules")

    @method
    def set_rules(self, **rules: Unpack[asking.Rules]) -> Plan[dict[str, Any]]:
        """Set them in place of those before; none at all: no rules."""
        return self._json("PUT", "/v1/rules", rules)

    @method
    def model(self) -> Plan[answers.Served]:
        """Which model is served, its metrics, and whether a newer one could not be loaded."""
        return self._ask(answers.Served, "GET", "/v1/model")

    # What the plans are made of

    def _import(self, items: Sequence[asking.NewItem], users: Sequence[asking.NewUser]) -> Plan[answers.Import]:
        return self._ask(answers.Import, "POST", "/v1/imports", {"items": list(items), "users": list(users)})

    def _import_file(self, file: str | Path) -> Plan[answers.Import]:
        try:
            lines = Path(file).read_bytes()
        except OSError as error:
            raise ParameterError(f"it cannot be read: {error.strerror}.", where=str(file)) from None
        return self._ask(answers.Import, "POST", "/v1/imports", lines)

    def _done(self, begun: answers.Import, seconds: float, every: float) -> Plan[answers.Import]:
        end, found = time.monotonic() + seconds, begun
        while found.state != "done":
            if found.state in ("failed", "cancelled"):
                raise self._refused(f"the import {found.job} {found.state}: {found.error or 'nothing more'}")
            if time.monotonic() > end:
                raise self._refused(f"the import {found.job} is {found.state} after {seconds:g} seconds.")
            yield float(every)
            found = yield from self._ask(answers.Import, "GET", f"/v1/imports/{found.job}")
        return found

    def _events(self, events: Sequence[Mapping[str, Any]]) -> Plan[answers.Stored]:
        # Ids are made before anything is sent, so that an event which is sent again is the same event.
        known = [{"id": uuid.uuid4().hex, **given(event)} for event in events]
        stored, repeated, ids = 0, 0, list[str]()
        for start in range(0, len(known), EVENTS):
            body = {"events": known[start : start + EVENTS]}
            told = yield from self._ask(answers.Stored, "POST", "/v1/events", body)
            stored, repeated, ids = stored + told.stored, repeated + told.repeated, ids + told.ids
        return answers.Stored(stored=stored, repeated=repeated, ids=ids)


class RecommenderClient(Methods, BlockingService):
    """One recommendation service. Safe to share between threads; a context manager.

    url, key, policy, connections: as `BlockingService` has them; the key of the environment is PALATE_API_KEY.
    """


class AsyncRecommenderClient(Methods, AwaitedService):
    """The same for an event loop; an asynchronous context manager. Needs the extra `async`."""
