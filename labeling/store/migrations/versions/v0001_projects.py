"""Projects, tasks, the slots people hold, what they answered and what they skipped."""

import sqlalchemy as sa
from alembic import op

from palate.store.types import Instant

revision = "0001"
down_revision = None

KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")
OPEN = sa.text("state <> 'answered'")
HELD = sa.text("state = 'leased'")


def upgrade() -> None:
    op.create_table(
        "projects",
        sa.Column("id", KEY, nullable=False),
        sa.Column("title", sa.String(200), nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("labels", sa.JSON, nullable=False),
        sa.Column("instructions", sa.Text, nullable=False),
        sa.Column("overlap", sa.Integer, nullable=False),
        sa.Column("tasks", sa.Integer, nullable=False, server_default="0"),
        sa.Column("created", Instant, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_projects"),
        sa.UniqueConstraint("title", name="uq_projects_title"),
        sa.CheckConstraint("overlap >= 1", name="ck_projects_overlap"),
    )
    op.create_table(
        "tasks",
        sa.Column("id", KEY, nullable=False),
        sa.Column("project_id", KEY, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("external_id", sa.String(300), nullable=False),
        sa.Column("data", sa.JSON, nullable=False),
        sa.Column("created", Instant, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tasks"),
        _belongs("tasks", "project_id", "projects"),
        sa.UniqueConstraint("project_id", "external_id", name="uq_tasks_project_id_external_id"),
        sa.UniqueConstraint("project_id", "position", name="uq_tasks_project_id_position"),
    )
    op.create_table(
        "slots",
        sa.Column("id", KEY, nullable=False),
        sa.Column("project_id", KEY, nullable=False),
        sa.Column("task_id", KEY, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("state", sa.String(10), nullable=False, server_default="free"),
        sa.Column("person", sa.String(220)),
        sa.Column("leased", Instant),
        sa.Column("expires", Instant),
        sa.PrimaryKeyConstraint("id", name="pk_slots"),
        _belongs("slots", "project_id", "projects"),
        _belongs("slots", "task_id", "tasks"),
        sa.UniqueConstraint("task_id", "number", name="uq_slots_task_id_number"),
        sa.UniqueConstraint("task_id", "person", name="uq_slots_task_id_person"),
        sa.CheckConstraint(
            "(state = 'free' AND person IS NULL AND expires IS NULL)"
            " OR (state = 'leased' AND person IS NOT NULL AND expires IS NOT NULL)"
            " OR (state = 'answered' AND person IS NOT NULL AND expires IS NULL)",
            name="ck_slots_state",
        ),
    )
    columns = ["project_id", "number", "position"]
    op.create_index("ix_slots_open", "slots", columns, sqlite_where=OPEN, postgresql_where=OPEN)
    op.create_index("ix_slots_held", "slots", ["project_id", "person"], sqlite_where=HELD, postgresql_where=HELD)
    op.create_table(
        "annotations",
        sa.Column("id", KEY, nullable=False),
        sa.Column("project_id", KEY, nullable=False),
        sa.Column("task_id", KEY, nullable=False),
        sa.Column("slot_id", KEY, nullable=False),
        sa.Column("person", sa.String(220), nullable=False),
        sa.Column("value", sa.JSON, nullable=False),
        sa.Column("seconds", sa.Float),
        sa.Column("created", Instant, nullable=False),
        sa.Column("updated", Instant, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_annotations"),
        _belongs("annotations", "project_id", "projects"),
        _belongs("annotations", "task_id", "tasks"),
        _belongs("annotations", "slot_id", "slots"),
        sa.UniqueConstraint("slot_id", name="uq_annotations_slot_id"),
        sa.UniqueConstraint("task_id", "person", name="uq_annotations_task_id_person"),
    )
    op.create_index("ix_annotations_turns", "annotations", ["project_id", "person", "created"])
    op.create_table(
        "skips",
        sa.Column("task_id", KEY, nullable=False),
        sa.Column("person", sa.String(220), nullable=False),
        sa.Column("project_id", KEY, nullable=False),
        sa.Column("created", Instant, nullable=False),
        sa.PrimaryKeyConstraint("task_id", "person", name="pk_skips"),
        _belongs("skips", "task_id", "tasks"),
        _belongs("skips", "project_id", "projects"),
    )
    op.create_index("ix_skips_turns", "skips", ["project_id", "person", "created"])


def _belongs(table: str, column: str, parent: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{parent}.id"], name=f"fk_{table}_{column}", ondelete="CASCADE")
