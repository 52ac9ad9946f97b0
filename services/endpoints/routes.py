"""The routes: models are asked at SageMaker's address, and deployed under /v1."""

from __future__ import annotations

import re

from flask import Blueprint, Response, current_app, request
from werkzeug.exceptions import NotAcceptable, UnsupportedMediaType

from palate.errors import InputError, PalateError, ParameterError
from palate.web import gives, public, require, require_all, takes
from services.endpoints import answers, payloads
from services.endpoints.aws import VARIANT, ModelError, speak_sagemaker
from services.endpoints.bodies import EndpointBody, EndpointOut, Endpoints
from services.endpoints.hosting import Hosting
from services.endpoints.source import Source
from services.endpoints.store import Endpoint

KEY = "palate.endpoints"
_NAME = re.compile(r"[A-Za-z0-9](-*[A-Za-z0-9])*")


def hosting() -> Hosting:
    """What `create` left in the app."""
    found: Hosting = current_app.extensions[KEY]
    return found


def runtime() -> Blueprint:
    """What SageMaker's runtime client calls; its errors are AWS's."""
    blueprint = Blueprint("runtime", __name__)
    speak_sagemaker(blueprint)
    blueprint.post("/endpoints/<name>/invocations")(invoke)
    blueprint.get("/ping")(ping)
    return blueprint


def management() -> Blueprint:
    """Deploying and taking down."""
    v1 = require_all(Blueprint("v1", __name__, url_prefix="/v1"), "invoke")
    v1.get("/endpoints")(list_endpoints)
    v1.get("/endpoints/<name>")(get_endpoint)
    v1.put("/endpoints/<name>")(put_endpoint)
    v1.delete("/endpoints/<name>")(delete_endpoint)
    return v1


@public
def ping() -> Response:
    """The process answers."""
    return Response(b"", 200, mimetype="text/plain")


@require("invoke")
def invoke(name: str) -> Response:
    """Ask the model behind the endpoint."""
    found = hosting().find(name)
    _check_target()
    if request.mimetype not in payloads.REQUESTS:
        raise UnsupportedMediaType(
            f"The body is {request.mimetype or 'of no type'!r}; this endpoint reads {', '.join(payloads.REQUESTS)}."
        )
    accepted = _accepted()
    body = request.get_data()
    if len(body) < (request.content_length or 0):
        # The server gives what came before the connection broke; half a batch may well be proper CSV.
        raise InputError("The body ended early.", hint=f"Content-Length says {request.content_length} bytes.")
    depth = current_app.config["MAX_JSON_DEPTH"]
    batch = payloads.read(body, request.mimetype, found.signature, max_depth=depth)
    try:
        columns = answers.predict(found.artifact, batch)
    except PalateError as error:
        if error.status >= 500:
            raise
        raise ModelError(str(error)) from error
    key = answers.shape_of(found.artifact).key
    written = answers.write(columns, accepted, key)
    return Response(written, 200, {"x-Amzn-Invoked-Production-Variant": VARIANT}, mimetype=accepted)


@gives(Endpoints)
def list_endpoints() -> Endpoints:
    """List the endpoints.

    Each as the worker that answers has it.
    """
    return Endpoints(endpoints=[_shown(endpoint) for endpoint in hosting().store.all()])


@gives(EndpointOut)
def get_endpoint(name: str) -> EndpointOut:
    """Say what stands behind an endpoint, what it takes and what it gives."""
    return _shown(hosting().store.get(name))


@require("endpoints")
@takes(body=EndpointBody)
@gives(EndpointOut)
def put_endpoint(name: str, body: EndpointBody) -> tuple[EndpointOut, int]:
    """Deploy a model behind a name; 201 if the name is new.

    The model is loaded first: what cannot be is refused, and what was served before stays.
    """
    checked_name(name)
    source = Source(**body.model_dump())
    try:
        made, fresh = hosting().deploy(name, source)
    except PalateError as error:
        # Of the service it would mean "not ready"; here it is the request that names what cannot be used.
        if error.exit_code == 2 and error.status >= 500:
            raise ParameterError(error.message, where="model" if source.model else "bundle", hint=error.hint) from error
        raise
    return _shown(made), 201 if fresh else 200


@require("endpoints")
@gives(EndpointOut)
def delete_endpoint(name: str) -> EndpointOut:
    """Take an endpoint down; what it was is answered."""
    held = _shown(hosting().store.get(name))
    hosting().delete(name)
    return held


def checked_name(name: str) -> str:
    """`name`, if SageMaker would take it for an endpoint. Raises ParameterError otherwise."""
    if len(name) > 63 or not _NAME.fullmatch(name):
        raise ParameterError(
            f"{name[:80]!r} is no name of an endpoint.", where="name", hint="Letters, digits and inner '-', at most 63."
        )
    return name


def _shown(endpoint: Endpoint) -> EndpointOut:
    here = hosting()
    try:
        found = here.find(endpoint.name)
    except PalateError:
        found = None
    return EndpointOut(
        name=endpoint.name,
        kind=endpoint.kind,
        status="InService" if found else "Failed",
        inputs=dict(found.signature.inputs) if found else None,
        outputs=dict(found.signature.outputs) if found else None,
        deployed_at=endpoint.deployed.isoformat(),
        problem=here.problems.get(endpoint.name),
        **endpoint.source.document(),
    )


def _check_target() -> None:
    wanted = request.headers.get("X-Amzn-SageMaker-Target-Variant")
    if wanted not in (None, VARIANT):
        raise InputError(f"There is no variant {wanted[:80]!r}.", hint=f"There is: {VARIANT}.")
    if "X-Amzn-SageMaker-Target-Model" in request.headers:
        raise InputError("The endpoint holds one model; a target model cannot be chosen.")


def _accepted() -> str:
    """The type of the answer. Raises NotAcceptable for none that is given here."""
    if not request.headers.get("Accept"):
        return answers.ANSWERS[0]
    found = request.accept_mimetypes.best_match(answers.ANSWERS)
    if found is None:
        raise NotAcceptable(f"Answers are {', '.join(answers.ANSWERS)}.")
    return found
