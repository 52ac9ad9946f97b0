"""When an answer was replaced last, without looking at each."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    there = sa.text("changed IS NOT NULL")
    op.create_index(
        "ix_annotations_updated",
        "annotations",
        ["project_id", "updated"],
        sqlite_where=there,
        postgresql_where=there,
    )
