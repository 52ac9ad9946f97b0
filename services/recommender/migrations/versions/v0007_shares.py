"""How many lists each strategy led, by the hour."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0007", "0006"


def upgrade() -> None:
    op.create_table(
        "recommender_shares",
        sa.Column("hour", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("strategy", sa.String(40), primary_key=True),
        sa.Column("lists", sa.BigInteger, nullable=False),
    )
