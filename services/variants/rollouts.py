"""Roll-outs: traffic moves to a variant step by step, and back at once when a bound is broken.

What is decided here depends on nothing but the roll-out, the counts and the time, so that it can be simulated.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from services.variants.evidence import Loss, excess
from services.variants.tallies import SLOT, Tally

Json = dict[str, Any]

LATE = 5
"""Seconds after which every worker has written down what it counted in a slot."""
RUNNING, DONE, BACK, STOPPED = "running", "done", "rolled-back", "stopped"
PAUSED = "paused"
"""How a running roll-out is told that waits at its step."""


@dataclass(frozen=True)
class Bounds:
    """What a variant must keep. errors: the share of its requests that may fail. slow_ms, slow: the share that may
    take longer. click_through: the least, as a share of the other variants'. None: not watched.

    risk: the probability, at most, that a variant which keeps all of them is rolled back.
    """

    errors: float | None = 0.01
    slow_ms: float | None = None
    slow: float = 0.05
    click_through: float | None = None
    risk: float = 0.05

    @property
    def watched(self) -> int:
        return sum(each is not None for each in (self.errors, self.slow_ms, self.click_through))


@dataclass(frozen=True)
class Rollout:
    """A roll-out and where it stands.

    steps: the shares of the traffic that `to` gets, one after the other, each for `seconds`. least: requests that `to`
    must have answered in a step before the next. click_seconds: how long a click may take to count for the bound.
    before: the weights to go back to. slot: the first one whose lists are not yet in `loss`. evidence: by bound, as
    multiples of what would be enough to go back (1 and more is). paused: since when it waits at its step, if it does.
    waited: seconds for which it did so before, in this step.
    """

    to: str
    kind: str
    steps: tuple[float, ...]
    seconds: float
    bounds: Bounds
    before: Mapping[str, float]
    began: float
    step_began: float
    slot: int
    least: int = 0
    click_seconds: float = 60.0
    step: int = 0
    state: str = RUNNING
    reason: str = ""
    loss: Loss | None = None
    evidence: Mapping[str, float] = field(default_factory=dict)
    ended: float | None = None
    paused: float | None = None
    waited: float = 0.0

    def document(self) -> Json:
        return asdict(self)

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Rollout:
        found = dict(document)
        loss = found["loss"]
        found["loss"] = None if loss is None else Loss(**{**loss, "logs": tuple(loss["logs"])})
        return cls(**{**found, "steps": tuple(found["steps"]), "bounds": Bounds(**found["bounds"])})

    @property
    def weights(self) -> dict[str, float]:
        """The weights that hold now."""
        if self.state in (BACK, STOPPED):
            return dict(self.before)
        return shares(self.before, self.to, self.steps[self.step])

    @property
    def share(self) -> float:
        """What `to` has of the traffic now."""
        return self.weights[self.to] / sum(self.weights.values())

    @property
    def standing(self) -> str:
        """The state, as people are told it."""
        return PAUSED if self.state == RUNNING and self.paused is not None else self.state

    def settled(self, now: float) -> int:
        """The first slot of which lists may still be clicked, or not be counted yet."""
        return int((now - self.click_seconds - LATE) // SLOT)


def begun(
    kind: str,
    to: str,
    steps: tuple[float, ...],
    seconds: float,
    bounds: Bounds,
    before: Mapping[str, float],
    now: float,
    **more: Any,
) -> Rollout:
    """A roll-out that begins now. What was counted in the slot of now belongs to what was before."""
    loss = None if bounds.click_through is None else Loss(bounds.click_through)
    return Rollout(to, kind, steps, seconds, bounds, dict(before), now, now, int(now // SLOT) + 1, loss=loss, **more)


def looked(rollout: Rollout, own: Tally, blocks: list[tuple[Tally, Tally]], now: float) -> Rollout:
    """The roll-out after a look: as it was, a step further, done, or rolled back.

    own: what was counted of `to` since the step began. blocks: of `to` and of the others together, the settled slots
    from `rollout.slot` on.
    """
    bounds = rollout.bounds
    loss = rollout.loss
    if loss is not None:
        for to, others in blocks:
            loss = loss.after(to.clicks, to.lists, others.clicks, others.lists)
    # Each bound may cost its part of the risk, and those that begin anew at each step its part of that.
    enough = math.log(max(bounds.watched, 1) / bounds.risk)
    each_step = enough + math.log(len(rollout.steps))
    found: dict[str, float] = {}
    if bounds.errors is not None:
        found["errors"] = excess(own.errors, own.requests, bounds.errors) / each_step
    if bounds.slow_ms is not None:
        found["latency"] = excess(own.slower(bounds.slow_ms), own.requests, bounds.slow) / each_step
    if loss is not None:
        found["click-through"] = loss.log / enough
    evidence = {name: round(max(value, 0.0), 4) for name, value in found.items()}
    after = replace(rollout, loss=loss, evidence=evidence, slot=max(rollout.slot, rollout.settled(now)))
    broken = next((name for name, value in found.items() if value >= 1), None)
    if broken is not None:
        return replace(after, state=BACK, reason=_reason(broken, bounds, own, loss), ended=now)
    went = now - rollout.step_began - rollout.waited
    if rollout.paused is not None or went < rollout.seconds or own.requests < rollout.least:
        return after
    if rollout.step + 1 < len(rollout.steps):
        return replace(after, step=rollout.step + 1, step_began=now, waited=0.0)
    return replace(after, state=DONE, ended=now)


def paused(rollout: Rollout, now: float) -> Rollout:
    """It stays at its step, is watched as before, and goes back as before."""
    return rollout if rollout.paused is not None else replace(rollout, paused=now)


def resumed(rollout: Rollout, now: float) -> Rollout:
    """It goes on; for the step's time the pause does not count."""
    if rollout.paused is None:
        return rollout
    return replace(rollout, paused=None, waited=rollout.waited + max(now - rollout.paused, 0.0))


def _reason(broken: str, bounds: Bounds, own: Tally, loss: Loss | None) -> str:
    if broken == "errors":
        return f"{own.errors} of {own.requests} requests failed; {bounds.errors:.3g} of them may."
    if broken == "latency" and bounds.slow_ms is not None:
        late = own.slower(bounds.slow_ms)
        return (
            f"{late} of {own.requests} requests took longer than {bounds.slow_ms:g} ms; {bounds.slow:.3g} of them may."
        )
    if loss is None:
        return broken
    return (
        f"{loss.clicks} of {loss.lists} lists were clicked, of the others' {loss.base_clicks} of {loss.base_lists}; "
        f"{loss.share:.3g} of their click-through is the least."
    )


def shares(weights: Mapping[str, float], to: str, share: float) -> dict[str, float]:
    """Weights that sum to 1 and give `share` to `to`, the others the rest as they had it among themselves."""
    others = {name: weight for name, weight in weights.items() if name != to}
    total = sum(others.values())
    if not total:
        return {**dict.fromkeys(others, 0.0), to: 1.0}
    # Rounded, so that a tenth is told as 0.1.
    return {**{name: round((1 - share) * weight / total, 12) for name, weight in others.items()}, to: share}
