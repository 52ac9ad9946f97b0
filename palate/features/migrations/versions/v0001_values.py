"""Feature values by the id of a user or an item."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0001", None


def upgrade() -> None:
    op.create_table(
        "feature_values",
        sa.Column("entity", sa.String(10), primary_key=True),
        sa.Column("id", sa.String(512), primary_key=True),
        sa.Column("as_of", sa.Float, nullable=False),
        sa.Column("features", sa.JSON, nullable=False),
    )
