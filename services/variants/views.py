"""The routes of roll-outs, the same for whatever has variants; each house says whose they are and who may move them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from flask import Blueprint

from palate.web import gives, require, takes
from services.variants.bodies import BoundsBody, RolloutBody, RolloutOut, RolloutPatch, Rollouts, who_asks
from services.variants.rollouts import Rollout
from services.variants.store import RolloutStore

Do = Literal["pause", "resume", "stop"]


@dataclass(frozen=True)
class RolloutViews:
    """The roll-outs of one house over HTTP.

    store, changed: the house's roll-outs, and what this worker is to do once weights have moved; asked within a
    request. scope: who may move traffic. body, bounds, out, listed: what may be said and is answered. told: the fields
    that the house adds to an answer, of a name and a roll-out.
    """

    store: Callable[[], RolloutStore]
    changed: Callable[[], object]
    scope: str
    told: Callable[[str, Rollout], dict[str, Any]]
    body: type[RolloutBody] = RolloutBody
    bounds: type[BoundsBody] = BoundsBody
    out: type[RolloutOut] = RolloutOut
    listed: type[Rollouts] = Rollouts

    def start(self, name: str, body: RolloutBody) -> tuple[int, Rollout]:
        """Begins a roll-out for whoever asks. Raises FieldErrors, UnknownIdError, ConflictError."""
        begun = self.store().begin(name, who_asks(), body.begun)
        self.changed()
        return begun

    def turned(self, name: str, number: int, do: Do) -> Rollout:
        """The roll-out after whoever asks did that to it. Raises UnknownIdError, ConflictError."""
        store = self.store()
        found: Rollout = {"pause": store.pause, "resume": store.resume, "stop": store.stop}[do](
            name, number, who_asks()
        )
        self.changed()
        return found

    def add_to(self, blueprint: Blueprint, path: str) -> None:
        """Adds the routes below `path`, which has the name in it as `<name>`."""

        @gives(self.listed)
        def list_rollouts(name: str) -> Rollouts:
            """List the latest 20 roll-outs, the newest first."""
            store = self.store()
            store.arms(name)
            return self.listed(rollouts=[self._shown(name, number, each) for number, each in store.rollouts(name)])

        @require(self.scope)
        @takes(body=self.body)
        @gives(self.out, status=201)
        def post_rollout(name: str, body: RolloutBody) -> tuple[RolloutOut, int]:
            """Begin to move the traffic to a variant.

            It goes on by itself, and back by itself as soon as the evidence is enough that a bound is broken; with a
            probability of at most `risk` it does so to a variant that keeps them all. Refused with 409 while another
            runs.
            """
            return self._shown(name, *self.start(name, body)), 201

        @gives(self.out)
        def get_rollout(name: str, rollout: int) -> RolloutOut:
            """Say where a roll-out stands, and how much evidence there is against each bound."""
            return self._shown(name, rollout, self.store().rollout(name, rollout))

        @require(self.scope)
        @takes(body=RolloutPatch)
        @gives(self.out)
        def patch_rollout(name: str, rollout: int, body: RolloutPatch) -> RolloutOut:
            """Pause a roll-out, or let it go on.

            A paused one stays at its step; it is watched still, and rolled back when a bound is broken. Refused with
            409 if it has ended.
            """
            do: Do = "pause" if body.state == "paused" else "resume"
            return self._shown(name, rollout, self.turned(name, rollout, do))

        @require(self.scope)
        @gives(self.out)
        def stop_rollout(name: str, rollout: int) -> RolloutOut:
            """Stop a roll-out, or undo one that is done: the weights are those before it again.

            One that was stopped or rolled back stays as it is. Refused with 409 if the weights were changed since it
            was done.
            """
            return self._shown(name, rollout, self.turned(name, rollout, "stop"))

        blueprint.get(path)(list_rollouts)
        blueprint.post(path)(post_rollout)
        blueprint.get(f"{path}/<int:rollout>")(get_rollout)
        blueprint.patch(f"{path}/<int:rollout>")(patch_rollout)
        blueprint.delete(f"{path}/<int:rollout>")(stop_rollout)

    def _shown(self, name: str, number: int, rollout: Rollout) -> RolloutOut:
        return self.out.of(number, rollout, self.bounds, **self.told(name, rollout))
