"""Roles within a project; answers are reviewed."""

import sqlalchemy as sa
from alembic import op

from palate.store.types import Instant

revision = "0005"
down_revision = "0004"

KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.add_column("projects", sa.Column("review", sa.String(10), nullable=False, server_default="none"))
    op.add_column("projects", sa.Column("closed", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("annotations", sa.Column("verdict", sa.String(10)))
    op.add_column("annotations", sa.Column("reviewer", sa.String(220)))
    op.add_column("annotations", sa.Column("review_expires", Instant))
    op.add_column("annotations", sa.Column("note", sa.Text))
    op.add_column("annotations", sa.Column("original", sa.JSON))
    op.add_column("annotations", sa.Column("returns", sa.Integer, nullable=False, server_default="0"))
    pending = sa.text("verdict IS NULL OR verdict = 'returned'")
    columns = ["project_id", "id"]
    op.create_index("ix_annotations_pending", "annotations", columns, sqlite_where=pending, postgresql_where=pending)
    op.create_table(
        "members",
        sa.Column("project_id", KEY, nullable=False),
        sa.Column("person", sa.String(220), nullable=False),
        sa.Column("role", sa.String(20), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "person", name="pk_members"),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name="fk_members_project_id", ondelete="CASCADE"),
    )
