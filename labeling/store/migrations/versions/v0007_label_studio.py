"""Projects are kept alike with Label Studio's, and models are trained for it."""

import sqlalchemy as sa
from alembic import op

from palate.store.types import Instant

revision = "0007"
down_revision = "0006"

KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "label_studio_links",
        sa.Column("project_id", KEY, nullable=False),
        sa.Column("url", sa.String(500), nullable=False),
        sa.Column("remote_id", sa.Integer),
        sa.Column("mark", sa.String(40), nullable=False),
        sa.Column("config_digest", sa.String(64)),
        sa.Column("remote_config_digest", sa.String(64)),
        sa.Column("seen", sa.String(40), nullable=False, server_default=""),
        sa.Column("seen_at", Instant),
        sa.Column("holder", sa.String(40)),
        sa.Column("held_until", Instant),
        sa.Column("synced", Instant),
        sa.PrimaryKeyConstraint("project_id", name="pk_label_studio_links"),
        _belongs("links", "project_id", "projects"),
        sa.UniqueConstraint("url", "remote_id", name="uq_label_studio_links_url_remote_id"),
    )
    op.create_table(
        "label_studio_tasks",
        sa.Column("task_id", KEY, nullable=False),
        sa.Column("project_id", KEY, nullable=False),
        sa.Column("remote_id", sa.Integer, nullable=False),
        sa.Column("prediction_digest", sa.String(64)),
        sa.Column("prediction_sent", sa.String(64)),
        sa.PrimaryKeyConstraint("task_id", name="pk_label_studio_tasks"),
        _belongs("tasks", "task_id", "tasks"),
        _belongs("tasks", "project_id", "projects"),
        sa.UniqueConstraint("project_id", "remote_id", name="uq_label_studio_tasks_project_id_remote_id"),
    )
    op.create_table(
        "label_studio_annotations",
        sa.Column("id", KEY, nullable=False),
        sa.Column("project_id", KEY, nullable=False),
        sa.Column("task_id", KEY, nullable=False),
        sa.Column("person", sa.String(220), nullable=False),
        sa.Column("remote_id", sa.Integer),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("remote_digest", sa.String(64)),
        sa.PrimaryKeyConstraint("id", name="pk_label_studio_annotations"),
        _belongs("annotations", "project_id", "projects"),
        _belongs("annotations", "task_id", "tasks"),
        sa.UniqueConstraint("task_id", "person", name="uq_label_studio_annotations_task_id_person"),
        sa.UniqueConstraint("project_id", "remote_id", name="uq_label_studio_annotations_project_id_remote_id"),
    )
    op.create_table(
        "label_studio_refused",
        sa.Column("project_id", KEY, nullable=False),
        sa.Column("remote_id", sa.Integer, nullable=False),
        sa.Column("remote_digest", sa.String(64), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("project_id", "remote_id", name="pk_label_studio_refused"),
        _belongs("refused", "project_id", "projects"),
    )
    op.create_table(
        "label_studio_models",
        sa.Column("id", KEY, nullable=False),
        sa.Column("project_id", KEY, nullable=False),
        sa.Column("version", sa.String(100), nullable=False),
        sa.Column("created", Instant, nullable=False),
        sa.Column("answers", sa.Integer, nullable=False),
        sa.Column("accuracy", sa.Float, nullable=False),
        sa.Column("kept", sa.LargeBinary),
        sa.PrimaryKeyConstraint("id", name="pk_label_studio_models"),
        _belongs("models", "project_id", "projects"),
        sa.UniqueConstraint("project_id", "version", name="uq_label_studio_models_project_id_version"),
    )
    op.create_index("ix_label_studio_models_project_id_id", "label_studio_models", ["project_id", "id"])


def _belongs(table: str, column: str, parent: str) -> sa.ForeignKeyConstraint:
    name = f"fk_label_studio_{table}_{column}"
    return sa.ForeignKeyConstraint([column], [f"{parent}.id"], name=name, ondelete="CASCADE")
