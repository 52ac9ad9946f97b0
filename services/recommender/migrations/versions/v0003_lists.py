"""Lists that are kept for their next pages."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0003", "0002"


def upgrade() -> None:
    op.create_table(
        "recommender_lists",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("list", sa.JSON, nullable=False),
        sa.Column("kept", sa.Float, nullable=False),
    )
    op.create_index("ix_recommender_lists_kept", "recommender_lists", ["kept"])
