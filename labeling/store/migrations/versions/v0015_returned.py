"""What reviewers sent back to somebody, without looking at all that waits for a review."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    there = sa.text("verdict = 'returned'")
    op.create_index(
        "ix_annotations_returned",
        "annotations",
        ["project_id", "person", "id"],
        sqlite_where=there,
        postgresql_where=there,
    )
