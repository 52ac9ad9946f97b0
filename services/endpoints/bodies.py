"""What the routes under /v1 take and give."""

from __future__ import annotations

from pathlib import PurePath
from typing import Annotated, Self

from pydantic import Field, model_validator

from palate.web import Body, Model
from services.endpoints.hosting import Wanted
from services.endpoints.source import Source
from services.endpoints.store import ONLY
from services.variants import bodies
from services.variants.bodies import VariantStats

NAME = r"^[A-Za-z0-9](-*[A-Za-z0-9])*$"
"""Names as SageMaker takes them."""
Weight = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]


class SourceBody(Body):
    """Where a model comes from: a bundle, or a registered model."""

    bundle: str = Field("", max_length=4096, description="A bundle's directory, as the server's machine names it.")
    model: str = Field("", max_length=250, description="A registered model, in place of `bundle`.")
    version: str = Field("", max_length=250, description="Its version, or an alias, which is resolved now.")
    part: str = Field("", max_length=100, description="Serve only this stage of a pipeline.")

    @property
    def source(self) -> Source:
        return Source(self.bundle, self.model, self.version, self.part)

    def _checked(self) -> None:
        if bool(self.bundle) == bool(self.model):
            raise ValueError("Give either a bundle or a model.")
        if bool(self.model) != bool(self.version):
            raise ValueError("A model needs a version or an alias, and a version a model.")
        if self.bundle and not PurePath(self.bundle).is_absolute():
            raise ValueError("The bundle's path must be absolute: workers have no common working directory.")


class VariantBody(SourceBody):
    """One of the models behind an endpoint."""

    name: Annotated[str, Field(pattern=NAME, max_length=63), bodies.Named]
    weight: Weight | None = Field(None, description="Its part of the traffic, of the sum of all. 1 unless told.")
    shadow: bool = Field(False, description="It is asked what is asked of the others, and never answers.")

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        self._checked()
        if self.shadow and self.weight:
            raise ValueError("A shadow has no traffic, and so no weight.")
        return self

    @property
    def wanted(self) -> Wanted:
        weight = 0.0 if self.shadow else 1.0 if self.weight is None else self.weight
        return Wanted(self.name, self.source, weight, self.shadow)


class EndpointBody(SourceBody):
    """Which model to deploy; or several, as `variants`."""

    variants: list[VariantBody] = Field(default_factory=list, max_length=20)

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        if not (self.variants or self.bundle or self.model):
            raise ValueError("Give a bundle, a model or variants.")
        if not self.variants:
            self._checked()
        elif self.bundle or self.model or self.version or self.part:
            raise ValueError("Give either one model or variants.")
        elif len({each.name for each in self.variants}) < len(self.variants):
            raise ValueError("Two variants have the same name.")
        elif not any(each.wanted.weight for each in self.variants):
            raise ValueError("No variant has any traffic.")
        return self

    @property
    def wanted(self) -> list[Wanted]:
        return [each.wanted for each in self.variants] or [Wanted(ONLY, self.source)]


class WeightsBody(Body):
    """Other weights of the variants named; the others keep theirs."""

    weights: dict[str, Weight] = Field(min_length=1, max_length=20)


class VariantOut(Model):
    name: str
    kind: str
    weight: float
    share: float = Field(description="Of the traffic.")
    shadow: bool
    loaded: bool = Field(description="Whether the worker that answers has its model.")
    bundle: str
    model: str
    version: str
    part: str


class EndpointOut(Model):
    """An endpoint, and how it does in the worker that answers; of several variants, kind and model are the first's."""

    name: str
    kind: str
    status: str = Field(description="InService, or Failed where no model could be loaded.")
    inputs: dict[str, str] | None = Field(description="What the model takes: column to Arrow type.")
    outputs: dict[str, str] | None = Field(description="What it gives.")
    bundle: str
    model: str
    version: str
    part: str
    variants: list[VariantOut]
    deployed_at: str
    rollout: int | None = Field(description="The roll-out that moves its weights now.")
    problem: str | None = Field(description="Why the latest deployment is not what is served.")


class Endpoints(Model):
    endpoints: list[EndpointOut]


class RolloutOut(bodies.RolloutOut):
    """`state` is running, paused, done, rolled-back or stopped. `evidence`: of each bound, 1 is enough to roll back."""

    endpoint: str


class Rollouts(bodies.Rollouts):
    rollouts: list[RolloutOut]  # type: ignore[assignment]


class StatsOut(Model):
    endpoint: str
    variants: list[VariantStats]
