"""What may be said of roll-outs over HTTP, and what is answered; each house adds what it alone has."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    StringConstraints,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from palate.web import Body, Model, principal
from palate.web.problems import FieldErrors
from services.variants.rollouts import Bounds, Rollout, begun
from services.variants.store import Arm
from services.variants.tallies import Tally


def _in_words(said: Any, check: ValidatorFunctionWrapHandler) -> Any:
    try:
        return check(said)
    except ValidationError:
        raise ValueError("A name is letters, digits and inner '-', at most 63.") from None


Named = WrapValidator(_in_words)
"""Tells what a name is in words, where the pattern that stands before it is not met."""
Share = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]
_MONTH = 30 * 86_400


class BoundsBody(Body):
    """What the variant must keep, or it is rolled back. null: not watched."""

    errors: Share | None = Field(0.01, description="The share of its requests that may fail.")
    slow_ms: Annotated[float, Field(gt=0, le=5000, allow_inf_nan=False)] | None = Field(
        None, description="Requests that take longer are slow."
    )
    slow: Share = Field(0.05, description="The share of its requests that may be slow.")
    risk: Annotated[float, Field(gt=0, le=0.5, allow_inf_nan=False)] = Field(
        0.05, description="The probability, at most, of rolling back a variant that keeps all of them."
    )

    @property
    def bounds(self) -> Bounds:
        return Bounds(**self.model_dump())

    @classmethod
    def of(cls, bounds: Bounds) -> Self:
        """Those of a roll-out."""
        return cls(**{name: getattr(bounds, name) for name in cls.model_fields})


class RolloutBody(Body):
    """Move the traffic to a variant: canary (a share, then all), linear (share by share) or blue-green (all)."""

    variant: Annotated[str, StringConstraints(min_length=1, max_length=63)]
    kind: Literal["canary", "linear", "blue-green"] = "canary"
    share: Annotated[float, Field(ge=0.001, le=1, allow_inf_nan=False)] = Field(
        0.1, description="Of the traffic, in the first step (and by how much each step goes on, if linear)."
    )
    seconds: Annotated[float, Field(gt=0, le=_MONTH, allow_inf_nan=False)] = Field(
        600, description="How long each step takes at least. The last one is watched as long."
    )
    least_requests: int = Field(0, ge=0, le=10**9, description="What the variant must have answered in each step.")
    bounds: BoundsBody = Field(default_factory=BoundsBody)

    @model_validator(mode="after")
    def _watched(self) -> Self:
        if self.bounds.slow_ms is None and self.bounds.slow != BoundsBody().slow:
            raise ValueError("bounds: `slow` is watched only with `slow_ms`, above which a request is slow. Give both.")
        return self

    @property
    def steps(self) -> tuple[float, ...]:
        if self.kind == "blue-green" or self.share == 1:
            return (1.0,)
        if self.kind == "canary":
            return self.share, 1.0
        return (*(round(step * self.share, 6) for step in range(1, math.ceil(1 / self.share))), 1.0)

    def begun(self, before: Mapping[str, float], **more: Any) -> Rollout:
        """The roll-out, from these weights on. Raises FieldErrors for a variant that is not there, or never answers."""
        if self.variant not in before:
            known = ", ".join(before)
            raise FieldErrors([("variant", f"There is no such variant to roll out; there are: {known}.")])
        bounds, least = self.bounds.bounds, self.least_requests
        return begun(
            self.kind, self.variant, self.steps, self.seconds, bounds, before, time.time(), least=least, **more
        )


class RolloutPatch(Body):
    """Whether it goes on."""

    state: Literal["paused", "running"]


class RolloutOut(Model):
    """`state` is running, paused, done, rolled-back or stopped. `evidence`: of each bound, 1 is enough to roll back."""

    rollout: int
    variant: str
    kind: str
    state: str
    reason: str
    share: float = Field(description="What the variant has of the traffic by this roll-out.")
    step: int
    steps: list[float]
    seconds: float
    least_requests: int
    bounds: BoundsBody
    evidence: dict[str, float]
    began_at: str
    step_began_at: str
    ended_at: str | None

    @classmethod
    def of(cls, number: int, rollout: Rollout, bounds: type[BoundsBody], **more: Any) -> Self:
        """As a house tells it; more: the fields that it adds."""
        return cls(
            rollout=number,
            variant=rollout.to,
            kind=rollout.kind,
            state=rollout.standing,
            reason=rollout.reason,
            share=rollout.share,
            step=rollout.step,
            steps=list(rollout.steps),
            seconds=rollout.seconds,
            least_requests=rollout.least,
            bounds=bounds.of(rollout.bounds),
            evidence=dict(rollout.evidence),
            began_at=moment(rollout.began),
            step_began_at=moment(rollout.step_began),
            ended_at=None if rollout.ended is None else moment(rollout.ended),
            **more,
        )


class Rollouts(Model):
    rollouts: list[RolloutOut]


class LatencyOut(Model):
    """In milliseconds, to the class in which each lies; null without requests."""

    p50: float | None
    p95: float | None
    p99: float | None

    @classmethod
    def of(cls, tally: Tally) -> LatencyOut:
        return cls(p50=tally.quantile(0.5), p95=tally.quantile(0.95), p99=tally.quantile(0.99))


class StatsPage(Model):
    seconds: float | None = Field(None, gt=0, allow_inf_nan=False, description="Only the latest so many; else all.")


class VariantStats(Model):
    name: str
    shadow: bool
    weight: float
    requests: int
    errors: int
    dropped: int = Field(description="Requests that a shadow was not asked, because too many waited.")
    latency_ms: LatencyOut

    @classmethod
    def of(cls, arm: Arm, tally: Tally, **more: Any) -> Self:
        """As a house tells it; more: the fields that it adds."""
        return cls(
            name=arm.name,
            shadow=arm.shadow,
            weight=arm.weight,
            requests=tally.requests,
            errors=tally.errors,
            dropped=tally.dropped,
            latency_ms=LatencyOut.of(tally),
            **more,
        )


def who_asks() -> str:
    """Whoever asks, as it stands in the reason of a roll-out and in a history."""
    who = principal()
    return f"{who.kind} {who.name}"


def moment(seconds: float) -> str:
    """A time in seconds since 1970, as ISO 8601 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()
