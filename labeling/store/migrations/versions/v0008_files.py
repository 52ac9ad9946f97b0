"""Files on their way in or out."""

import sqlalchemy as sa
from alembic import op

from palate.store.types import Instant

revision = "0008"
down_revision = "0007"

KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "files",
        sa.Column("id", KEY, nullable=False),
        sa.Column("project_id", KEY, nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("whole", sa.Boolean, nullable=False),
        sa.Column("created", Instant, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_files"),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name="fk_files_project_id", ondelete="CASCADE"),
    )
    op.create_index("ix_files_project_id", "files", ["project_id"])
    op.create_table(
        "file_parts",
        sa.Column("file_id", KEY, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("file_id", "number", name="pk_file_parts"),
        sa.ForeignKeyConstraint(["file_id"], ["files.id"], name="fk_file_parts_file_id", ondelete="CASCADE"),
    )
