"""What the routes under /v1 take and give."""

from __future__ import annotations

from pathlib import PurePath
from typing import Self

from pydantic import Field, model_validator

from palate.web import Model


class EndpointBody(Model):
    """Which model to deploy: a bundle, or a registered model."""

    bundle: str = Field("", max_length=4096, description="A bundle's directory, as the server's machine names it.")
    model: str = Field("", max_length=250, description="A registered model, in place of `bundle`.")
    version: str = Field("", max_length=250, description="Its version, or an alias, which is resolved now.")
    part: str = Field("", max_length=100, description="Serve only this stage of a pipeline.")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if bool(self.bundle) == bool(self.model):
            raise ValueError("Give either a bundle or a model.")
        if bool(self.model) != bool(self.version):
            raise ValueError("A model needs a version or an alias, and a version a model.")
        if self.bundle and not PurePath(self.bundle).is_absolute():
            raise ValueError("The bundle's path must be absolute: workers have no common working directory.")
        return self


class EndpointOut(Model):
    """An endpoint, and how it does in the worker that answers."""

    name: str
    kind: str
    status: str = Field(description="InService, or Failed where no model could be loaded.")
    inputs: dict[str, str] | None = Field(description="What the model takes: column to Arrow type.")
    outputs: dict[str, str] | None = Field(description="What it gives.")
    bundle: str
    model: str
    version: str
    part: str
    deployed_at: str
    problem: str | None = Field(description="Why the latest deployment is not what is served.")


class Endpoints(Model):
    endpoints: list[EndpointOut]
