"""What a server of model endpoints is told from outside."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from palate.web import WebSettings


class EndpointSettings(WebSettings):
    """The shared settings, and those of this house: `PALATE_ENDPOINT_SECONDS`, ..."""

    max_body_bytes: int = Field(25 << 20, ge=1)
    """As for every service, larger here because a request is a batch; SageMaker's own limit."""
    endpoint_seconds: float = Field(default=0.25, gt=0, le=60)
    """Seconds between two looks at the store: how long a deployment may take to count in every worker."""
    invocations_format: Literal["sagemaker", "mlflow"] = "sagemaker"
    """What bare /invocations speaks."""
    invocations_endpoint: str = ""
    """Which endpoint bare /invocations asks; without it the only one there is."""
    transform_folder: Path | None = None
    """Below which transforms read and write; unset: `transforms` in the home."""
    rollout_seconds: float = Field(default=2.0, gt=0, le=60)
    """Seconds between two looks at a running roll-out."""
    retry_seconds: float = Field(default=30.0, gt=0)
    """Seconds until a deployed bundle that could not be loaded is tried again."""

    @property
    def transforms(self) -> Path:
        """The folder of transforms."""
        return self.home / "transforms" if self.transform_folder is None else self.transform_folder
