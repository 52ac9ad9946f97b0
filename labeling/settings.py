"""The labeling service's settings."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

from pydantic import Field, field_validator

from palate.web import WebSettings


class LabelingSettings(WebSettings):
    """What the labeling service adds. Each field comes from `PALATE_<NAME>`, as in `palate.web.settings`."""

    label_port: int = Field(8081, ge=1, le=65_535)
    """Where `palate label serve` listens."""
    max_body_bytes: int = Field(32 << 20, ge=1)
    """A larger request body is refused with 413; tasks come many at a time."""
    lease_minutes: float = Field(15, gt=0, le=7 * 24 * 60)
    """How long a task handed to a person stays theirs before others may have it."""

    image_hosts: tuple[str, ...] = ()
    """From which other hosts browsers may load the images of tasks, such as `["https://images.example.org"]`."""

    webhook_hosts: tuple[str, ...] = ()
    """Hosts that webhooks may go to although they lead inward, such as `["intranet:8080"]`; the port may be left out
    where it is the usual one."""

    label_studio_url: str = ""
    """The Label Studio that projects are kept alike with."""
    label_studio_token_file: Path | None = None
    """A file that holds a token for it: a legacy one or a personal access token."""

    label_studio_minutes: float = Field(0, ge=0, le=7 * 24 * 60)
    """How often projects are synchronised with it by themselves; 0 means only when asked for."""

    @field_validator("image_hosts")
    @classmethod
    def _hosts(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        """They become part of a content security policy: an origin each, and nothing else."""
        for host in hosts:
            if not re.fullmatch(r"https?://(\*\.)?[A-Za-z0-9.-]+(:\d+)?", host):
                raise ValueError(f"{host[:80]!r} is no origin such as https://images.example.org")
        return hosts

    @property
    def lease(self) -> timedelta:
        return timedelta(minutes=self.lease_minutes)
