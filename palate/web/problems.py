"""Every error answer: RFC 9457 problem+json, or a page for a browser that asks for one.

A problem's `type` is `/problems/<slug>`, stable for ever and itself a page that explains it. `errors` lists the fields
at fault, `request_id` is what the log says too.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, g, has_request_context, redirect, render_template, request, url_for
from werkzeug.exceptions import HTTPException

from palate.errors import InputError, PalateError, ParameterError, ThrottledError, UnauthenticatedError

MIMETYPE = "application/problem+json"
log = logging.getLogger("palate.web")

HTTP_PROBLEMS: dict[int, tuple[str, str]] = {
    400: ("bad-request", "The request cannot be understood"),
    401: ("unauthenticated", "Credentials are missing or wrong"),
    403: ("forbidden", "The credentials do not suffice"),
    404: ("not-found", "There is no such thing"),
    405: ("method-not-allowed", "The method does not fit this address"),
    406: ("not-acceptable", "The answer cannot be given in that form"),
    408: ("timeout", "The request took too long to arrive"),
    411: ("length-required", "The length of the body is missing"),
    413: ("too-large", "The request is too large"),
    414: ("address-too-long", "The address is too long"),
    415: ("unsupported-media-type", "The body is of a type that is not read here"),
    422: ("invalid", "Some fields are not valid"),
    429: ("throttled", "Too many requests"),
    500: ("internal-error", "Something went wrong"),
    503: ("not-ready", "The service is not ready"),
}
"""The problems that come from HTTP itself: status to (slug, title)."""


class FieldErrors(ParameterError):
    """Several fields are not valid: a list of (field, message)."""

    slug, title = "invalid", "Some fields are not valid"

    def __init__(self, fields: Sequence[tuple[str, str]]) -> None:
        self.fields = list(fields)
        super().__init__(" ".join(f"{name}: {message}" if name else message for name, message in self.fields))


def catalogue() -> dict[str, tuple[int, str]]:
    """All problems: slug to (status, title)."""
    found = {slug: (status, title) for status, (slug, title) in HTTP_PROBLEMS.items()}
    for kind in _tree(PalateError):
        found.setdefault(kind.slug, (kind.status, kind.title))
    return dict(sorted(found.items()))


def _tree(kind: type[PalateError]) -> Iterator[type[PalateError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _tree(child)


def register(app: Flask) -> None:
    """Answer every exception of `app` as a problem."""
    app.register_error_handler(PalateError, from_palate)
    app.register_error_handler(HTTPException, from_http)
    app.register_error_handler(Exception, from_bug)


def from_palate(error: PalateError) -> Response:
    """A PalateError with its own status, slug and title. Places on this machine are told only of the caller's input."""
    headers: dict[str, str] = {}
    errors: list[dict[str, str]] | None = None
    if isinstance(error, FieldErrors):
        errors = [{"field": name, "message": message} for name, message in error.fields]
    elif isinstance(error, InputError) and error.where:
        errors = [{"field": error.where, "message": error.message}]
    if isinstance(error, ThrottledError):
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, UnauthenticatedError):
        if wants_page() and request.method in ("GET", "HEAD") and "Authorization" not in request.headers:
            return redirect(url_for("palate.sign_in", next=request.full_path.rstrip("?")), 303)  # type: ignore[return-value]
        headers["WWW-Authenticate"] = 'Bearer realm="palate"'
    if error.status >= 500:
        log.error("%s", error, exc_info=error.status == 500)
    if error.status == 500:
        return answer(500, error.slug, error.title, "", headers=headers)
    place = error.where if isinstance(error, InputError) and not isinstance(error, FieldErrors) else None
    detail = f"{place}: {error.message}" if place else error.message
    detail = f"{detail} {error.hint}" if error.hint else detail
    return answer(error.status, error.slug, error.title, detail, errors=errors, headers=headers)


def from_http(error: HTTPException) -> Response:
    """What Flask and Werkzeug raise: 404, 405, 413 and so on."""
    if error.response is not None and (error.code is None or error.code < 400):
        return error.response  # type: ignore[return-value]
    status = error.code or 500
    slug, title = HTTP_PROBLEMS.get(status, (f"http-{status}", _phrase(status)))
    headers = {name: value for name, value in error.get_headers() if name not in ("Content-Type", "Content-Length")}
    if status == 413 and error.description == type(error).description:
        error.description = too_large()
    detail = "" if status >= 500 else _DETAILS.get(status, error.description or "")
    return answer(status, slug, title, detail, headers=headers)


_DETAILS = {404: "Nothing is found at this address."}


def too_large() -> str:
    """What is said of a body that is larger than the request's address reads: the limit, and what to do."""
    most = request.max_content_length
    return f"The body is larger than {most:,} bytes, the most that is read here. Send it in parts."


def from_bug(error: Exception) -> Response:
    """A bug of ours: logged in full, told without details."""
    # An address may hold line breaks; quoted, it cannot pass for another line of the log.
    log.error("%s %r failed", request.method, request.path, exc_info=error)
    return answer(500, *HTTP_PROBLEMS[500], "")


def answer(
    status: int,
    slug: str,
    title: str,
    detail: str,
    *,
    errors: list[dict[str, str]] | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    """The response itself: a page when the client prefers HTML, problem+json otherwise."""
    request_id = getattr(g, "request_id", "") if has_request_context() else ""
    if wants_page():
        page = render_template(
            "problem.html", status=status, title=title, detail=detail, errors=errors, request_id=request_id
        )
        response = Response(page, status, mimetype="text/html")
    else:
        body: dict[str, Any] = {"type": f"/problems/{slug}", "title": title, "status": status}
        if detail:
            body["detail"] = detail
        if errors:
            body["errors"] = errors
        body["request_id"] = request_id
        # ensure_ascii: what a caller sent may hold lone surrogates, and an error must not fail at telling so.
        response = Response(json.dumps(body), status, mimetype=MIMETYPE)
    for name, value in (headers or {}).items():
        response.headers[name] = value
    return response


def wants_page() -> bool:
    """Whether the client prefers HTML, as browsers do; a client without a preference gets JSON."""
    accept = request.accept_mimetypes
    if "text/html" not in str(accept):
        return False
    return accept["text/html"] >= max(accept["application/json"], accept[MIMETYPE])


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "The request failed"
