"""The routes under /v1. Each is one call of the service; who asks is whom the work is counted for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response

from labeling.api import automation, hooks, label_studio, life, team
from labeling.api.caller import LABEL, MANAGE, by, labeling, me
from labeling.api.models import (
    Added,
    AnswerIn,
    ExportQuery,
    NextIn,
    ProgressOut,
    ProjectIn,
    ProjectList,
    ProjectOut,
    SkipIn,
    StepOut,
    TasksIn,
    UndoIn,
)
from labeling.exports import FORMATS
from labeling.store.members import ADMINISTRATOR
from palate.web import gives, require, require_all, takes


def blueprint() -> Blueprint:
    """A fresh blueprint named `v1`."""
    one = "/projects/<int:project_id>"
    rules: list[tuple[str, str, Callable[..., Any]]] = [
        ("GET", "/projects", list_projects),
        ("POST", "/projects", create_project),
        ("GET", one, get_project),
        ("POST", f"{one}/tasks", add_tasks),
        ("GET", f"{one}/progress", get_progress),
        ("POST", f"{one}/next", next_task),
        ("PUT", f"{one}/tasks/<int:task_id>/annotation", submit),
        ("POST", f"{one}/tasks/<int:task_id>/skip", skip),
        ("POST", f"{one}/undo", undo),
        ("DELETE", f"{one}/skips", return_skipped),
        ("GET", f"{one}/export", export),
        *life.RULES,
        *team.RULES,
        *automation.RULES,
        *label_studio.RULES,
        *hooks.RULES,
    ]
    bp = require_all(Blueprint("v1", __name__, url_prefix="/v1"), LABEL)
    for method, path, view in rules:
        bp.add_url_rule(path, view_func=view, methods=[method])
    return bp


@gives(ProjectList)
def list_projects() -> ProjectList:
    """All projects and how far each is."""
    return ProjectList(projects=[ProjectOut.of(*pair) for pair in labeling().projects(me())])


@require(MANAGE)
@takes(body=ProjectIn)
@gives(ProjectOut, status=201)
def create_project(body: ProjectIn) -> tuple[ProjectOut, int]:
    """Make a project, from kind and labels or from Label Studio's XML, with its first tasks if you send some.

    Sent again it changes nothing and answers 200 with the project there is, its new tasks added; another definition
    under a title that is taken is a conflict.
    """
    project, made, _ = labeling().create(body.definition(), body.new())
    return ProjectOut.of(*labeling().project(project.id, me())), 201 if made else 200


@gives(ProjectOut)
def get_project(project_id: int) -> ProjectOut:
    """One project and how far it is."""
    return ProjectOut.of(*labeling().project(project_id, me()))


@by(ADMINISTRATOR)
@takes(body=TasksIn)
@gives(Added)
def add_tasks(project_id: int, body: TasksIn) -> Added:
    """Add tasks: all or, if one does not fit, none. Those whose external id is there already are left as they are."""
    _, added = labeling().add_tasks(project_id, list(body.new()))
    return Added(project=project_id, added=added, present=len(body.tasks) - added)


@gives(ProgressOut)
def get_progress(project_id: int) -> ProgressOut:
    """How far the project is."""
    return ProgressOut.of(labeling().project(project_id, me())[1])


@takes(body=NextIn, optional=True)
@gives(StepOut)
def next_task(project_id: int, body: NextIn) -> StepOut:
    """The next task for you, leased to you for a while; null when nothing is left for you.

    A task leased to you that you don't name in `holding` comes first, so that you find your place again.
    """
    return StepOut.of(labeling().next_task(project_id, me(), body.holding))


@takes(body=AnswerIn)
@gives(StepOut)
def submit(project_id: int, task_id: int, body: AnswerIn) -> tuple[StepOut, int]:
    """Answer a task that is leased to you; when this answers 200 or 201, the answer is on disk.

    201 is for a first answer. Sending it again is 200 and changes nothing; another answer replaces yours. 409 if the
    task is not, or no longer, in your hands. With `holding` the next task comes with the answer.
    """
    step, new = labeling().submit(project_id, me(), task_id, body.value, body.seconds, holding=body.holding)
    return StepOut.of(step), 201 if new else 200


@takes(body=SkipIn, optional=True)
@gives(StepOut)
def skip(project_id: int, task_id: int, body: SkipIn) -> StepOut:
    """Leave a task to others. Your answer to it, if you had given one, is withdrawn."""
    return StepOut.of(labeling().skip(project_id, me(), task_id, body.reason))


@takes(body=UndoIn, optional=True)
@gives(StepOut)
def undo(project_id: int, body: UndoIn) -> StepOut:
    """Back to your last turn: the task with your answer, which stands until you replace it, or the one you skipped."""
    return StepOut.of(labeling().undo(project_id, me(), body.task))


@gives(StepOut)
def return_skipped(project_id: int) -> StepOut:
    """Be offered the tasks you skipped once more."""
    return StepOut.of(labeling().return_skipped(project_id, me()))


@by(ADMINISTRATOR)
@takes(query=ExportQuery)
def export(project_id: int, query: ExportQuery) -> Response:
    """The answers as a file: Label Studio's form (json, jsonl), csv, coco for boxes or spacy for stretches of text."""
    pieces = labeling().export(project_id, query.format, every_task=query.all)
    form = FORMATS[query.format]
    name = f'attachment; filename="project-{project_id}.{form.suffix}"'
    return Response(pieces, content_type=form.mimetype, headers={"Content-Disposition": name})
