"""Who asks, and the service that answers."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from flask import current_app

from labeling.service import Labeling
from palate.store import Principal
from palate.web import principal

LABEL, MANAGE = "label", "label:manage"
"""Scopes: doing the work; making projects and taking the answers out."""


View = TypeVar("View", bound=Callable[..., Any])


def labeling() -> Labeling:
    """The service of the running app."""
    found: Labeling = current_app.extensions["labeling"]
    return found


def person_of(who: Principal) -> str:
    """Under which name somebody's work is kept: a person's name, or a key's id."""
    return who.name if who.kind == "person" else f"key:{who.id}"


def me() -> str:
    """Whoever makes this request, as a worker."""
    return person_of(principal())


def by(*roles: str) -> Callable[[View], View]:
    """Only for who has one of these roles in the project asked for, or holds the scope `MANAGE`."""

    def decorate(view: View) -> View:
        @functools.wraps(view)
        def asked(**arguments: Any) -> Any:
            if not principal().allows(MANAGE):
                labeling().require_role(arguments["project_id"], me(), roles)
            return view(**arguments)

        return asked  # type: ignore[return-value]

    return decorate
