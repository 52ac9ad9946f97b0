"""The queue has an order; gold tasks, drafts and predictions."""

import sqlalchemy as sa
from alembic import op

from palate.store.types import Instant

revision = "0004"
down_revision = "0003"

KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")
OPEN = sa.text("state <> 'answered'")


def upgrade() -> None:
    op.add_column("projects", sa.Column("ordering", sa.String(20), nullable=False, server_default="import"))
    op.add_column("projects", sa.Column("seed", sa.Integer, nullable=False, server_default="0"))
    op.add_column("projects", sa.Column("gold_rate", sa.Float, nullable=False, server_default="0"))
    op.add_column("projects", sa.Column("golds", sa.Integer, nullable=False, server_default="0"))
    op.add_column("tasks", sa.Column("priority", sa.Integer, nullable=False, server_default="0"))
    op.add_column("tasks", sa.Column("rank", sa.Float, nullable=False, server_default="0"))
    op.add_column("tasks", sa.Column("gold", sa.JSON))
    op.add_column("slots", sa.Column("rank", sa.Float, nullable=False, server_default="0"))
    op.add_column("slots", sa.Column("gold", sa.Boolean, nullable=False, server_default=sa.false()))
    op.drop_index("ix_slots_open", "slots")
    columns = ["project_id", "number", "rank", "position"]
    op.create_index("ix_slots_open", "slots", columns, sqlite_where=OPEN, postgresql_where=OPEN)
    gold = sa.text("gold IS NOT NULL")
    op.create_index("ix_tasks_gold", "tasks", ["project_id", "position"], sqlite_where=gold, postgresql_where=gold)
    op.create_table(
        "drafts",
        sa.Column("task_id", KEY, nullable=False),
        sa.Column("person", sa.String(220), nullable=False),
        sa.Column("project_id", KEY, nullable=False),
        sa.Column("value", sa.JSON, nullable=False),
        sa.Column("updated", Instant, nullable=False),
        sa.PrimaryKeyConstraint("task_id", "person", name="pk_drafts"),
        _belongs("drafts", "task_id", "tasks"),
        _belongs("drafts", "project_id", "projects"),
    )
    op.create_table(
        "predictions",
        sa.Column("task_id", KEY, nullable=False),
        sa.Column("project_id", KEY, nullable=False),
        sa.Column("value", sa.JSON, nullable=False),
        sa.Column("score", sa.Float, nullable=False),
        sa.Column("model", sa.String(200), nullable=False),
        sa.Column("created", Instant, nullable=False),
        sa.PrimaryKeyConstraint("task_id", name="pk_predictions"),
        _belongs("predictions", "task_id", "tasks"),
        _belongs("predictions", "project_id", "projects"),
    )


def _belongs(table: str, column: str, parent: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{parent}.id"], name=f"fk_{table}_{column}", ondelete="CASCADE")
