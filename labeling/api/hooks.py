"""Routes of a project's webhooks."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Self

from flask import current_app
from pydantic import Field, StrictStr

from labeling.api.caller import by, labeling, me
from labeling.hooks import store
from labeling.hooks.service import Hooks
from labeling.store.members import ADMINISTRATOR
from palate.web import Model, gives, takes


class HookIn(Model):
    """Where to, and of what: answers.created, answers.changed, run.changed, project.done; of everything unless told."""

    url: StrictStr
    events: list[StrictStr] = Field(default_factory=list, max_length=20)


class HookOut(Model):
    """A webhook."""

    id: int
    url: str
    events: list[str]
    person: str
    created: datetime

    @classmethod
    def of(cls, hook: store.Hook, **more: Any) -> Self:
        same = {name: getattr(hook, name) for name in ("id", "url", "person", "created")}
        return cls(**same, events=list(hook.events), **more)


class NewHook(HookOut):
    """A webhook that was made now. The `secret` is shown this once; messages are signed with it."""

    secret: str


class HookList(Model):
    """The project's webhooks, the oldest first."""

    webhooks: list[HookOut]


class DeliveryOut(Model):
    """One message: waiting, delivered or failed, after so many `tries`; `status` and `error` are the last one's."""

    id: int
    event: str
    state: str
    tries: int
    status: int | None
    error: str | None
    created: datetime
    finished: datetime | None
    body: str

    @classmethod
    def of(cls, delivery: store.Delivery) -> Self:
        return cls(**{name: getattr(delivery, name) for name in cls.model_fields})


class DeliveryList(Model):
    """What a webhook was sent, the newest first; at most 100."""

    deliveries: list[DeliveryOut]


def hooks() -> Hooks:
    """The webhooks of the running app."""
    return Hooks(labeling().engine, current_app.extensions["palate"].settings.webhook_hosts)


@by(ADMINISTRATOR)
@gives(HookList)
def list_hooks(project_id: int) -> HookList:
    """The project's webhooks."""
    return HookList(webhooks=[HookOut.of(hook) for hook in hooks().listed(project_id)])


@by(ADMINISTRATOR)
@takes(body=HookIn)
@gives(NewHook, status=201)
def add_hook(project_id: int, body: HookIn) -> tuple[NewHook, int]:
    """Have another service told of what happens in the project from now on, by signed requests."""
    hook = hooks().add(project_id, body.url, body.events, me())
    return NewHook.of(hook, secret=hook.secret), 201


@by(ADMINISTRATOR)
@gives(HookOut)
def remove_hook(project_id: int, hook_id: int) -> HookOut:
    """Forget a webhook and what it was sent."""
    return HookOut.of(hooks().remove(project_id, hook_id))


@by(ADMINISTRATOR)
@gives(DeliveryList)
def list_deliveries(project_id: int, hook_id: int) -> DeliveryList:
    """What a webhook was sent, and what came of it."""
    return DeliveryList(deliveries=[DeliveryOut.of(each) for each in hooks().deliveries(project_id, hook_id)])


@by(ADMINISTRATOR)
@gives(DeliveryOut, status=202)
def send_again(project_id: int, hook_id: int, delivery_id: int) -> tuple[DeliveryOut, int]:
    """Send a message once more; 409 while it is on its way."""
    return DeliveryOut.of(hooks().again(project_id, hook_id, delivery_id)), 202


@by(ADMINISTRATOR)
@gives(DeliveryOut, status=202)
def ping(project_id: int, hook_id: int) -> tuple[DeliveryOut, int]:
    """Send a message that says nothing but that it arrives."""
    return DeliveryOut.of(hooks().ping(project_id, hook_id)), 202


ONE = "/projects/<int:project_id>/webhooks"
RULES = [
    ("GET", ONE, list_hooks),
    ("POST", ONE, add_hook),
    ("DELETE", f"{ONE}/<int:hook_id>", remove_hook),
    ("POST", f"{ONE}/<int:hook_id>/ping", ping),
    ("GET", f"{ONE}/<int:hook_id>/deliveries", list_deliveries),
    ("POST", f"{ONE}/<int:hook_id>/deliveries/<int:delivery_id>/send", send_again),
]
"""Method, path, view."""
