"""The routes: models are asked at SageMaker's address, and deployed under /v1."""

from __future__ import annotations

import re

from flask import Blueprint, Response, current_app, request
from werkzeug.exceptions import NotAcceptable, UnsupportedMediaType

from palate.errors import InputError, PalateError, ParameterError
from palate.web import gives, public, read_body, require, require_all, takes
from services.endpoints import answers, invoking, payloads, rollouts, transforms
from services.endpoints.aws import ModelError, speak_sagemaker
from services.endpoints.bodies import EndpointBody, EndpointOut, Endpoints, VariantOut, WeightsBody
from services.endpoints.hosting import Hosted, Running
from services.endpoints.invoking import KEY as KEY
from services.endpoints.invoking import hosting, the_endpoint
from services.endpoints.store import Endpoint
from services.endpoints.transforms import TransformBody, TransformOut

_NAME = re.compile(r"[A-Za-z0-9](-*[A-Za-z0-9])*")


def runtime(*, bare: bool) -> Blueprint:
    """What SageMaker's runtime client calls; its errors are AWS's. bare: also `/invocations`, as a container has it."""
    blueprint = Blueprint("runtime", __name__)
    speak_sagemaker(blueprint)
    blueprint.post("/endpoints/<name>/invocations")(invoke)
    if bare:
        blueprint.post("/invocations")(invoke_bare)
    blueprint.get("/ping")(ping)
    return blueprint


def management() -> Blueprint:
    """Deploying and taking down."""
    v1 = require_all(Blueprint("v1", __name__, url_prefix="/v1"), "invoke")
    v1.get("/endpoints")(list_endpoints)
    v1.get("/endpoints/<name>")(get_endpoint)
    v1.put("/endpoints/<name>")(put_endpoint)
    v1.patch("/endpoints/<name>")(patch_endpoint)
    v1.delete("/endpoints/<name>")(delete_endpoint)
    v1.get("/endpoints/<name>/stats")(rollouts.get_stats)
    rollouts.ROLLOUTS.add_to(v1, "/endpoints/<name>/rollouts")
    v1.post("/endpoints/<name>/transforms")(post_transform)
    v1.get("/transforms/<int:job>")(get_transform)
    v1.delete("/transforms/<int:job>")(cancel_transform)
    return v1


@public
def ping() -> Response:
    """The process answers."""
    return Response(b"", 200, mimetype="text/plain")


@require("invoke")
def invoke(name: str) -> Response:
    """Ask a model behind the endpoint."""
    running = hosting().running(name)
    if "X-Amzn-SageMaker-Target-Model" in request.headers:
        raise InputError("The endpoint holds one model per variant; a target model cannot be chosen.")
    chosen = running.pick(request.headers.get("X-Amzn-SageMaker-Target-Variant"), _session())
    if request.mimetype not in payloads.REQUESTS:
        raise UnsupportedMediaType(
            f"The body is {request.mimetype or 'of no type'!r}; this endpoint reads {', '.join(payloads.REQUESTS)}."
        )
    accepted = _accepted()
    kind, depth = request.mimetype, current_app.config["MAX_JSON_DEPTH"]
    body = read_body()

    def make(hosted: Hosted) -> bytes:
        batch = payloads.read(body, kind, hosted.signature, max_depth=depth)
        try:
            columns = answers.predict(hosted.artifact, batch)
        except PalateError as error:
            if error.status >= 500:
                raise
            raise ModelError(str(error)) from error
        return answers.write(columns, accepted, answers.shape_of(hosted.artifact).key)

    written = invoking.ask(running, chosen, make)
    return Response(written, 200, {"x-Amzn-Invoked-Production-Variant": chosen.variant.name}, mimetype=accepted)


@require("invoke")
def invoke_bare() -> Response:
    """Ask a model behind the endpoint that this server was started for."""
    answer: Response = invoke(the_endpoint())
    return answer


@gives(Endpoints)
def list_endpoints() -> Endpoints:
    """List the endpoints.

    Each as the worker that answers has it.
    """
    return Endpoints(endpoints=[shown(endpoint) for endpoint in hosting().store.all()])


@gives(EndpointOut)
def get_endpoint(name: str) -> EndpointOut:
    """Say what stands behind an endpoint, what it takes and what it gives."""
    return shown(hosting().store.get(name))


@require("endpoints")
@takes(body=EndpointBody)
@gives(EndpointOut, also=(201,))
def put_endpoint(name: str, body: EndpointBody) -> tuple[EndpointOut, int]:
    """Deploy a model behind a name; 201 if the name is new.

    The model is loaded first: what cannot be is refused, and what was served before stays. Refused with 409 while a
    roll-out runs.
    """
    checked_name(name)
    try:
        made, fresh = hosting().deploy(name, body.wanted)
    except PalateError as error:
        # Of the service it would mean "not ready"; here it is the request that names what cannot be used.
        if error.exit_code == 2 and error.status >= 500:
            where = "variants" if body.variants else "model" if body.model else "bundle"
            raise ParameterError(error.message, where=where, hint=error.hint) from error
        raise
    return shown(made), 201 if fresh else 200


@require("endpoints")
@takes(body=WeightsBody)
@gives(EndpointOut)
def patch_endpoint(name: str, body: WeightsBody) -> EndpointOut:
    """Move the traffic between an endpoint's variants.

    It holds within a second, in every worker. Refused with 409 while a roll-out runs.
    """
    return shown(hosting().weigh(name, body.weights))


@require("endpoints")
@gives(EndpointOut)
def delete_endpoint(name: str) -> EndpointOut:
    """Take an endpoint down; what it was is answered. Its roll-out, if one runs, ends."""
    held = shown(hosting().store.get(name))
    hosting().delete(name)
    return held


@require("endpoints")
@takes(body=TransformBody)
@gives(TransformOut, status=202)
def post_transform(name: str, body: TransformBody) -> tuple[TransformOut, int]:
    """Ask an endpoint about every row of a file: CSV, JSON Lines or RecordIO.

    A job does it and writes the answers to another file, whole or not at all; ask for it to see how far it is.
    """
    folder = current_app.extensions["palate"].settings.transforms
    return transforms.begin(hosting(), folder, name, body), 202


@require("endpoints")
@gives(TransformOut)
def get_transform(job: int) -> TransformOut:
    """Say how far a transform is."""
    return transforms.look(hosting(), job)


@require("endpoints")
@gives(TransformOut)
def cancel_transform(job: int) -> TransformOut:
    """Stop a transform; nothing is written."""
    return transforms.cancel(hosting(), job)


def checked_name(name: str) -> str:
    """`name`, if SageMaker would take it for an endpoint. Raises ParameterError otherwise."""
    if len(name) > 63 or not _NAME.fullmatch(name):
        raise ParameterError(
            f"{name[:80]!r} is no name of an endpoint.", where="name", hint="Letters, digits and inner '-', at most 63."
        )
    return name


def shown(endpoint: Endpoint) -> EndpointOut:
    here = hosting()
    running: Running | None
    try:
        running = here.running(endpoint.name)
    except PalateError:
        running = None
    loaded = {each.variant: each for each in (*running.variants, *running.shadows)} if running else {}
    served = next(iter(running.variants), None) if running else None
    first, total = endpoint.variants[0], sum(endpoint.weights.values())
    variants = [
        VariantOut(
            name=each.name,
            kind=each.kind,
            weight=each.weight,
            share=each.weight / total,
            shadow=each.shadow,
            loaded=each in loaded,
            **each.source.document(),
        )
        for each in endpoint.variants
    ]
    return EndpointOut(
        name=endpoint.name,
        kind=first.kind,
        status="InService" if served else "Failed",
        inputs=dict(served.signature.inputs) if served else None,
        outputs=dict(served.signature.outputs) if served else None,
        variants=variants,
        deployed_at=endpoint.deployed.isoformat(),
        rollout=here.store.running(endpoint.name),
        problem=here.problems.get(endpoint.name),
        **first.source.document(),
    )


def _session() -> str | None:
    """Whose requests are to be answered by the same variant. A session that is to be made anew is nobody's yet."""
    found = request.headers.get("X-Amzn-SageMaker-Session-Id")
    return None if found == "NEW_SESSION" else found


def _accepted() -> str:
    """The type of the answer. Raises NotAcceptable for none that is given here."""
    if not request.headers.get("Accept"):
        return answers.ANSWERS[0]
    found = request.accept_mimetypes.best_match(answers.ANSWERS)
    if found is None:
        raise NotAcceptable(f"Answers are {', '.join(answers.ANSWERS)}.")
    return found
