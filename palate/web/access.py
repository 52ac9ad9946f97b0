"""Who may call what. Every route declares it; one that doesn't is refused.

A program sends `Authorization: Bearer <token>`, or signs as AWS's clients do (`sigv4`); a person has a signed session
cookie from /sign-in, and each of their unsafe requests (POST, PUT, PATCH, DELETE) proves by a CSRF token that it came
from one of our pages.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

from flask import Blueprint, Flask, g, request, session
from flask.globals import app_ctx, request_ctx

from palate.errors import ForbiddenError, UnauthenticatedError
from palate.store.accounts import Accounts, Principal
from palate.web import sigv4

View = TypeVar("View", bound=Callable[..., Any])
PUBLIC = ""
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
CACHE_SECONDS = 0.5
"""How long a revoked key may still work in another worker."""
CACHE_SIZE = 4096


def require(scope: str) -> Callable[[View], View]:
    """Only for who holds `scope`. Stands anywhere below the route's own decorator."""

    def decorate(view: View) -> View:
        view.__palate_scope__ = scope  # type: ignore[attr-defined]
        return view

    return decorate


def public(view: View, *, password: str = "") -> View:
    """For everybody, known or not.

    password: the scope of keys of which the view's house takes one as the password of basic authentication. It looks at
    them by itself; here it is only told.
    """
    view.__palate_scope__, view.__palate_password__ = PUBLIC, password  # type: ignore[attr-defined]
    return view


def require_all(blueprint: Blueprint, scope: str) -> Blueprint:
    """The scope of each route of `blueprint` that declares none itself."""
    blueprint.__palate_scope__ = scope  # type: ignore[attr-defined]
    return blueprint


def scope_of(app: Flask, endpoint: str) -> str | None:
    """The scope a route needs: "" when it is public, None when nothing was declared, which means it is refused."""
    if endpoint == "static" or endpoint.endswith(".static"):
        return PUBLIC
    declared: str | None = getattr(app.view_functions[endpoint], "__palate_scope__", None)
    if declared is None and "." in endpoint:
        blueprint = app.blueprints[endpoint.rsplit(".", 1)[0]]
        declared = getattr(blueprint, "__palate_scope__", None)
    return declared


def principal() -> Principal:
    """Who makes this request. Raises UnauthenticatedError on a public route called by nobody we know."""
    found: Principal | None = g.get("principal")
    if found is None:
        raise UnauthenticatedError("Sign in, or send an API key.")
    return found


def csrf_token() -> str:
    """The token that forms and scripts of this session send back."""
    if "csrf" not in session:
        session["csrf"] = secrets.token_urlsafe(24)
    token: str = session["csrf"]
    return token


def check_csrf() -> None:
    """Raises ForbiddenError unless the request carries this session's token."""
    sent = request.headers.get("X-CSRF-Token") or request.form.get("csrf_token", "")
    kept = session.get("csrf", "")
    if not kept or not hmac.compare_digest(sent.encode(), kept.encode()):
        raise ForbiddenError(
            "The form is too old or was not sent from this site.", hint="Reload the page and try again."
        )


def start_session(who: Principal) -> None:
    """Sign `who` in: a fresh session, so that nothing set before it lives on."""
    session.clear()
    session.permanent = True
    session["who"] = [who.kind, who.id, who.stamp]
    csrf_token()


class Gate:
    """Identifies and admits each request of one app. installation: what the secrets of keys are made with."""

    def __init__(self, accounts: Accounts, installation: bytes) -> None:
        self._accounts, self._installation = accounts, installation
        self._cache: dict[tuple[str, ...], tuple[float, Principal]] = {}

    def admit(self) -> None:
        """Before each request: sets `g.principal`. Raises UnauthenticatedError or ForbiddenError."""
        asked, held = request_ctx.request, app_ctx.g
        held.principal = None
        endpoint = asked.endpoint
        if endpoint is None:
            return
        scope = scope_of(app_ctx.app, endpoint)
        if scope == PUBLIC and (endpoint == "static" or endpoint.endswith(".static")):
            return
        header = asked.headers.get("Authorization")
        if header is not None:
            known = self._signed if header.startswith(sigv4.SCHEME) else self._bearer
            held.principal = known(header, strict=scope != PUBLIC)
        elif session.get("who"):
            held.principal = self._session()
            if held.principal is not None and asked.method not in SAFE:
                check_csrf()
        if scope is None:
            raise ForbiddenError("This route declares no scope, so nobody may call it.")
        if scope == PUBLIC:
            return
        if not principal().allows(scope):
            raise ForbiddenError(f"This needs the scope {scope}.")

    def _bearer(self, header: str, *, strict: bool) -> Principal | None:
        kind, _, token = header.partition(" ")
        token = token.strip()
        if kind.lower() != "bearer" or not token:
            if strict:
                raise UnauthenticatedError("The Authorization header must be: Bearer TOKEN.")
            return None
        key = ("token", hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest())
        found = self._cached(key, lambda: self._accounts.check_token(token))
        if found is None and strict:
            raise UnauthenticatedError("The API key is unknown or was revoked.")
        return found

    def _signed(self, header: str, *, strict: bool) -> Principal | None:
        if not strict:
            return None
        signed = sigv4.read(header)
        found = self._cached(("key", signed.key), lambda: self._accounts.key_principal(signed.key))
        if found is None:
            raise UnauthenticatedError("The key that the request is signed with is unknown or was revoked.")
        secret = sigv4.secret_of(self._installation, signed.key, found.stamp)
        sigv4.verify(request, signed, secret, datetime.now(UTC))
        return found

    def _session(self) -> Principal | None:
        kind, name, stamp = session["who"]
        look = self._accounts.key_principal if kind == "key" else self._accounts.person_principal
        found = self._cached((kind, name), lambda: look(name))
        if found is None or not hmac.compare_digest(found.stamp, stamp):
            session.clear()
            return None
        return found

    def _cached(self, key: tuple[str, ...], look: Callable[[], Principal | None]) -> Principal | None:
        now = time.monotonic()
        kept = self._cache.get(key)
        if kept is not None and kept[0] > now:
            return kept[1]
        found = look()
        if found is None:
            self._cache.pop(key, None)
            return None
        if len(self._cache) >= CACHE_SIZE:
            self._cache.clear()
        self._cache[key] = (now + CACHE_SECONDS, found)
        return found
