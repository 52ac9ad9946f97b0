"""What a recommendation API is told from outside."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from palate.web import WebSettings


class RecommenderSettings(WebSettings):
    """The shared settings, and those of this house: `PALATE_BUNDLE`, `PALATE_ALIAS`, ..."""

    bundle: Path | None = None
    """A bundle, or a folder of bundles of which one is current. Unset: the registered model `model_name`."""
    alias: str = "champion"
    """Which version of the registered model is served when `bundle` is unset."""
    catalogue_seconds: float = Field(default=0.2, gt=0, le=60)
    """Seconds between two looks at the store: how long a new item or event may take to count in every worker."""
    model_seconds: float = Field(default=1.0, gt=0, le=3600)
    """Seconds between two looks whether another model is meant now."""
    max_import_bytes: int = Field(default=256 << 20, ge=1)
    """A larger file of items and users to import is refused with 413."""
    trending_hours: float = Field(default=24.0, gt=0, le=8760)
    """The half-life of what counts as recent for trending items; what is usual is measured over 14 times that."""
    rollout_seconds: float = Field(default=2.0, gt=0, le=60)
    """Seconds between two looks at a running roll-out."""
    retry_seconds: float = Field(default=30.0, gt=0)
    """Seconds until a bundle that could not be loaded is tried again, although nothing about it changed."""
