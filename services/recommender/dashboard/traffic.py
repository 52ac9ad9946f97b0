"""Deployments: how the variants of one do, over time and against each other; its weights moved, its roll-outs begun,
paused, resumed, stopped and undone."""

from __future__ import annotations

from typing import Annotated

from flask import render_template
from pydantic import Field
from werkzeug.wrappers import Response

from palate.web import gives_page, require, takes
from palate.web.charts import intervals
from services.recommender.deployments import views
from services.recommender.deployments.bodies import DeploymentPatch
from services.recommender.state import state
from services.variants import pages
from services.variants.pages import RANGES, Asked, Move, as_share

HERE = "dashboard.deployments"
_CHANGES = 10


class Turn(pages.Turn):
    """The page's buttons. What is said of a new roll-out is in percent and minutes, and empty for what is not watched.

    rollout: which one, but for `begin`.
    """

    click_through: Annotated[pages.Percent | None, pages.Optional] = Field(None)

    def bounds(self) -> dict[str, float | None]:
        return {**super().bounds(), "click_through": as_share(self.click_through)}


@takes(query=Asked)
@gives_page()
def deployments(query: Asked) -> str:
    """All deployments, or one of them."""
    return page(query) if query.name else _all()


def _all() -> str:
    store = state()[0].traffic.store
    found = []
    for held in store.all():
        arms = store.arms(held.name)
        told = {each.name: each.source.label for each in held.variants}
        found.append((held, arms, pages.shares(arms), told))
    return render_template("dashboard/deployments.html", deployments=found)


def page(query: Asked, error: str = "") -> str:
    """The page of one deployment; error: what was wrong with a form. Raises UnknownIdError if there is none."""
    live, name = state()[0], str(query.name)
    shown = pages.shown(views.ROLLOUTS, query, HERE, error)
    stats = views.figures(name, RANGES[query.span])
    plan = live.traffic.plans.get(name)
    served = {each.variant.name: each.served for each in (*plan.variants, *plan.shadows)} if plan else {}
    rates = [(each.name, each.click_through) for each in stats.variants if each.lists and not each.shadow]
    return render_template(
        "dashboard/deployment.html",
        **shown,
        stats=stats.variants,
        told={variant: each.version for variant, each in served.items() if each is not None},
        problems=dict(plan.problems) if plan else {},
        rates=intervals(
            "Click-through of each variant, with the interval that holds 95 % of its posterior",
            [(variant, rate.low, rate.mean, rate.high) for variant, rate in rates],
        ),
        changes=live.traffic.store.history(name, _CHANGES),
    )


@require("deployments")
@takes(form=Move)
@gives_page(leads_on=True)
def move(form: Move) -> str | Response:
    """Move the weights. What was wrong stands on the page."""
    return pages.done(lambda: views.changed(form.name, DeploymentPatch(weights=form.weights)), form, HERE, page)


@require("deployments")
@takes(form=Turn)
@gives_page(leads_on=True)
def turn(form: Turn) -> str | Response:
    """Begin, pause, resume, stop or undo a roll-out. What was wrong stands on the page."""
    return pages.turned(views.ROLLOUTS, form, HERE, page)
