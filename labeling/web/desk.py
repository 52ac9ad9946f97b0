"""The pages of those who run a project: its overview, reviews, members, comments. Forms, and no script."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from labeling.answers import cell
from labeling.api.caller import MANAGE, by, labeling, me
from labeling.config import Interface
from labeling.consensus import METHODS
from labeling.overview import Overview
from labeling.store.definition import Project
from labeling.store.members import ADMINISTRATOR, REVIEWER, ROLES
from labeling.web.answering import FORMS, answer_in, options_of, picked_in
from labeling.web.bounds import changes_of, number
from labeling.work.settings import AUTOMATIC, RunSettings, models
from palate.errors import ConflictError, InputError, ParameterError
from palate.web import principal
from palate.web.charts import Line, bars, lines

Page = str | Response
ONE = "/projects/<int:project_id>"


def add_pages(bp: Blueprint) -> None:
    """Add these pages to the house's blueprint."""
    for path, view in (("overview", overview), ("reviews", reviews), ("members", members), ("comments", comments)):
        bp.add_url_rule(f"{ONE}/{path}", view_func=view)
    for path, change in (
        ("overview", change_overview),
        ("reviews", judge),
        ("members", set_members),
        ("comments", resolve),
    ):
        bp.add_url_rule(f"{ONE}/{path}", view_func=change, methods=["POST"])


def may(project_id: int, *roles: str) -> bool:
    """Whether whoever asks has one of these roles in the project."""
    if principal().allows(MANAGE):
        return True
    return labeling().role(project_id, me()) in roles


# The overview


@by(ADMINISTRATOR, REVIEWER)
def overview(project_id: int, error: str = "") -> str:
    """How a project does."""
    found = labeling().overview(project_id, me())
    state = labeling().automation.run(project_id) if found.run is not None else None
    return _page(
        "overview",
        found.project,
        error,
        found=found,
        state=state,
        charts=_charts(found),
        over=found.project.deadline is not None and found.project.deadline <= datetime.now(UTC),
        methods=list(METHODS),
        models=models(),
        earlier=_earlier(found.project),
        defaults=RunSettings(),
        automatic=found.project.kind in AUTOMATIC,
        may_run=may(project_id, ADMINISTRATOR),
    )


def _earlier(project: Project) -> list[Project]:
    """Whose labels a run of this project may begin with."""
    if project.kind not in AUTOMATIC:
        return []
    return [each for each in labeling().listed() if each.kind in AUTOMATIC and each.id != project.id]


def _charts(found: Overview) -> dict[str, Any]:
    moments = [moment for moment, _ in found.over_time]
    points = [(moment.timestamp(), float(count)) for moment, count in found.over_time]
    told = f"{found.progress.answers} answers of {found.progress.needed}, over time"
    ends = [f"{moment:%Y-%m-%d %H:%M}" for moment in (moments[0], moments[-1])] if moments else []
    made: dict[str, Any] = {"time": lines(told, [Line("answers", points)], ends) if moments else ""}
    made["labels"] = {
        name: bars(f"How often each label of {name} was given", [(label, n, f"{n:,}") for label, n in rows[:30]])
        for name, rows in found.distribution.items()
    }
    plain = max(found.project.tasks - found.project.golds, 1)
    steps = [(float(each["answers"]), each) for each in found.rounds]  # type: ignore[arg-type]
    if steps:
        curves = [
            Line("labeled by the model", [(x, _number(each["automatic"]) / plain) for x, each in steps]),
            Line("model is right on what is left", [(x, _number(each["pool_accuracy"])) for x, each in steps], 2),
        ]
        target = _number(found.run.settings["target"]) if found.run is not None else 0.95
        curves.append(Line("promised", [(x, target) for x in (steps[0][0], steps[-1][0])], 3, dashed=True))
        ends = [f"{steps[0][0]:,.0f} answers", f"{steps[-1][0]:,.0f} answers"]
        made["rounds"] = lines("Share labeled by the model, by answers of people", curves, ends, percent=True)
    return made


def _number(value: Any) -> float:
    return 0.0 if value is None else float(value)


@by(ADMINISTRATOR)
def change_overview(project_id: int) -> Page:
    """What the overview's buttons do."""
    automation = labeling().automation
    form = request.form
    deeds: dict[str, Callable[[], object]] = {
        "consensus": lambda: labeling().change(project_id, {"consensus": form.get("method", "none")}),
        "consolidate": lambda: automation.consolidate(project_id),
        "bounds": lambda: labeling().change(project_id, changes_of(form)),
        "start": lambda: automation.start(project_id, _settings(), me()),
        "withdraw": lambda: automation.withdraw(project_id),
        "restore": lambda: automation.restore(project_id),
        **{name: lambda name=name: automation.act(project_id, name) for name in ("pause", "resume", "stop")},  # type: ignore[misc]
    }
    return _deed(deeds.get(form.get("do", "")), project_id, "overview", overview)


def _settings() -> RunSettings:
    default = RunSettings()
    target, check, budget, warm = (number(request.form, name) for name in ("target", "check", "budget", "warm_from"))
    return RunSettings(
        target=default.target if target is None else target,
        check=default.check if check is None else check,
        budget=None if budget is None else int(budget),
        model=request.form.get("model", default.model),
        suggest="suggest" in request.form,
        warm_from=None if warm is None else int(warm),
    )


# Reviews


@by(ADMINISTRATOR, REVIEWER)
def reviews(project_id: int, error: str = "") -> str:
    """The next answer to judge."""
    project, review, waiting = labeling().next_review(project_id, me())
    interface = project.interface
    said = None if review is None else review.value
    value = None if said is None else cell(interface, said)
    data = {} if review is None else review.data
    return _page(
        "reviews",
        project,
        error,
        review=review,
        waiting=waiting,
        value=value,
        shown=_shown(interface, data),
        boxes=[region["value"] for region in said or () if region.get("type") == "rectanglelabels"],
        images=_images(interface, data),
        asked=project.kind in FORMS,
        options=options_of(interface.controls[0]),
        picked=picked_in(said or []),
    )


def _shown(interface: Interface, data: dict[str, Any]) -> list[str]:
    """The texts of a task's data that its people see."""
    found = [data.get(each.field) for each in interface.objects if each.field is not None and each.tag != "Image"]
    return [each if isinstance(each, str) else json.dumps(each, ensure_ascii=False) for each in found if each]


def _images(interface: Interface, data: dict[str, Any]) -> list[str]:
    """The addresses of the images that its people see."""
    found = [data.get(each.field) for each in interface.objects if each.field is not None and each.tag == "Image"]
    return [str(each) for each in found if each]


@by(ADMINISTRATOR, REVIEWER)
def judge(project_id: int) -> Page:
    """A verdict, from the page's form."""
    form = request.form
    verdict = form.get("verdict") or None
    kind = labeling().project(project_id, me())[0].kind
    value = answer_in(kind, form) if verdict in ("correct", "answer") else None
    said = None if verdict == "answer" else verdict
    note = form.get("note", "").strip() or None
    review = int(form["review"]) if form.get("review", "").isdecimal() else 0
    return _deed(
        lambda: labeling().judge(project_id, me(), review, said, value=value, note=note), project_id, "reviews", reviews
    )


# Members


@by(ADMINISTRATOR)
def members(project_id: int, error: str = "") -> str:
    """Who does what in a project."""
    project = labeling().project(project_id, me())[0]
    return _page("members", project, error, members=labeling().members(project_id), roles=ROLES)


@by(ADMINISTRATOR)
def set_members(project_id: int) -> Page:
    """Add a member, change a role, take somebody out."""
    form = request.form
    now = labeling().members(project_id)
    person = form.get("person", "").strip()
    if form.get("do") == "remove":
        now.pop(person, None)
    else:
        now[person] = form.get("role", "")
    return _deed(lambda: labeling().set_members(project_id, now), project_id, "members", members)


# Comments


@by(ADMINISTRATOR, REVIEWER)
def comments(project_id: int, error: str = "") -> str:
    """What was said about the project's tasks; with `all`, also what is dealt with."""
    project = labeling().project(project_id, me())[0]
    everything = "all" in request.args
    found = labeling().comments(project_id, resolved=None if everything else False)
    return _page("comments", project, error, comments=found, everything=everything)


@by(ADMINISTRATOR, REVIEWER)
def resolve(project_id: int) -> Page:
    """Mark a comment as dealt with, or as open again."""
    form = request.form
    comment = int(form["comment"]) if form.get("comment", "").isdecimal() else 0
    done = form.get("do") == "resolve"
    return _deed(lambda: labeling().resolve(project_id, comment, resolved=done), project_id, "comments", comments)


def _deed(do: Callable[[], object] | None, project_id: int, page: str, again: Callable[..., str]) -> Page:
    """Do it and show the page anew; what was wrong stands on the page."""
    try:
        if do is None:
            raise ParameterError("is nothing to do here.", where="do")
        do()
    except (InputError, ConflictError) as error:
        return Response(again(project_id=project_id, error=str(error)), error.status, mimetype="text/html")
    return back(page, project_id)


def tabs(project: Project) -> list[tuple[str, str]]:
    """The project's pages for whoever asks: endpoint and name."""
    pages = ["overview", "reviews", "comments"]
    if may(project.id, ADMINISTRATOR):
        pages += ["members", "webhooks"]
    return [("labeling.work", "Label"), *((f"labeling.{page}", page.capitalize()) for page in pages)]


def back(page: str, project_id: int) -> Response:
    """To a page anew, so that reloading it does nothing twice."""
    return redirect(url_for(f"labeling.{page}", project_id=project_id), 303)


def _page(name: str, project: Project, error: str, **more: Any) -> str:
    return render_template(f"labeling/{name}.html", project=project, tabs=tabs(project), error=error, **more)
