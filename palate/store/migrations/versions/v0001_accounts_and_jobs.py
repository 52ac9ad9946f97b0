"""Accounts (keys, people, one-time codes, failed sign-ins) and the job queue."""

import sqlalchemy as sa
from alembic import op

from palate.store.types import Instant

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "palate_keys",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("secret_hash", sa.String(64), nullable=False),
        sa.Column("scopes", sa.JSON, nullable=False),
        sa.Column("created", Instant, nullable=False),
        sa.Column("last_used", Instant),
        sa.Column("revoked", Instant),
        sa.PrimaryKeyConstraint("id", name="pk_palate_keys"),
    )
    op.create_table(
        "palate_people",
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("password_hash", sa.String(300), nullable=False),
        sa.Column("scopes", sa.JSON, nullable=False),
        sa.Column("created", Instant, nullable=False),
        sa.Column("disabled", Instant),
        sa.PrimaryKeyConstraint("name", name="pk_palate_people"),
    )
    op.create_table(
        "palate_codes",
        sa.Column("code_hash", sa.String(64), nullable=False),
        sa.Column("key_id", sa.String(32), nullable=False),
        sa.Column("expires", Instant, nullable=False),
        sa.PrimaryKeyConstraint("code_hash", name="pk_palate_codes"),
        sa.ForeignKeyConstraint(["key_id"], ["palate_keys.id"], name="fk_palate_codes_key_id", ondelete="CASCADE"),
    )
    op.create_table(
        "palate_failures",
        sa.Column("subject", sa.String(64), nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("last", Instant, nullable=False),
        sa.PrimaryKeyConstraint("subject", name="pk_palate_failures"),
    )
    op.create_table(
        "palate_jobs",
        sa.Column("id", sa.Integer, nullable=False),
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
        sa.PrimaryKeyConstraint("id", name="pk_palate_jobs"),
        sa.UniqueConstraint("kind", "key", name="uq_palate_jobs_kind_key"),
    )
    op.create_index("ix_palate_jobs_state_not_before", "palate_jobs", ["state", "not_before"])
