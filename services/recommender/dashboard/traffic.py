"""Deployments: how the variants of one do, over time and against each other; its weights moved."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from flask import redirect, render_template, url_for
from pydantic import Field
from werkzeug.wrappers import Response

from palate.errors import ConflictError, InputError
from palate.web import Model, gives_page, principal, require, takes
from palate.web.charts import Line, intervals, lines
from services.recommender.deployments import views
from services.recommender.deployments.bodies import DeploymentPatch, Weight
from services.recommender.deployments.records import Deployment
from services.recommender.state import state
from services.variants.rollouts import RUNNING
from services.variants.tallies import SLOT

RANGES = {"hour": 3600, "day": 86_400, "week": 7 * 86_400, "month": 30 * 86_400}
"""Name to seconds."""
_POINTS = 48
_COLOURS = 6
_CHANGES = 10


class Asked(Model):
    name: str | None = Field(None, max_length=63)
    span: str = Field("day", pattern=f"^({'|'.join(RANGES)})$")


class Move(Asked):
    """variant, weight: as many of the one as of the other."""

    name: str = Field(max_length=63)
    variant: list[str] = Field(default_factory=list)
    weight: list[Weight] = Field(default_factory=list)


@takes(query=Asked)
@gives_page()
def deployments(query: Asked) -> str:
    """All deployments, or one of them."""
    return page(query) if query.name else _all()


def _all() -> str:
    found = [(each, _shares(each)) for each in state()[0].traffic.store.all()]
    return render_template("dashboard/deployments.html", deployments=found)


def page(query: Asked, error: str = "") -> str:
    """The page of one deployment; error: what was wrong with a form. Raises UnknownIdError if there is none."""
    live, name = state()[0], str(query.name)
    store = live.traffic.store
    held = store.get(name)
    seconds = RANGES[query.span]
    stats = views.figures(name, seconds)
    answering = [each for each in stats.variants if not each.shadow]
    plan = live.traffic.plans.get(name)
    versions = {each.variant.name: each.served for each in (*plan.variants, *plan.shadows)} if plan else {}
    rates = [(each.name, each.click_through) for each in answering if each.lists]
    rollouts = store.rollouts(name, 1)
    return render_template(
        "dashboard/deployment.html",
        deployment=held,
        shares=_shares(held),
        stats=stats.variants,
        versions={variant: served.version for variant, served in versions.items() if served is not None},
        problems=dict(plan.problems) if plan else {},
        chart=_traffic(held, seconds),
        rates=intervals(
            "Click-through of each variant, with the interval that holds 95 % of its posterior",
            [(variant, rate.low, rate.mean, rate.high) for variant, rate in rates],
        ),
        rollout=rollouts[0] if rollouts else None,
        moving=bool(rollouts) and rollouts[0][1].state == RUNNING,
        changes=store.history(name, _CHANGES),
        span=query.span,
        ranges=list(RANGES),
        may_move=principal().allows("deployments"),
        error=error,
    )


def _shares(held: Deployment) -> dict[str, float]:
    total = sum(held.weights.values()) or 1.0
    return {name: weight / total for name, weight in held.weights.items()}


def _traffic(held: Deployment, seconds: int) -> Any:
    """Requests a minute of each variant, shadows too."""
    width = max(1, seconds // SLOT // _POINTS)
    last = int(time.time() // SLOT)
    first = last - width * _POINTS + 1
    counted = state()[0].traffic.store.over_time([each.token for each in held.variants], first, width)
    if not counted:
        return ""
    minutes = width * SLOT / 60
    series = []
    for place, each in enumerate(held.variants):
        heights = [counted[each.token, at].requests if (each.token, at) in counted else 0 for at in range(_POINTS)]
        points = [(float(at), height / minutes) for at, height in enumerate(heights)]
        series.append(Line(each.name, points, place % _COLOURS + 1, dashed=each.shadow))
    form = "%a %H:%M" if seconds <= RANGES["day"] else "%-d %b"
    ends = [f"{datetime.fromtimestamp(at * SLOT, UTC):{form}}" for at in (first, last)]
    return lines("Requests a minute of each variant, over time", series, ends)


@require("deployments")
@takes(form=Move)
@gives_page(leads_on=True)
def move(form: Move) -> str | Response:
    """Move the weights. What was wrong stands on the page."""
    try:
        views.changed(form.name, DeploymentPatch(weights=dict(zip(form.variant, form.weight, strict=False))))
    except (InputError, ConflictError) as error:
        shown = page(Asked(name=form.name, span=form.span), error=str(error))
        return Response(shown, error.status, mimetype="text/html")
    return redirect(url_for("dashboard.deployments", name=form.name, span=form.span), 303)
