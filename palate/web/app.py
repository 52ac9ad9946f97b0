"""The factory of a house's Flask app: what every route gets without asking for it.

Access control by declared scopes, problem+json at every exit, limits on bodies, request ids, an access log, security
headers, metrics, health, OpenAPI and its page, sign-in.
"""

from __future__ import annotations

import json
import logging
import random
import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from typing import Any
from urllib.parse import unquote_to_bytes

from flask import Blueprint, Flask, Request, Response, current_app, g, request
from flask.globals import app_ctx, request_ctx
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface, SessionMixin
from itsdangerous import URLSafeTimedSerializer
from sqlalchemy.engine import Engine
from werkzeug.middleware.proxy_fix import ProxyFix

from palate.errors import InputError
from palate.store.accounts import Accounts
from palate.web import problems
from palate.web.access import Gate, csrf_token
from palate.web.contract import contract_of
from palate.web.metrics import Metrics
from palate.web.pages import blueprint as own_pages
from palate.web.problems import FieldErrors
from palate.web.secret import secret_key
from palate.web.settings import WebSettings
from palate.web.shedding import SLOTS, Shedding

access_log = logging.getLogger("palate.access")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}
"""On every answer, unless the view itself says otherwise."""
_HEADERS = [(name.lower(), (name, value)) for name, value in HEADERS.items()]
_REQUEST = "palate.request_id"


@dataclass
class Shared:
    """What `palate.web` keeps for one app, in `app.extensions["palate"]`."""

    accounts: Accounts
    engine: Engine
    settings: WebSettings
    metrics: Metrics
    title: str
    version: str
    description: str
    nav: list[tuple[str, str]]
    checks: dict[str, Callable[[], object]] = field(default_factory=dict)
    openapi: dict[str, object] | None = None


def create_app(
    name: str,
    settings: WebSettings,
    engine: Engine,
    *,
    title: str,
    version: str,
    blueprints: Iterable[Blueprint],
    description: str = "",
    nav: Sequence[tuple[str, str]] = (),
    slots: int = SLOTS,
) -> Flask:
    """The Flask app of the house `name`, whose database `engine` is migrated already.

    `nav` are the links of the bar on pages: (text, endpoint); `slots` requests are at work at once in a process. Raises
    StoreError when the cookie key cannot be kept.
    """
    app = House("palate.web")
    app.name = name
    app.secret_key = key = secret_key(settings.home)
    app.config.update(
        MAX_CONTENT_LENGTH=settings.max_body_bytes,
        MAX_JSON_DEPTH=settings.max_json_depth,
        PERMANENT_SESSION_LIFETIME=timedelta(hours=settings.session_hours),
        # Cookies know no ports: both houses on one host need names of their own.
        SESSION_COOKIE_NAME=f"palate_{name}",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        TRAP_HTTP_EXCEPTIONS=False,
        PROPAGATE_EXCEPTIONS=False,
    )
    counted = Metrics()
    app.wsgi_app = Shedding(  # type: ignore[method-assign]
        app.wsgi_app,
        lambda method: counted.observe(method, "none", 503, 0.0),
        slots=slots,
        body=settings.max_body_bytes,
    )
    if (hops := settings.trusted_proxies) > 0:
        # The throttle counts by address, and cookies are Secure by scheme: both must be the client's own.
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops)  # type: ignore[method-assign]
    app.session_interface = Sessions()
    app.jinja_options = {"autoescape": True}
    accounts = Accounts(engine)
    app.extensions["palate"] = Shared(accounts, engine, settings, counted, title, version, description, list(nav))
    problems.register(app)
    gate = Gate(accounts, key)
    app.before_request(_begin)
    app.before_request(gate.admit)
    app.before_request(_refuse_stray_query)
    app.after_request(_end)
    app.context_processor(
        lambda: {"me": g.get("principal"), "csrf_token": csrf_token, "site": app.extensions["palate"]}
    )
    for blueprint in (own_pages(), *blueprints):
        app.register_blueprint(blueprint)
    return app


def add_check(app: Flask, name: str, check: Callable[[], object]) -> None:
    """Let /ready call `check`; what it raises (a PalateError says it best) means: not ready."""
    app.extensions["palate"].checks[name] = check


class House(Flask):
    """Flask, with what every answer carries put on at the very end, where it costs next to nothing."""

    def wsgi_app(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        given = environ.get("HTTP_X_REQUEST_ID", "")
        own = given if _REQUEST_ID.fullmatch(given) else f"{random.getrandbits(64):016x}"
        environ[_REQUEST] = own

        def dressed(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            there = {name.lower() for name, _ in headers}
            headers.extend([pair for name, pair in _HEADERS if name not in there])
            headers.append(("X-Request-Id", own))
            return start_response(status, headers, *rest)

        return super().wsgi_app(environ, dressed)

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Views are plain functions here; Flask would find that out anew for each call."""
        return func


class Sessions(SecureCookieSessionInterface):
    """Signed cookies, sent over HTTPS only, except on this very machine where there is no wire to listen on.

    A program sends no cookie and gets none: then nothing is signed or read.
    """

    def get_cookie_secure(self, app: Flask) -> bool:
        return request.is_secure or not is_loopback(request)

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        return super().open_session(app, request) if "HTTP_COOKIE" in request.environ else self.session_class()

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        if session or session.modified or session.accessed:
            super().save_session(app, session, response)

    @cache  # noqa: B019 (one per app, and as long-lived)
    def get_signing_serializer(self, app: Flask) -> URLSafeTimedSerializer | None:
        return super().get_signing_serializer(app)


def is_loopback(asked: Request) -> bool:
    """Whether the address bar names this machine itself."""
    host = asked.host.rsplit(":", 1)[0] if not asked.host.startswith("[") else asked.host.split("]")[0] + "]"
    return host in ("localhost", "[::1]") or bool(re.fullmatch(r"127(\.\d{1,3}){3}", host))


def _begin() -> None:
    asked, held = request_ctx.request, app_ctx.g  # each use of `request` and `g` looks them up anew
    held.started = time.perf_counter()
    held.request_id = asked.environ.get(_REQUEST, "")
    path, query = asked.environ.get("PATH_INFO", ""), asked.query_string
    if path.isascii() and b"%" not in query and query.isascii():
        return
    try:
        unquote_to_bytes(query).decode("utf-8")
        path.encode("latin-1").decode("utf-8")
    except UnicodeDecodeError:
        raise InputError("The address is not UTF-8.") from None


def _refuse_stray_query() -> None:
    """A route with a contract but no query model takes no parameters at all."""
    if request.query_string and request.endpoint is not None:
        contract = contract_of(current_app.view_functions[request.endpoint])
        if contract is not None and contract.query is None:
            raise FieldErrors([(name, "There is no such parameter.") for name in list(request.args)[:50]])


def _end(response: Response) -> Response:
    asked, held = request_ctx.request, app_ctx.g
    shared: Shared = app_ctx.app.extensions["palate"]
    now = time.perf_counter()
    seconds = now - held.get("started", now)
    route = asked.url_rule.rule if asked.url_rule is not None else "none"
    shared.metrics.observe(asked.method, route, response.status_code, seconds)
    if access_log.isEnabledFor(logging.INFO):
        who = held.get("principal")
        line = {
            "request": held.get("request_id", ""),
            "method": asked.method,
            # Without its query: that may hold a one-time code.
            "path": asked.path,
            "status": response.status_code,
            "ms": round(seconds * 1000, 2),
            "who": f"{who.kind}:{who.id}" if who else None,
            "from": asked.remote_addr,
        }
        access_log.info("%s", json.dumps(line))
    return response
