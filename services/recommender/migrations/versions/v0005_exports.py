"""Whether an event said when it happened, so that its body can be compared; and what each exported page holds."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0005", "0004"


def upgrade() -> None:
    op.add_column("recommender_events", sa.Column("dated", sa.Boolean))
    op.create_table(
        "recommender_exports",
        sa.Column("after", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("least", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("until", sa.BigInteger, nullable=False),
    )
