"""The pages for people: the list of projects, and the one to label on. All their work goes through /v1."""

from __future__ import annotations

from flask import Blueprint, Response, render_template, url_for

from labeling.api.caller import LABEL, MANAGE, labeling, me
from labeling.config import Control, Interface
from labeling.editor import COMMAND
from labeling.store.members import ADMINISTRATOR, REVIEWER
from labeling.web import desk, editor, hooks, images
from labeling.web.answering import options_of
from palate.web import principal, require_all

SHOWN = ("choice", "choices", "rating", "pairwise", "text", "spans", "boxes")
"""The kinds of project that our own editors can show."""


def blueprint() -> Blueprint:
    """A fresh blueprint named `labeling`."""
    bp = Blueprint(
        "labeling", __name__, template_folder="templates", static_folder="static", static_url_path="/static/labeling"
    )
    bp.add_url_rule("/", view_func=index)
    bp.add_url_rule("/projects/<int:project_id>", view_func=work)
    desk.add_pages(bp)
    editor.add_editor(bp)
    hooks.add_hooks(bp)
    images.add_images(bp)
    return require_all(bp, LABEL)


def index() -> str:
    """All projects."""
    manager = principal().allows(MANAGE)
    return render_template("labeling/index.html", projects=labeling().projects(me()), manager=manager)


def work(project_id: int) -> Response:
    """One project, a task at a time."""
    project, state = labeling().project(project_id, me())
    interface = project.interface
    control = interface.controls[0]
    own = project.kind in SHOWN and interface.editor == "own"
    page = render_template(
        "labeling/project.html",
        project=project,
        control=control,
        options=options_of(control),
        fields=_fields(interface, control) if own else [],
        images=[each.field for each in interface.objects if each.tag == "Image"] if own else [],
        editor="own" if own else "foreign",
        shown=own or editor.is_here(),
        command=COMMAND,
        shared=editor.shares(interface),
        progress=state,
        person=me(),
        api=url_for("v1.get_project", project_id=project_id),
        overview=desk.may(project_id, ADMINISTRATOR, REVIEWER),
        sign_in=url_for("palate.sign_in", next=url_for("labeling.work", project_id=project_id)),
    )
    return Response(page, headers={"Content-Security-Policy": editor.page_policy()})


def _fields(interface: Interface, control: Control) -> list[str | None]:
    """Which of a task's data is shown: what is marked or compared, otherwise all there is to see."""
    if control.kind in ("spans", "pairwise"):
        return [interface.shown[name].field for name in control.to]
    return [each.field for each in interface.objects if each.tag != "Image"]
