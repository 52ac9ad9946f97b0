"""Projects can pause and have a deadline; tasks have comments; a skip has a reason."""

import sqlalchemy as sa
from alembic import op

from palate.store.types import Instant

revision = "0003"
down_revision = "0002"

KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.add_column("projects", sa.Column("paused", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("projects", sa.Column("deadline", Instant))
    op.add_column("skips", sa.Column("reason", sa.Text))
    op.create_table(
        "comments",
        sa.Column("id", KEY, nullable=False),
        sa.Column("project_id", KEY, nullable=False),
        sa.Column("task_id", KEY, nullable=False),
        sa.Column("person", sa.String(220), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("flag", sa.Boolean, nullable=False),
        sa.Column("resolved", sa.Boolean, nullable=False),
        sa.Column("created", Instant, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_comments"),
        _belongs("project_id", "projects"),
        _belongs("task_id", "tasks"),
    )
    op.create_index("ix_comments_project_id", "comments", ["project_id"])
    op.create_index("ix_comments_task_id", "comments", ["task_id"])


def _belongs(column: str, parent: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{parent}.id"], name=f"fk_comments_{column}", ondelete="CASCADE")
