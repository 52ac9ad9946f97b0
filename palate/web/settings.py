"""What every web process can be told; the houses add their own fields."""

from __future__ import annotations

from pydantic import Field

from palate.settings import Settings


class WebSettings(Settings):
    """The settings of a process that answers HTTP."""

    max_body_bytes: int = Field(1 << 20, ge=1)
    """A larger request body is refused with 413."""
    max_json_depth: int = Field(32, ge=1, le=500)
    """Objects and lists nested deeper than this are refused with 400."""
    metrics_open: bool = False
    """Whether /metrics answers without a key of the scope `metrics`."""
    session_hours: float = Field(12.0, gt=0)
    """After so many hours without a request a person signs in again."""
    trusted_proxies: int = Field(0, ge=0, le=10)
    """How many proxies stand in front; so many entries of their X-Forwarded headers are believed, 0 means none."""
