"""What may be said of deployments over HTTP, and what is answered."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Annotated, Any, Self

from pydantic import Field, StringConstraints, field_validator, model_validator

from palate.errors import PalateError
from palate.web import Body, Model
from services.recommender.asking import RulesBody
from services.recommender.bodies import Names
from services.recommender.deployments.named_filters import MAX_FILTER, checked_filter
from services.recommender.deployments.records import Deployment, ModelSource, Variant
from services.variants import bodies
from services.variants.rollouts import Rollout

ThisName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9](-?[A-Za-z0-9]){0,62}$", max_length=63), bodies.Named]
Weight = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]


class VariantBody(Body):
    """One of the models behind a deployment: a bundle, a registered model, or (neither) the service's own model."""

    name: ThisName
    bundle: str = Field("", max_length=4096, description="A bundle, or a folder of bundles, on the server's machine.")
    model: str = Field("", max_length=250, description="A registered model, in place of `bundle`.")
    version: str = Field("", max_length=250, description="Its version, or an alias, which is followed.")
    weight: Weight | None = Field(None, description="Its part of the traffic, of the sum of all. 1 unless told.")
    shadow: bool = Field(False, description="It is asked what is asked of the others, and never answers.")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.bundle and self.model:
            raise ValueError("give either a bundle or a model")
        if bool(self.model) != bool(self.version):
            raise ValueError("a model needs a version or an alias, and a version a model")
        if self.bundle and (not PurePath(self.bundle).is_absolute() or "\0" in self.bundle):
            raise ValueError("the bundle's path must be absolute: workers have no common working directory")
        if self.shadow and self.weight:
            raise ValueError("a shadow has no traffic, and so no weight")
        return self

    @property
    def variant(self) -> Variant:
        weight = 0.0 if self.shadow else 1.0 if self.weight is None else self.weight
        return Variant(self.name, ModelSource(self.bundle, self.model, self.version), weight, self.shadow)


Filters = Annotated[
    dict[ThisName, Annotated[str, StringConstraints(min_length=1, max_length=MAX_FILTER)]], Field(max_length=100)
]


class DeploymentBody(Body):
    """A deployment. PUT replaces all of it; a variant that stays the same model keeps what was counted of it."""

    variants: list[VariantBody] = Field(min_length=1, max_length=20)
    rules: RulesBody = Field(default_factory=RulesBody, description="They stand behind every list of it.")
    filters: Filters = Field(default_factory=dict, description="Named filters, for `filterArn`; `$name` is a value.")
    clicks: Names = Field(default_factory=lambda: ["click"], description="Kinds of events that count as a click.")

    @field_validator("filters")
    @classmethod
    def _readable(cls, filters: dict[str, str]) -> dict[str, str]:
        return _checked(filters)

    @field_validator("variants")
    @classmethod
    def _fitting(cls, variants: list[VariantBody]) -> list[VariantBody]:
        if len({each.name for each in variants}) < len(variants):
            raise ValueError("two variants have the same name")
        if not any(each.variant.weight for each in variants):
            raise ValueError("no variant has any traffic")
        return variants

    def deployment(self, name: str) -> Deployment:
        return Deployment(
            name,
            tuple(each.variant for each in self.variants),
            self.rules.model_dump(mode="json", exclude_defaults=True),
            self.filters,
            tuple(dict.fromkeys(self.clicks)),
        )


class DeploymentPatch(Body):
    """What changes of a deployment: the weights of the variants named, and what else is given in whole."""

    weights: dict[str, Weight] | None = None
    rules: RulesBody | None = None
    filters: Filters | None = None
    clicks: Names | None = None

    @field_validator("filters")
    @classmethod
    def _readable(cls, filters: dict[str, str] | None) -> dict[str, str] | None:
        return None if filters is None else _checked(filters)


def _checked(filters: dict[str, str]) -> dict[str, str]:
    for name, text in filters.items():
        try:
            checked_filter(text)
        except PalateError as error:
            raise ValueError(f"{name}: {error}") from None
    return filters


class BoundsBody(bodies.BoundsBody):
    """What the variant must keep, or it is rolled back. null: not watched."""

    click_through: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] | None = Field(
        None, description="The least click-through, as a share of that of the other variants."
    )


class RolloutBody(bodies.RolloutBody):
    """Move the traffic to a variant: canary (a share, then all), linear (share by share) or blue-green (all)."""

    click_seconds: Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)] = Field(
        60, description="How long after its list a click may come to count for the bound."
    )
    bounds: BoundsBody = Field(default_factory=BoundsBody)

    def begun(self, before: Mapping[str, float], **more: Any) -> Rollout:
        return super().begun(before, click_seconds=self.click_seconds, **more)


class VariantOut(Model):
    """A variant, and how it does in the worker that answers."""

    name: str
    bundle: str
    model: str
    version: str
    weight: float
    share: float = Field(description="Of the traffic.")
    shadow: bool
    model_version: str | None = Field(description="What this worker serves for it; null: nothing yet.")
    problem: str | None = Field(description="Why its model is not what is served.")


class DeploymentOut(Model):
    name: str
    variants: list[VariantOut]
    rules: RulesBody
    filters: dict[str, str]
    clicks: list[str]
    revision: int
    changed_at: str
    rollout: int | None = Field(description="The roll-out that moves its weights now.")


class Deployments(Model):
    deployments: list[DeploymentOut]


class RolloutOut(bodies.RolloutOut):
    """`state` is running, paused, done, rolled-back or stopped. `evidence`: of each bound, 1 is enough to roll back."""

    deployment: str
    click_seconds: float
    bounds: BoundsBody


class Rollouts(bodies.Rollouts):
    rollouts: list[RolloutOut]  # type: ignore[assignment]


class ClickThroughOut(Model):
    """Clicked lists among all; the interval holds 95 % of the posterior under a uniform prior."""

    mean: float
    low: float
    high: float


class VariantStats(bodies.VariantStats):
    lists: int = Field(description="Impressions: lists that were answered.")
    clicks: int = Field(description="Lists that were clicked.")
    click_through: ClickThroughOut
    probability_best: float | None = Field(description="That its click-through is the highest; of shadows null.")


class StatsOut(Model):
    deployment: str
    variants: list[VariantStats]


class ChangeOut(Model):
    at: str
    who: str
    what: str


class Changes(Model):
    changes: list[ChangeOut]
