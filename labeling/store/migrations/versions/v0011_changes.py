"""When an answer was changed or judged last."""

import sqlalchemy as sa
from alembic import op

from palate.store.types import Instant

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.add_column("annotations", sa.Column("changed", Instant))
    there = sa.text("changed IS NOT NULL")
    op.create_index(
        "ix_annotations_changed",
        "annotations",
        ["project_id", "changed"],
        sqlite_where=there,
        postgresql_where=there,
    )
