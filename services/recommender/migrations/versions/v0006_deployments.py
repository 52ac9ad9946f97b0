"""Deployments with variants, their roll-outs, what is counted of them, and who changed what."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0006", "0005"


def upgrade() -> None:
    op.create_table(
        "recommender_deployments",
        sa.Column("name", sa.String(63), primary_key=True),
        sa.Column("document", sa.JSON, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("changed", sa.Float, nullable=False),
    )
    op.create_table(
        "recommender_rollouts",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("deployment", sa.String(63), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("document", sa.JSON, nullable=False),
        sa.Column("looked", sa.Float, nullable=False),
    )
    op.create_index("ix_recommender_rollouts_deployment", "recommender_rollouts", ["deployment"])
    op.create_index("ix_recommender_rollouts_state", "recommender_rollouts", ["state"])
    op.create_table(
        "recommender_tallies",
        sa.Column("token", sa.String(8), primary_key=True),
        sa.Column("slot", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("requests", sa.BigInteger, nullable=False),
        sa.Column("lists", sa.BigInteger, nullable=False),
        sa.Column("errors", sa.BigInteger, nullable=False),
        sa.Column("dropped", sa.BigInteger, nullable=False),
        sa.Column("latencies", sa.JSON, nullable=False),
    )
    op.create_table(
        "recommender_clicks",
        sa.Column("list", sa.String(32), primary_key=True),
        sa.Column("token", sa.String(8), nullable=False),
        sa.Column("slot", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_recommender_clicks_token_slot", "recommender_clicks", ["token", "slot"])
    op.create_table(
        "recommender_changes",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("deployment", sa.String(63), nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("who", sa.String(250), nullable=False),
        sa.Column("what", sa.Text, nullable=False),
        sa.Column("document", sa.JSON),
    )
    op.create_index("ix_recommender_changes_deployment", "recommender_changes", ["deployment"])
    op.execute("INSERT INTO recommender_counters (name, value) VALUES ('deployments', 0), ('tallies', 0)")
