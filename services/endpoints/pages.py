"""The pages of the endpoints, for people who signed in: what is deployed, how the variants of one do, over time; its
weights moved, its roll-outs begun, paused, resumed, stopped and undone."""

from __future__ import annotations

from flask import Blueprint, redirect, render_template, url_for
from werkzeug.wrappers import Response

from palate.web import gives_page, require, require_all, takes
from services.endpoints.invoking import hosting
from services.endpoints.rollouts import ROLLOUTS
from services.endpoints.routes import shown as as_told
from services.endpoints.store import Endpoint
from services.variants import pages
from services.variants.bodies import VariantStats
from services.variants.pages import RANGES, Asked, Move, Turn

HERE = "dashboard.endpoints"
NAV = (("Endpoints", HERE),)


def dashboard() -> Blueprint:
    """A fresh blueprint named `dashboard`. Whoever may ask models may look."""
    bp = Blueprint("dashboard", __name__, template_folder="templates")
    bp.add_url_rule("/", view_func=start)
    bp.add_url_rule("/dashboard", view_func=endpoints)
    bp.add_url_rule("/dashboard", view_func=move, methods=["POST"])
    bp.add_url_rule("/dashboard/rollouts", view_func=turn, methods=["POST"])
    return require_all(bp, "invoke")


def start() -> Response:
    """The pages begin with all endpoints."""
    return redirect(url_for(HERE), 303)


@takes(query=Asked)
@gives_page()
def endpoints(query: Asked) -> str:
    """All endpoints, or one of them."""
    return page(query) if query.name else _all()


def _all() -> str:
    here = hosting()
    found = []
    for held in here.store.all():
        arms = here.store.arms(held.name)
        found.append((as_told(held), held.deployed, arms, pages.shares(arms), _sources(held)))
    return render_template("endpoints/all.html", endpoints=found)


def page(query: Asked, error: str = "") -> str:
    """The page of one endpoint; error: what was wrong with a form. Raises UnknownIdError if there is none."""
    store, name = hosting().store, str(query.name)
    held = store.get(name)
    return render_template(
        "endpoints/one.html",
        **pages.shown(ROLLOUTS, query, HERE, error),
        endpoint=as_told(held),
        stats=[VariantStats.of(*each) for each in store.figures(name, RANGES[query.span])],
        told=_sources(held),
    )


@require("endpoints")
@takes(form=Move)
@gives_page(leads_on=True)
def move(form: Move) -> str | Response:
    """Move the weights. What was wrong stands on the page."""
    return pages.done(lambda: hosting().weigh(form.name, form.weights), form, HERE, page)


@require("endpoints")
@takes(form=Turn)
@gives_page(leads_on=True)
def turn(form: Turn) -> str | Response:
    """Begin, pause, resume, stop or undo a roll-out. What was wrong stands on the page."""
    return pages.turned(ROLLOUTS, form, HERE, page)


def _sources(held: Endpoint) -> dict[str, str]:
    """Where the model of each variant is from, without saying where that lies on this machine."""
    return {each.name: each.source.label for each in held.variants}
