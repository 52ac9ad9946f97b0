"""What the service does with webhooks when asked to: the one door for API and pages."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import Engine

from labeling.hooks import collect, store
from labeling.hooks.store import Delivery, Hook
from labeling.outward import outward, target
from labeling.store import projects
from palate.store import reading, writing


class Hooks:
    """The webhooks of the projects in one store. inner: hosts that may be called although they lead inward."""

    def __init__(self, engine: Engine, inner: Collection[str] = ()) -> None:
        self._engine, self._inner = engine, inner

    def add(self, project_id: int, url: str, events: Sequence[str], person: str) -> Hook:
        """A new webhook, told of what happens from now on; without `events`, of everything.

        Raises ParameterError for an address that is not called or an event that is none, RemoteError for a name that is
        not found, ConflictError if the project has it already or has too many.
        """
        with reading(self._engine) as db:
            projects.get(db, project_id)
        outward(target(url), self._inner)
        with writing(self._engine) as db:
            return store.add(db, projects.get(db, project_id), url, events, person)

    def listed(self, project_id: int) -> list[Hook]:
        """The project's webhooks, the oldest first."""
        with reading(self._engine) as db:
            return store.listed(db, projects.get(db, project_id))

    def remove(self, project_id: int, hook_id: int) -> Hook:
        """Forget a webhook and its deliveries; what it was."""
        with writing(self._engine) as db:
            project = projects.get(db, project_id)
            hook = store.get(db, project, hook_id)
            store.remove(db, project, hook_id)
            return hook

    def deliveries(self, project_id: int, hook_id: int, limit: int = 100) -> list[Delivery]:
        """What a webhook was sent, the newest first."""
        with reading(self._engine) as db:
            return store.deliveries_of(db, store.get(db, projects.get(db, project_id), hook_id), limit)

    def again(self, project_id: int, hook_id: int, delivery_id: int) -> Delivery:
        """Have something sent once more. Raises ConflictError while it is on its way."""
        with writing(self._engine) as db:
            store.again(db, store.get(db, projects.get(db, project_id), hook_id), delivery_id)
        collect.enqueue(self._engine)
        with reading(self._engine) as db:
            return store.delivery(db, delivery_id)[1]

    def ping(self, project_id: int, hook_id: int) -> Delivery:
        """Send a message that says nothing but that it arrives."""
        with writing(self._engine) as db:
            project = projects.get(db, project_id)
            hook = store.get(db, project, hook_id)
            collect.ping(db, project, hook)
        collect.enqueue(self._engine)
        return self.deliveries(project_id, hook_id, 1)[0]
