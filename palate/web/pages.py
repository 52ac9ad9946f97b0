"""The routes that every house has: sign-in, health, readiness, metrics, OpenAPI, its page, the problems explained."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from flask import Blueprint, Response, current_app, g, redirect, render_template, request, session, url_for
from werkzeug.exceptions import NotFound

from palate.errors import ForbiddenError, PalateError, ThrottledError, UnauthenticatedError
from palate.store.accounts import Accounts, Principal
from palate.store.engine import reading
from palate.web.access import check_csrf, public, start_session
from palate.web.contract import Model, gives
from palate.web.metrics import CONTENT_TYPE
from palate.web.openapi import build, readable
from palate.web.problems import HTTP_PROBLEMS, catalogue
from palate.web.problems import answer as problem


class Health(Model):
    """The process is up."""

    status: str


class Readiness(Model):
    """Everything this service needs is there."""

    status: str
    checks: list[str]


def blueprint() -> Blueprint:
    """A fresh blueprint named `palate`, at the root of the app."""
    bp = Blueprint("palate", __name__)
    bp.add_url_rule("/health", view_func=health)
    bp.add_url_rule("/ready", view_func=ready)
    bp.add_url_rule("/metrics", "metrics", view_func=scrape)
    bp.add_url_rule("/openapi.json", view_func=openapi_json)
    bp.add_url_rule("/docs", view_func=docs)
    bp.add_url_rule("/problems/", view_func=problem_list)
    bp.add_url_rule("/problems/<slug>", view_func=problem_page)
    bp.add_url_rule("/sign-in", view_func=sign_in)
    bp.add_url_rule("/sign-in", view_func=sign_in_with, methods=["POST"])
    bp.add_url_rule("/sign-out", view_func=sign_out, methods=["POST"])
    return bp


@public
@gives(Health, description="The process is up.")
def health() -> Health:
    """Is the process up?"""
    return Health(status="ok")


@public
@gives(Readiness, description="Requests can be answered.")
def ready() -> Readiness | Response:
    """Can requests be answered?

    Answers 503 with the reasons while something is missing: the database, or a model that is not loaded yet.
    """
    shared = current_app.extensions["palate"]
    failed: list[dict[str, str]] = []
    for name, check in {"store": _store_answers, **shared.checks}.items():
        try:
            check()
        except PalateError as error:
            failed.append({"field": name, "message": error.message})
        except Exception:
            current_app.logger.exception("The check %s failed", name)
            failed.append({"field": name, "message": "The check failed."})
    if failed:
        slug, title = HTTP_PROBLEMS[503]
        return problem(503, slug, title, "Not everything is there yet.", errors=failed, headers={"Retry-After": "1"})
    return Readiness(status="ready", checks=["store", *shared.checks])


def _store_answers() -> None:
    with reading(current_app.extensions["palate"].engine) as db:
        db.execute(sa.select(1))


@public
def scrape() -> Response:
    """Metrics for Prometheus; needs a key of the scope `metrics` unless the setting `metrics_open` is on."""
    shared = current_app.extensions["palate"]
    if not shared.settings.metrics_open:
        who: Principal | None = g.principal
        if who is None:
            raise UnauthenticatedError("Metrics need an API key.")
        if not who.allows("metrics"):
            raise ForbiddenError("This needs the scope metrics.")
    return Response(shared.metrics.text(), content_type=CONTENT_TYPE)


def _document() -> dict[str, Any]:
    shared = current_app.extensions["palate"]
    if shared.openapi is None:
        shared.openapi = build(current_app, shared.title, shared.version, shared.description)
    found: dict[str, Any] = shared.openapi
    return found


@public
def openapi_json() -> Response:
    """This interface as an OpenAPI 3.1 document."""
    return Response(json.dumps(_document(), ensure_ascii=False), mimetype="application/json")


@public
def docs() -> str:
    """This interface as a page to read."""
    return render_template("docs.html", doc=readable(_document()))


@public
def problem_list() -> str:
    """All kinds of errors that this service answers with."""
    return render_template("problems.html", problems=catalogue(), chosen=None)


@public
def problem_page(slug: str) -> str:
    """What one kind of error means; the `type` of a problem leads here."""
    known = catalogue()
    if slug not in known:
        raise NotFound
    return render_template("problems.html", problems={slug: known[slug]}, chosen=slug)


@public
def sign_in() -> str | Any:
    """The page to sign in at; with `code=`, a link that works once."""
    if g.principal is not None and "code" not in request.args:
        return redirect(local(request.args.get("next", "")), 303)
    return _form()


@public
def sign_in_with() -> Any:
    """Sign in by name and password, by an API token, or by a one-time code."""
    check_csrf()
    accounts: Accounts = current_app.extensions["palate"].accounts
    form, address = request.form, request.remote_addr or ""
    try:
        if form.get("code"):
            who = accounts.redeem_code(form["code"])
            error = "This link was used already or has expired."
        elif form.get("token"):
            who = accounts.check_token(form["token"].strip())
            error = "This token is unknown or was revoked."
        else:
            who = accounts.check_password(form.get("name", "")[:200], form.get("password", ""), address=address)
            error = "The name or the password is wrong."
    except ThrottledError as wait:
        page = _form(f"Too many failed tries. Wait {wait.retry_after} s.")
        return page, 429, {"Retry-After": str(wait.retry_after)}
    if who is None:
        return _form(error), 401
    start_session(who)
    return redirect(local(form.get("next", "")), 303)


def sign_out() -> Any:
    """End the session."""
    session.clear()
    return redirect(url_for("palate.sign_in"), 303)


public(sign_out)


def _form(error: str = "") -> str:
    given = request.form if request.method == "POST" else request.args
    code = given.get("code", "") if not error else ""
    name = request.form.get("name", "")[:200]
    onward = local(given.get("next", ""), default="")
    return render_template("sign_in.html", error=error, code=code, name=name, next=onward)


def local(address: str, default: str = "/") -> str:
    """`address` if it is a path of this site, else `default`: no sign-in link leads elsewhere."""
    if not address.isprintable() or not address.startswith("/") or address[1:2] in ("/", "\\"):
        return default
    return address
