"""Consensus is kept; models label, in rounds; their labels and people's doubtful answers are told apart."""

import sqlalchemy as sa
from alembic import op

from palate.store.types import Instant

revision = "0006"
down_revision = "0005"

KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")
OPEN = sa.text("state <> 'answered' AND NOT withheld"), sa.text("state <> 'answered' AND withheld = 0")
WITHHELD = sa.text("withheld"), sa.text("withheld = 1")
SUSPECT = sa.text("suspect IS NOT NULL AND verdict IS NULL")


def upgrade() -> None:
    op.add_column("projects", sa.Column("consensus", sa.String(20), nullable=False, server_default="none"))
    op.add_column("projects", sa.Column("run", sa.BigInteger))
    op.add_column("slots", sa.Column("withheld", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("annotations", sa.Column("suspect", sa.Integer))
    op.drop_index("ix_slots_open", "slots")
    _index("ix_slots_open", "slots", ["project_id", "number", "rank", "position"], OPEN)
    _index("ix_slots_withheld", "slots", ["project_id", "position"], WITHHELD)
    _index("ix_annotations_suspect", "annotations", ["project_id", "suspect"], (SUSPECT, SUSPECT))
    op.create_table(
        "consolidations",
        sa.Column("project_id", KEY, nullable=False),
        sa.Column("method", sa.String(20), nullable=False),
        sa.Column("basis", sa.String(100), nullable=False),
        sa.Column("computed", Instant, nullable=False),
        sa.Column("report", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("project_id", name="pk_consolidations"),
        _belongs("consolidations", "project_id", "projects"),
    )
    op.create_table(
        "consensus",
        sa.Column("task_id", KEY, nullable=False),
        sa.Column("project_id", KEY, nullable=False),
        sa.Column("value", sa.JSON, nullable=False),
        sa.Column("confidence", sa.Float),
        sa.Column("posterior", sa.JSON, nullable=False),
        sa.Column("answers", sa.Integer, nullable=False),
        sa.Column("decided", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("task_id", name="pk_consensus"),
        _belongs("consensus", "task_id", "tasks"),
        _belongs("consensus", "project_id", "projects"),
    )
    op.create_index("ix_consensus_project_id", "consensus", ["project_id"])
    op.create_table(
        "skills",
        sa.Column("project_id", KEY, nullable=False),
        sa.Column("control", sa.String(200), nullable=False),
        sa.Column("person", sa.String(220), nullable=False),
        sa.Column("skill", sa.Float, nullable=False),
        sa.Column("answers", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("project_id", "control", "person", name="pk_skills"),
        _belongs("skills", "project_id", "projects"),
    )
    op.create_table(
        "runs",
        sa.Column("id", KEY, nullable=False),
        sa.Column("project_id", KEY, nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("settings", sa.JSON, nullable=False),
        sa.Column("config", sa.Text, nullable=False),
        sa.Column("step", sa.Integer, nullable=False, server_default="0"),
        sa.Column("tries", sa.Integer, nullable=False, server_default="0"),
        sa.Column("job", sa.BigInteger),
        sa.Column("phase", sa.String(10), nullable=False),
        sa.Column("round", sa.Integer, nullable=False, server_default="0"),
        sa.Column("positions", sa.Integer, nullable=False),
        sa.Column("arrays", sa.LargeBinary),
        sa.Column("audits", sa.JSON, nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("person", sa.String(220), nullable=False),
        sa.Column("started", Instant, nullable=False),
        sa.Column("ended", Instant),
        sa.PrimaryKeyConstraint("id", name="pk_runs"),
        _belongs("runs", "project_id", "projects"),
    )
    op.create_index("ix_runs_project_id", "runs", ["project_id"])
    op.create_table(
        "rounds",
        sa.Column("run_id", KEY, nullable=False),
        sa.Column("round", sa.Integer, nullable=False),
        sa.Column("model", sa.String(200), nullable=False),
        sa.Column("labeled", sa.Integer, nullable=False),
        sa.Column("answers", sa.Integer, nullable=False),
        sa.Column("automatic", sa.Integer, nullable=False),
        sa.Column("threshold", sa.Float),
        sa.Column("accuracy", sa.Float),
        sa.Column("bound", sa.Float),
        sa.Column("pool_accuracy", sa.Float, nullable=False),
        sa.Column("asked", sa.Integer, nullable=False),
        sa.Column("finished", Instant, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "round", name="pk_rounds"),
        _belongs("rounds", "run_id", "runs"),
    )
    op.create_table(
        "automatic",
        sa.Column("run_id", KEY, nullable=False),
        sa.Column("round", sa.Integer, nullable=False),
        sa.Column("task_id", KEY, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("confidence", sa.Float, nullable=False),
        sa.Column("withdrawn", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.PrimaryKeyConstraint("run_id", "round", "task_id", name="pk_automatic"),
        _belongs("automatic", "run_id", "runs"),
        _belongs("automatic", "task_id", "tasks"),
    )
    op.create_index("ix_automatic_task", "automatic", ["task_id"])


def _index(name: str, table: str, columns: list[str], where: tuple[sa.TextClause, sa.TextClause]) -> None:
    """where: in PostgreSQL's words, and in SQLite's."""
    op.create_index(name, table, columns, postgresql_where=where[0], sqlite_where=where[1])


def _belongs(table: str, column: str, parent: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{parent}.id"], name=f"fk_{table}_{column}", ondelete="CASCADE")
