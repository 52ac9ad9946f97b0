"""Errors in AWS's own form on the routes that AWS's clients call: the header `x-amzn-ErrorType`, and a JSON body.

boto3 makes its typed exception of the header. What is wrong with the request is a `ValidationError`, what the model
itself refuses a `ModelError`; the statuses stay those of HTTP, so that other clients need not know AWS.
"""

from __future__ import annotations

import json
import logging
from typing import Any

from flask import Blueprint, Response, g, request
from werkzeug.exceptions import HTTPException

from palate.errors import (
    AccessError,
    BundleError,
    PalateError,
    RegistryError,
    StoreError,
    ThrottledError,
    UnauthenticatedError,
    UnknownIdError,
)

log = logging.getLogger("palate.endpoints")
VARIANT = "AllTraffic"
"""What SageMaker's own tools call the only variant of an endpoint."""


class ModelError(Exception):
    """The model refused the rows that it was given; the message says why."""


def speak_aws(blueprint: Blueprint) -> None:
    """Every error on the routes of `blueprint`, those of access included, is told as AWS tells it."""
    blueprint.register_error_handler(PalateError, _from_palate)
    blueprint.register_error_handler(ModelError, _from_model)
    blueprint.register_error_handler(HTTPException, _from_http)
    blueprint.register_error_handler(Exception, _from_bug)
    blueprint.after_request(_identified)


def _from_palate(error: PalateError) -> Response:
    told = f"{error.message} {error.hint}" if error.hint else error.message
    told = f"{error.where}: {told}" if error.where and error.status < 500 else told
    if isinstance(error, UnauthenticatedError):
        sent = "Authorization" in request.headers
        return _answer(403, "UnrecognizedClientException" if sent else "MissingAuthenticationTokenException", told)
    if isinstance(error, ThrottledError):
        return _answer(429, "ThrottlingException", told, headers={"Retry-After": str(error.retry_after)})
    if isinstance(error, AccessError):
        return _answer(403, "AccessDeniedException", told)
    if isinstance(error, BundleError | RegistryError | StoreError):
        log.error("%s", error)
        return _answer(503, "ServiceUnavailable", told)
    if error.status >= 500:
        return _from_bug(error)
    return _answer(404 if isinstance(error, UnknownIdError) else 400, "ValidationError", told)


def _from_model(error: ModelError) -> Response:
    told = str(error)
    return _answer(424, "ModelError", told, OriginalStatusCode=400, OriginalMessage=told, LogStreamArn="")


def _from_http(error: HTTPException) -> Response:
    status = error.code or 500
    if status >= 500:
        return _from_bug(error)
    told = "The body is larger than this service reads." if status == 413 else error.description or ""
    return _answer(status, "ValidationError", told)


def _from_bug(error: Exception) -> Response:
    log.error("%s %r failed", request.method, request.path, exc_info=error)
    return _answer(500, "InternalFailure", "Something went wrong; the log says what.")


def _answer(status: int, kind: str, told: str, *, headers: dict[str, str] | None = None, **more: Any) -> Response:
    # ensure_ascii: what a caller sent may hold lone surrogates, and an error must not fail at telling so.
    body = json.dumps({"message": told, **more})
    return Response(body, status, {"x-amzn-ErrorType": kind, **(headers or {})}, mimetype="application/json")


def _identified(response: Response) -> Response:
    response.headers["x-amzn-RequestId"] = g.get("request_id", "")
    return response
