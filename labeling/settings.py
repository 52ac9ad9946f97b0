"""The labeling service's settings."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from pydantic import Field

from palate.web import WebSettings


class LabelingSettings(WebSettings):
    """What the labeling service adds. Each field comes from `PALATE_<NAME>`, as in `palate.web.settings`."""

    label_port: int = Field(8081, ge=1, le=65_535)
    """Where `palate label serve` listens."""
    max_body_bytes: int = Field(32 << 20, ge=1)
    """A larger request body is refused with 413; tasks come many at a time."""
    lease_minutes: float = Field(15, gt=0, le=7 * 24 * 60)
    """How long a task handed to a person stays theirs before others may have it."""

    label_studio_url: str = ""
    """The Label Studio that projects are kept alike with."""
    label_studio_token_file: Path | None = None
    """A file that holds a token for it: a legacy one or a personal access token."""

    @property
    def lease(self) -> timedelta:
        return timedelta(minutes=self.lease_minutes)
