"""A small house with one route of every kind, and clients of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Blueprint, Flask, render_template_string
from flask.testing import FlaskClient
from pydantic import Field
from sqlalchemy.engine import Engine

from palate.errors import CapabilityError, NotFittedError, StoreError, UnknownIdError
from palate.store import Accounts, migrate, open_engine
from palate.web import Model, WebSettings, create_app, gives, principal, public, require, require_all, takes

PASSWORD = "correct horse battery"


class Search(Model):
    limit: int = Field(10, ge=1, le=1000, description="How many to answer.")
    category: list[str] = Field([], max_length=5)


class Part(Model):
    """A part of a thing."""

    name: str = Field(max_length=50)
    weight: float = 1.0


class Thing(Model):
    id: str
    parts: list[Part] = Field(default=[])
    attributes: dict[str, Any] = Field(default={})


class Things(Model):
    things: list[Thing]
    seen_by: str


def blueprint() -> Blueprint:
    """Routes under /v1, for who holds `read` unless they say otherwise."""
    bp = require_all(Blueprint("v1", __name__, url_prefix="/v1"), "read")

    @bp.get("/things")
    @takes(query=Search)
    @gives(Things)
    def things(query: Search) -> Things:
        """List things.

        As many as there are.
        """
        return Things(things=[Thing(id=name) for name in query.category][: query.limit], seen_by=principal().name)

    @bp.post("/things")
    @require("write")
    @takes(body=Thing)
    @gives(Thing, status=201)
    def add(body: Thing) -> Thing:
        """Add a thing."""
        return body

    @bp.get("/things/<path:thing>")
    @gives(Thing)
    def thing(thing: str) -> Thing:
        """One thing."""
        raise UnknownIdError(f"There is no thing {thing[:50]!r}.", where="thing")

    @bp.get("/fail/<kind>")
    @gives(Thing)
    def fail(kind: str) -> Thing:
        """Fail in one of several ways."""
        raise {
            "bug": RuntimeError("the secret is 42"),
            "store": StoreError("The disk is full.", where="/var/lib/secret.db"),
            "model": NotFittedError("No model is loaded yet."),
            "cannot": CapabilityError("This model gives no similar items."),
        }[kind]

    @bp.post("/page")
    def page() -> str:
        return render_template_string("hello {{ me.name }}")

    return bp


def forgotten() -> Blueprint:
    """A route whose author forgot to say who may call it, and an open one."""
    bp = Blueprint("other", __name__)
    bp.get("/forgotten")(lambda: "secret")

    @bp.get("/")
    @public
    def start() -> str:
        return "welcome"

    return bp


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WebSettings:
    monkeypatch.chdir(tmp_path)
    return WebSettings.read(home=tmp_path / "home", max_body_bytes=10_000, max_json_depth=8)


@pytest.fixture
def engine(settings: WebSettings) -> Iterator[Engine]:
    engine = open_engine(settings.database("test"))
    migrate(engine, "test")
    yield engine
    engine.dispose()


@pytest.fixture
def app(settings: WebSettings, engine: Engine) -> Flask:
    return create_app(
        "test", settings, engine, title="Palate test", version="1.2.3", blueprints=[blueprint(), forgotten()],
        description="First paragraph.\n\nSecond one.", nav=[("Start", "other.start")],
    )  # fmt: skip


@pytest.fixture
def accounts(engine: Engine) -> Accounts:
    return Accounts(engine)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """Somebody unknown."""
    return app.test_client()


@pytest.fixture
def reader(app: Flask, accounts: Accounts) -> FlaskClient:
    """A program with a key of the scopes read and write."""
    client = app.test_client()
    token = accounts.create_key("reader", ["read", "write"])[1]
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token}"
    return client
