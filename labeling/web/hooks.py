"""The page of a project's webhooks: where messages go, what came of them, send again."""

from __future__ import annotations

from flask import Blueprint, render_template, request
from werkzeug.wrappers import Response

from labeling.api.caller import by, labeling, me
from labeling.api.hooks import hooks
from labeling.hooks.store import EVENTS
from labeling.store.members import ADMINISTRATOR
from labeling.web import desk
from palate.errors import ConflictError, InputError, ParameterError, RemoteError

SHOWN = 20
"""Messages of each webhook that the page shows."""


def add_hooks(bp: Blueprint) -> None:
    """Add the page to the house's blueprint."""
    path = "/projects/<int:project_id>/webhooks"
    bp.add_url_rule(path, view_func=webhooks)
    bp.add_url_rule(path, view_func=change_webhooks, methods=["POST"])


@by(ADMINISTRATOR)
def webhooks(project_id: int, error: str = "", secret: str = "") -> str:
    """Who is told of what happens in a project."""
    project = labeling().project(project_id, me())[0]
    found = [(hook, hooks().deliveries(project_id, hook.id, SHOWN)) for hook in hooks().listed(project_id)]
    return render_template(
        "labeling/webhooks.html",
        project=project,
        tabs=desk.tabs(project),
        error=error,
        secret=secret,
        hooks=found,
        events=EVENTS,
    )


@by(ADMINISTRATOR)
def change_webhooks(project_id: int) -> str | Response:
    """Add one, forget one, try one, send something again."""
    form, secret = request.form, ""

    def number(name: str) -> int:
        return int(form[name]) if form.get(name, "").isdecimal() else 0

    try:
        if form.get("do") == "add":
            secret = hooks().add(project_id, form.get("url", "").strip(), form.getlist("event"), me()).secret
        elif form.get("do") == "remove":
            hooks().remove(project_id, number("hook"))
        elif form.get("do") == "ping":
            hooks().ping(project_id, number("hook"))
        elif form.get("do") == "again":
            hooks().again(project_id, number("hook"), number("delivery"))
        else:
            raise ParameterError("is nothing to do here.", where="do")
    except (InputError, ConflictError, RemoteError) as error:
        return Response(webhooks(project_id=project_id, error=str(error)), error.status, mimetype="text/html")
    # The secret is shown this once, so that page is not one to come back to.
    return webhooks(project_id=project_id, secret=secret) if secret else desk.back("webhooks", project_id)
