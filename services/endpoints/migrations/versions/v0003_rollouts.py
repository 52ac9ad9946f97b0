"""Roll-outs of endpoints, and what is counted of their variants."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0003", "0002"


def upgrade() -> None:
    op.create_table(
        "endpoint_rollouts",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("deployment", sa.String(63), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("document", sa.JSON, nullable=False),
        sa.Column("looked", sa.Float, nullable=False),
    )
    op.create_index("ix_endpoint_rollouts_deployment", "endpoint_rollouts", ["deployment"])
    op.create_index("ix_endpoint_rollouts_state", "endpoint_rollouts", ["state"])
    op.create_table(
        "endpoint_tallies",
        sa.Column("token", sa.String(8), primary_key=True),
        sa.Column("slot", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("requests", sa.BigInteger, nullable=False),
        sa.Column("lists", sa.BigInteger, nullable=False),
        sa.Column("errors", sa.BigInteger, nullable=False),
        sa.Column("dropped", sa.BigInteger, nullable=False),
        sa.Column("latencies", sa.JSON, nullable=False),
    )
