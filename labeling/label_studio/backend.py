"""The ML backend: what Label Studio calls to show our predictions and to have a model trained.

Its address is /ml/PROJECT of this service, with one of our projects; Label Studio signs in by basic authentication, the
password being an API key of the scope `label:ml`. Nothing here takes long: training and synchronisation are jobs.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, current_app, g, request
from pydantic import ConfigDict, Field, JsonValue

from labeling.config import parse
from labeling.label_studio import jobs, predictions
from labeling.label_studio.models import Loaded, answered, versions
from labeling.service import Labeling
from labeling.store import projects
from palate.errors import ForbiddenError, ParameterError, UnauthenticatedError
from palate.store import Accounts, Principal, reading
from palate.web import Model, gives, public, takes
from palate.web.problems import from_palate

SCOPE = "label:ml"
"""Of an API key: may ask for predictions and have models trained, in all projects, and nothing else."""
CHANGES = frozenset({"ANNOTATION_CREATED", "ANNOTATIONS_CREATED", "ANNOTATION_UPDATED", "ANNOTATIONS_DELETED"})
"""What Label Studio tells that makes a synchronisation worthwhile."""
_LOADED = "label_studio_models"


class Lenient(Model):
    """Label Studio's objects have many more fields, which are left aside."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False, protected_namespaces=())


class Health(Model):
    """As Label Studio expects it."""

    status: str = "UP"
    model_version: str | None


class SetupIn(Lenient):
    """A Label Studio project that this backend is to serve: its labeling interface. The token that comes along is not
    looked at, and the address neither: who synchronises with which Label Studio is said here, not there."""

    schema_: str = Field(alias="schema")


class Setup(Model):
    """The model that answers now; null before the first training."""

    model_version: str | None


class TaskIn(Lenient):
    """One of Label Studio's tasks."""

    id: int | None = None
    data: dict[str, JsonValue]
    meta: dict[str, JsonValue] | None = None
    drafts: list[JsonValue] | None = None


class PredictIn(Lenient):
    """Tasks to say something about, in a Label Studio project (`ID.TIME`) with this interface."""

    tasks: list[TaskIn] = Field(max_length=100_000)
    label_config: str
    project: str | int | None = None


class PredictOut(Model):
    """For each task in order an object with `result`, `score` and `model_version`, or an empty list: nothing to say."""

    results: list[dict[str, JsonValue] | list[JsonValue]]
    model_version: str | None


class WebhookIn(Lenient):
    """Something happened in Label Studio. What, is all that counts."""

    action: str = Field(max_length=100)


class Accepted(Model):
    """What follows from it: a `job` of this kind, or nothing."""

    status: str
    job: int | None = None


class Versions(Model):
    """The models that were trained, the newest first."""

    versions: list[str]


def blueprint() -> Blueprint:
    """A fresh blueprint named `ml`; its routes know their callers by themselves."""
    bp = Blueprint("ml", __name__, url_prefix="/ml/<int:project_id>")
    for method, path, view in RULES:
        bp.add_url_rule(path, view_func=public(view, password=SCOPE), methods=[method])
    bp.before_request(_admit)
    bp.register_error_handler(UnauthenticatedError, _ask_for_password)
    bp.record_once(lambda state: state.app.extensions.setdefault(_LOADED, Loaded()))
    return bp


def _admit() -> None:
    """Only who shows a key of the scope: as the password of basic authentication, as Label Studio does, or as a bearer
    token, as its webhooks can be told to."""
    who: Principal | None = g.get("principal")
    sent = request.authorization
    if who is None and sent is not None and sent.type == "basic":
        accounts: Accounts = current_app.extensions["palate"].accounts
        who = g.principal = accounts.check_token(sent.password or "")
    if who is None:
        raise UnauthenticatedError(
            "This backend wants basic authentication.", hint=f"The password is an API key of the scope {SCOPE}."
        )
    if not who.allows(SCOPE):
        raise ForbiddenError(f"This needs the scope {SCOPE}.")


def _ask_for_password(error: UnauthenticatedError) -> Response:
    response = from_palate(error)
    response.headers["WWW-Authenticate"] = 'Basic realm="palate", charset="UTF-8"'
    return response


def _labeling() -> Labeling:
    found: Labeling = current_app.extensions["labeling"]
    return found


@gives(Health)
def health(project_id: int) -> Health:
    """Whether the project is there."""
    return Health(model_version=_version(project_id))


@takes(body=SetupIn)
@gives(Setup)
def setup(project_id: int, body: SetupIn) -> Setup:
    """Whether this project can say anything in a Label Studio project with this interface; 422 says why not."""
    with reading(_labeling().engine) as db:
        ours = projects.get(db, project_id).interface
    theirs = parse(body.schema_)
    same = any(
        theirs.by_name.get(each.name, each).type == each.type for each in ours.controls if each.name in theirs.by_name
    )
    if not same and answered(ours, theirs) is None:
        raise ParameterError(
            f"asks nothing that project {project_id} asks, too.",
            where="schema",
            hint="Connect the Label Studio project with a project of the same labeling interface.",
        )
    return Setup(model_version=_version(project_id))


@takes(body=PredictIn)
@gives(PredictOut)
def predict(project_id: int, body: PredictIn) -> PredictOut:
    """What the newest model says of texts; of other tasks that are known here, what was predicted of them last.

    Only what fits the interface that is sent along is said.
    """
    engine = _labeling().engine
    with reading(engine) as db:
        project = projects.get(db, project_id)
    loaded: Loaded = current_app.extensions[_LOADED]
    asked = [predictions.Asked(each.id, each.data, each.meta or {}) for each in body.tasks]
    remote = predictions.remote_id(body.project)
    version, said = predictions.predict(engine, project, loaded, asked, parse(body.label_config), remote)
    results: list[Any] = []
    for task, each in zip(body.tasks, said, strict=True):
        if each is not None:
            results.append(each)
        else:
            # Its editor, which sends drafts, wants an object; what is kept as a prediction had better not be there.
            results.append([] if task.drafts is None else {"result": [], "model_version": version})
    return PredictOut(results=results, model_version=version)


@takes(body=WebhookIn)
@gives(Accepted)
def webhook(project_id: int, body: WebhookIn) -> Accepted:
    """START_TRAINING queues a training; a change of annotations queues a synchronisation, if the project has one."""
    with reading(_labeling().engine) as db:
        projects.get(db, project_id)
    if body.action == "START_TRAINING":
        return Accepted(status="queued", job=jobs.begin_training(_labeling().engine, project_id))
    if body.action in CHANGES:
        job = jobs.begin_sync(_labeling().engine, current_app.extensions["palate"].settings, project_id)
        if job is not None:
            return Accepted(status="queued", job=job)
    return Accepted(status="nothing to do")


@gives(Versions)
def list_versions(project_id: int) -> Versions:
    """The models there are."""
    with reading(_labeling().engine) as db:
        projects.get(db, project_id)
        return Versions(versions=[each.version for each in versions(db, project_id)])


def _version(project_id: int) -> str | None:
    with reading(_labeling().engine) as db:
        projects.get(db, project_id)
        newest = versions(db, project_id, limit=1)
    return newest[0].version if newest else None


RULES = [
    ("GET", "/health", health),
    ("POST", "/setup", setup),
    ("POST", "/predict", predict),
    ("POST", "/webhook", webhook),
    ("GET", "/versions", list_versions),
]
"""Method, path, view."""
