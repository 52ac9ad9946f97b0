"""What the services answer of several models behind one name, as typed objects: deployments of the recommender, model
endpoints; their variants, roll-outs and counts."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from palate.client.answers import Answered


class Variant(Answered):
    """share: of the traffic. problem: why its model is not what is served."""

    name: str
    bundle: str
    model: str
    version: str
    weight: float
    share: float
    shadow: bool
    model_version: str | None
    problem: str | None


class Deployment(Answered):
    """rollout: the one that moves its weights now."""

    name: str
    variants: list[Variant]
    rules: dict[str, Any]
    filters: dict[str, str]
    clicks: list[str]
    revision: int
    changed_at: str
    rollout: int | None


class Deployments(Answered):
    deployments: list[Deployment]


class ClickThrough(Answered):
    """Clicked lists among all; 95 % of the posterior lies between low and high."""

    mean: float
    low: float
    high: float


class Latency(Answered):
    """Milliseconds; None without requests."""

    p50: float | None
    p95: float | None
    p99: float | None


class VariantStats(Answered):
    """lists: impressions. probability_best: of having the highest click-through; None of shadows."""

    name: str
    shadow: bool
    weight: float
    requests: int
    lists: int
    clicks: int
    errors: int
    dropped: int
    click_through: ClickThrough
    probability_best: float | None
    latency_ms: Latency


class Stats(Answered):
    deployment: str
    variants: list[VariantStats]


class Change(Answered):
    at: str
    who: str
    what: str


class Changes(Answered):
    changes: list[Change]


class AnyRollout(Answered):
    """`state` is running, paused, done, rolled-back or stopped. evidence: of each bound, 1 is enough to roll back."""

    rollout: int
    variant: str
    kind: str
    state: str
    reason: str
    share: float
    step: int
    steps: list[float]
    seconds: float
    least_requests: int
    bounds: dict[str, float | None]
    evidence: dict[str, float]
    began_at: str
    step_began_at: str
    ended_at: str | None


class Rollout(AnyRollout):
    """Of a deployment."""

    deployment: str
    click_seconds: float


R = TypeVar("R", bound=AnyRollout)


class RolloutsOf(Answered, Generic[R]):
    rollouts: list[R]


class Rollouts(RolloutsOf[Rollout]):
    pass


class EndpointVariant(Answered):
    """share: of the traffic. loaded: whether the worker that answered has its model."""

    name: str
    kind: str
    weight: float
    share: float
    shadow: bool
    loaded: bool
    bundle: str
    model: str
    version: str
    part: str


class Endpoint(Answered):
    """status: InService, or Failed where no model could be loaded. inputs, outputs: column to Arrow type.

    rollout: the one that moves its weights now. problem: why the latest deployment is not what is served.
    """

    name: str
    kind: str
    status: str
    inputs: dict[str, str] | None
    outputs: dict[str, str] | None
    bundle: str
    model: str
    version: str
    part: str
    variants: list[EndpointVariant]
    deployed_at: str
    rollout: int | None
    problem: str | None


class Endpoints(Answered):
    endpoints: list[Endpoint]


class EndpointVariantStats(Answered):
    """dropped: requests that a shadow was not asked, because too many waited."""

    name: str
    shadow: bool
    weight: float
    requests: int
    errors: int
    dropped: int
    latency_ms: Latency


class EndpointStats(Answered):
    endpoint: str
    variants: list[EndpointVariantStats]


class EndpointRollout(AnyRollout):
    endpoint: str


class EndpointRollouts(RolloutsOf[EndpointRollout]):
    pass


class Transform(Answered):
    """A file put through a model by a job. `state` is queued, running, done, failed or cancelled."""

    job: int
    endpoint: str
    variant: str
    input: str
    output: str
    state: str
    progress: float
    message: str
    rows: int | None
    error: str | None
