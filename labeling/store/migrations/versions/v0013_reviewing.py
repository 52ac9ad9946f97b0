"""Which answer a reviewer has in hands, without looking at all that wait."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    there = sa.text("review_expires IS NOT NULL")
    op.create_index(
        "ix_annotations_reviewing",
        "annotations",
        ["project_id", "reviewer"],
        sqlite_where=there,
        postgresql_where=there,
    )
