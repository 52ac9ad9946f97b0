"""The shared tables. Their history is in `palate/store/migrations`; a test holds both equal."""

from __future__ import annotations

import sqlalchemy as sa

from palate.store.types import Instant, metadata

keys = sa.Table(
    "palate_keys",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("secret_hash", sa.String(64), nullable=False),
    sa.Column("scopes", sa.JSON, nullable=False),
    sa.Column("created", Instant, nullable=False),
    sa.Column("last_used", Instant),
    sa.Column("revoked", Instant),
)

people = sa.Table(
    "palate_people",
    metadata,
    sa.Column("name", sa.String(200), primary_key=True),
    sa.Column("password_hash", sa.String(300), nullable=False),
    sa.Column("scopes", sa.JSON, nullable=False),
    sa.Column("created", Instant, nullable=False),
    sa.Column("disabled", Instant),
)

codes = sa.Table(
    "palate_codes",
    metadata,
    sa.Column("code_hash", sa.String(64), primary_key=True),
    sa.Column("key_id", sa.String(32), sa.ForeignKey("palate_keys.id", ondelete="CASCADE"), nullable=False),
    sa.Column("expires", Instant, nullable=False),
)

failures = sa.Table(
    "palate_failures",
    metadata,
    sa.Column("subject", sa.String(64), primary_key=True),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("last", Instant, nullable=False),
)

jobs = sa.Table(
    "palate_jobs",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("kind", sa.String(100), nullable=False),
    sa.Column("key", sa.String(200)),
    sa.Column("payload", sa.JSON, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("max_attempts", sa.Integer, nullable=False),
    sa.Column("worker", sa.String(200)),
    sa.Column("lease_until", Instant),
    sa.Column("not_before", Instant, nullable=False),
    sa.Column("progress", sa.Float, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("cancel_requested", sa.Boolean, nullable=False),
    sa.Column("result", sa.JSON),
    sa.Column("error", sa.Text),
    sa.Column("created", Instant, nullable=False),
    sa.Column("finished", Instant),
    sa.UniqueConstraint("kind", "key"),
    sa.Index(None, "state", "not_before"),
)
