"""Errors in AWS's own form on the routes that AWS's clients call: the header `x-amzn-ErrorType`, and a JSON body.

boto3 makes its typed exception of the header. The statuses stay those of HTTP, so that other clients need not know AWS.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, g, request
from werkzeug.exceptions import HTTPException

from palate.errors import (
    AccessError,
    BundleError,
    ConflictError,
    NotFittedError,
    PalateError,
    RegistryError,
    StoreError,
    ThrottledError,
    UnauthenticatedError,
    UnknownIdError,
)
from palate.web.problems import too_large
from palate.web.sigv4 import SignatureError

log = logging.getLogger("palate.web")


@dataclass(frozen=True)
class Codes:
    """What a service calls its errors: of what is wrong with a request, not there, or taken; of a bug; of an outage."""

    invalid: str
    missing: str
    taken: str
    bug: str = "InternalFailure"
    away: str = "ServiceUnavailable"


def speak_aws(blueprint: Blueprint, codes: Codes) -> None:
    """Every error on the routes of `blueprint`, those of access included, is told as AWS tells it."""

    def from_palate(error: PalateError) -> Response:
        told = f"{error.message} {error.hint}" if error.hint else error.message
        told = f"{error.where}: {told}" if error.where and error.status < 500 else told
        if isinstance(error, SignatureError):
            return answer(403, error.code, told)
        if isinstance(error, UnauthenticatedError):
            sent = "Authorization" in request.headers
            return answer(403, "UnrecognizedClientException" if sent else "MissingAuthenticationTokenException", told)
        if isinstance(error, ThrottledError):
            return answer(429, "ThrottlingException", told, headers={"Retry-After": str(error.retry_after)})
        if isinstance(error, AccessError):
            return answer(403, "AccessDeniedException", told)
        if isinstance(error, ConflictError):
            return answer(409, codes.taken, told)
        if isinstance(error, BundleError | RegistryError | StoreError | NotFittedError):
            log.error("%s", error)
            return answer(503, codes.away, told)
        if error.status >= 500:
            return from_bug(error)
        return (
            answer(404, codes.missing, told) if isinstance(error, UnknownIdError) else answer(400, codes.invalid, told)
        )

    def from_http(error: HTTPException) -> Response:
        status = error.code or 500
        if status >= 500:
            return from_bug(error)
        told = too_large() if status == 413 else error.description or ""
        return answer(status, codes.invalid, told)

    def from_bug(error: Exception) -> Response:
        log.error("%s %r failed", request.method, request.path, exc_info=error)
        return answer(500, codes.bug, "Something went wrong; the log says what.")

    handlers: list[tuple[type[Exception], Callable[[Any], Response]]] = [
        (PalateError, from_palate),
        (HTTPException, from_http),
        (Exception, from_bug),
    ]
    for kind, handler in handlers:
        blueprint.register_error_handler(kind, handler)
    blueprint.after_request(_identified)


def answer(status: int, kind: str, told: str, *, headers: dict[str, str] | None = None, **more: Any) -> Response:
    """An error of AWS's kind. more: further fields of the body."""
    # ensure_ascii: what a caller sent may hold lone surrogates, and an error must not fail at telling so.
    body = json.dumps({"message": told, **more})
    return Response(body, status, {"x-amzn-ErrorType": kind, **(headers or {})}, mimetype="application/json")


def _identified(response: Response) -> Response:
    response.headers["x-amzn-RequestId"] = g.get("request_id", "")
    return response
