"""The deployment's rules."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0002", "0001"


def upgrade() -> None:
    op.create_table(
        "recommender_rules",
        sa.Column("name", sa.String(40), primary_key=True),
        sa.Column("rules", sa.JSON, nullable=False),
        sa.Column("change", sa.BigInteger, nullable=False),
    )
    op.execute("INSERT INTO recommender_counters (name, value) VALUES ('rules', 0)")
