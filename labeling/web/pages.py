"""The pages for people: the list of projects, and the one to label on. All their work goes through /v1."""

from __future__ import annotations

from flask import Blueprint, render_template, url_for

from labeling.api.caller import LABEL, MANAGE, labeling, me
from palate.web import principal, require_all

SHOWN = ("choice",)
"""The kinds of project that the page can show."""


def blueprint() -> Blueprint:
    """A fresh blueprint named `labeling`."""
    bp = Blueprint(
        "labeling", __name__, template_folder="templates", static_folder="static", static_url_path="/static/labeling"
    )
    bp.add_url_rule("/", view_func=index)
    bp.add_url_rule("/projects/<int:project_id>", view_func=work)
    return require_all(bp, LABEL)


def index() -> str:
    """All projects."""
    manager = principal().allows(MANAGE)
    return render_template("labeling/index.html", projects=labeling().projects(me()), manager=manager)


def work(project_id: int) -> str:
    """One project, a task at a time."""
    project, state = labeling().project(project_id, me())
    return render_template(
        "labeling/project.html",
        project=project,
        kinds=SHOWN,
        shown=project.kind in SHOWN and project.interface.editor == "own",
        progress=state,
        person=me(),
        api=url_for("v1.get_project", project_id=project_id),
        sign_in=url_for("palate.sign_in", next=url_for("labeling.work", project_id=project_id)),
    )
