"""Who asks, and the service that answers."""

from __future__ import annotations

from flask import current_app

from labeling.service import Labeling
from palate.store import Principal
from palate.web import principal

LABEL, MANAGE = "label", "label:manage"
"""Scopes: doing the work; making projects and taking the answers out."""


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
