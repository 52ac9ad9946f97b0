"""Looking a user or an item up: what is known of it, what the model makes of it, and why."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from flask import render_template
from pydantic import Field

from palate.dataset.ids import Codes
from palate.errors import PalateError, UnknownIdError
from palate.web import Model, gives_page, principal, takes
from services.recommender import about
from services.recommender.asking import ItemsPage, UserPage
from services.recommender.bodies import AnyId
from services.recommender.deployments.traffic import Asked
from services.recommender.live import Live
from services.recommender.rules import applied
from services.recommender.service import Work, finished, prepared, routed
from services.recommender.state import state
from services.recommender.strategies import STRATEGIES, Popular, Question, Similar

Json = dict[str, Any]
NOTHING: Codes = np.empty(0, np.int32)
_LIST, _SHORT, _HISTORY, _FOUND = 10, 5, 20, 24


class UserAsked(Model):
    id: AnyId | None = None
    deployment: str | None = Field(None, max_length=63)


class ItemAsked(Model):
    id: AnyId | None = None
    q: str | None = Field(None, max_length=200)


@takes(query=UserAsked)
@gives_page()
def users(query: UserAsked) -> str:
    """What a user did, what they get and why, and what each strategy says of them."""
    live, may_events = state()[0], principal().allows("catalogue")
    deployments = sorted(live.traffic.plans)
    if not query.id:
        lately = live.store.list_events(None, None, 200) if may_events else []
        names = list(dict.fromkeys(row.user for row in lately))[:_FOUND]
        return render_template("dashboard/users.html", user=None, lately=names, deployments=deployments)
    user, deployment = query.id, query.deployment or None
    try:
        known: Json | None = about.user(live, user)
    except UnknownIdError:
        known = None
    said = UserPage(limit=_LIST, explain=True, deployment=deployment)
    asked = routed(live, said, user)
    answer = finished(_work(live, asked, said, user), 0, _LIST)
    said_by = [
        (each.name, finished(_work(live, asked, said, user), 0, _SHORT, strategies=(each,))["items"])
        for each in STRATEGIES
    ]
    served = asked.served
    code = served.user_code(user)
    trained = served.seen(code) if code >= 0 else NOTHING
    return render_template(
        "dashboard/users.html",
        user=user,
        known=known,
        answer=answer,
        deployments=deployments,
        deployment=deployment,
        said_by=[(name, places) for name, places in said_by if places],
        silent=[name for name, places in said_by if not places],
        events=live.store.list_events(user, None, _HISTORY) if may_events else None,
        trained=served.catalogue.ids.decode(trained[:_HISTORY]),
        trained_count=len(trained),
    )


def _work(live: Live, asked: Asked, said: UserPage, user: str) -> Work:
    return prepared(live, asked, said, user, applied(asked.served.catalogue, said, asked.standing))


def title_of(item: str | int) -> str | None:
    """An item's title, if it is served and has one."""
    served = state()[0].served
    code = -1 if served is None else served.catalogue.ids.code(item)
    return None if served is None or code < 0 else served.catalogue.entries[code]["title"]


@takes(query=ItemAsked)
@gives_page()
def items(query: ItemAsked) -> str:
    """What is known of an item, and which ones are like it; or items by their title."""
    live = state()[0]
    served = about.serving(live)
    asked = Asked(served, ())
    wanted = query.id or query.q
    item = None
    if wanted:
        try:
            item = about.item(live, wanted)
        except UnknownIdError:
            if query.id:
                raise
    if item is None:
        return render_template("dashboard/items.html", item=None, q=query.q or "", found=_found(asked, query.q))
    code = served.catalogue.ids.code(item["item"])
    work = Work(asked, Question(item=item["item"]), applied(served.catalogue, ItemsPage(), ()), explain=True)
    alike = finished(work, 0, _LIST, strategies=(Similar(),))["items"] if code >= 0 else []
    return render_template(
        "dashboard/items.html",
        item=item,
        alike=alike,
        learned=0 <= code < len(served.release.model.items),
        served=code >= 0,
    )


def _found(asked: Asked, q: str | None) -> list[Json]:
    """Items whose title holds the text, or any, the most popular first."""
    said = ItemsPage(filter=f"title contains {json.dumps(q)}" if q else None)
    try:
        rules = applied(asked.served.catalogue, said, ())
    except PalateError:  # a text that no filter can hold is in no title
        return []
    found: list[Json] = finished(Work(asked, Question(), rules), 0, _FOUND, strategies=(Popular(),))["items"]
    return found
