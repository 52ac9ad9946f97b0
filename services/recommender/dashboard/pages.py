"""The blueprint of the pages; the overview, with cold starts over time; recent events."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, redirect, render_template, url_for
from pydantic import Field
from werkzeug.wrappers import Response

from palate.web import Model, gives_page, require, require_all, takes
from palate.web.charts import Line, lines, rounded
from services.recommender import about
from services.recommender.bodies import AnyId
from services.recommender.cursors import cursor_after, key_of
from services.recommender.dashboard import lookups, traffic, versions
from services.recommender.shares import HOUR, cold, shares_of_app
from services.recommender.state import state
from services.recommender.strategies import STRATEGIES

NAV = (
    ("Overview", "dashboard.overview"),
    ("Users", "dashboard.users"),
    ("Items", "dashboard.items"),
    ("Deployments", "dashboard.deployments"),
    ("Models", "dashboard.models"),
    ("Events", "dashboard.events"),
)
RANGES = {"day": (1, HOUR), "week": (7, 6 * HOUR), "month": (30, 24 * HOUR), "year": (365, 7 * 24 * HOUR)}
"""Name to (days, seconds of one point of the chart)."""
_EVENTS = 50


class Span(Model):
    span: str = Field("week", pattern=f"^({'|'.join(RANGES)})$")


class EventsAsked(Model):
    user: AnyId | None = None
    cursor: str | None = Field(None, max_length=4000)


def dashboard() -> Blueprint:
    """A fresh blueprint named `dashboard`. Whoever may ask for recommendations may look."""
    bp = Blueprint("dashboard", __name__, template_folder="templates", static_folder="static",
                   static_url_path="/static/dashboard")  # fmt: skip
    bp.add_url_rule("/", view_func=start)
    for path, view in (
        ("", overview),
        ("/users", lookups.users),
        ("/items", lookups.items),
        ("/deployments", traffic.deployments),
        ("/models", versions.models),
        ("/events", events),
    ):
        bp.add_url_rule(f"/dashboard{path}", view_func=view)
    bp.add_url_rule("/dashboard/deployments", "move", traffic.move, methods=["POST"])
    bp.add_url_rule("/dashboard/deployments/rollouts", "turn", traffic.turn, methods=["POST"])
    bp.context_processor(lambda: {"title_of": lookups.title_of})
    return require_all(bp, "recommend")


def start() -> Response:
    """The pages begin at the overview."""
    return redirect(url_for("dashboard.overview"), 303)


@takes(query=Span)
@gives_page()
def overview(query: Span) -> str:
    """What is served, and how many of those who are answered are strangers."""
    live = state()[0]
    days, width = RANGES[query.span]
    now = time.time()
    blocks = _blocks(shares_of_app().counted(now - days * 86_400), width)
    total = sum(blocks.values(), Counter[str]())
    return render_template(
        "dashboard/overview.html",
        model=about.model(live) if live.served is not None else None,
        problems=dict(live.problems),
        plans=list(live.traffic.plans.values()),
        span=query.span,
        ranges=list(RANGES),
        lists=total.total(),
        cold=cold(total),
        chart=_cold_chart(blocks, width),
        strategies=[(each.name, total[each.name]) for each in STRATEGIES],
    )


def _blocks(counted: Mapping[int, Counter[str]], width: int) -> dict[int, Counter[str]]:
    """The counts of hours in blocks of `width` seconds, by the second at which each begins."""
    found: dict[int, Counter[str]] = {}
    for hour, lists in counted.items():
        found.setdefault(hour * HOUR // width * width, Counter()).update(lists)
    return found


def _cold_chart(blocks: Mapping[int, Counter[str]], width: int) -> Any:
    points = [(float(at), share) for at, lists in sorted(blocks.items()) if (share := cold(lists)) is not None]
    if len(points) < 2:
        return ""
    form = "%H:%M" if width == HOUR else "%-d %b"
    ends = [f"{datetime.fromtimestamp(at, UTC):{form}}" for at, _ in (points[0], points[-1])]
    return lines(
        "Share of cold starts over time",
        [Line("cold starts", points)],
        ends,
        top=rounded(max(share for _, share in points)),
    )


@require("catalogue")
@takes(query=EventsAsked)
@gives_page()
def events(query: EventsAsked) -> str:
    """What was done, newest first, of one user or of all."""
    live = state()[0]
    before = None if query.cursor is None else key_of(query.cursor, int, str)
    rows = live.store.list_events(query.user, None if before is None else (before[0], before[1]), _EVENTS + 1)
    shown = rows[:_EVENTS]
    onward = cursor_after(int(shown[-1].change), shown[-1].id) if len(rows) > _EVENTS else None
    return render_template(
        "dashboard/events.html",
        events=shown,
        user=query.user,
        older=onward,
        first=query.cursor is None,
    )
