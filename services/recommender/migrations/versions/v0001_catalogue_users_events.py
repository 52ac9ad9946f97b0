"""The live catalogue, users, events, and the counters by which workers follow each other's writes."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0001", None


def upgrade() -> None:
    counters = op.create_table(
        "recommender_counters",
        sa.Column("name", sa.String(40), primary_key=True),
        sa.Column("value", sa.BigInteger, nullable=False),
    )
    op.bulk_insert(counters, [{"name": name, "value": 0} for name in ("items", "users", "events")])
    op.create_table(
        "recommender_items",
        sa.Column("id", sa.String(512), primary_key=True),
        sa.Column("title", sa.Text),
        sa.Column("text", sa.Text),
        sa.Column("categories", sa.JSON, nullable=False),
        sa.Column("tags", sa.JSON, nullable=False),
        sa.Column("image", sa.Text),
        sa.Column("available", sa.Boolean, nullable=False),
        sa.Column("timestamp", sa.BigInteger),
        sa.Column("attributes", sa.JSON, nullable=False),
        sa.Column("deleted", sa.Boolean, nullable=False),
        sa.Column("change", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_recommender_items_change", "recommender_items", ["change"])
    op.create_table(
        "recommender_users",
        sa.Column("id", sa.String(512), primary_key=True),
        sa.Column("categories", sa.JSON, nullable=False),
        sa.Column("tags", sa.JSON, nullable=False),
        sa.Column("segment", sa.Integer),
        sa.Column("attributes", sa.JSON, nullable=False),
        sa.Column("change", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_recommender_users_change", "recommender_users", ["change"])
    op.create_table(
        "recommender_events",
        sa.Column("id", sa.String(512), primary_key=True),
        sa.Column("user", sa.String(512), nullable=False),
        sa.Column("item", sa.String(512), nullable=False),
        sa.Column("kind", sa.String(80), nullable=False),
        sa.Column("weight", sa.Float),
        sa.Column("timestamp", sa.Float, nullable=False),
        sa.Column("received", sa.Float, nullable=False),
        sa.Column("recommendation", sa.String(80)),
        sa.Column("change", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_recommender_events_change", "recommender_events", ["change"])
    op.create_index("ix_recommender_events_user_change", "recommender_events", ["user", "change"])
