"""Counting the tasks that are not done without looking at each."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_index(
        "ix_slots_open_tasks",
        "slots",
        ["project_id", "position"],
        sqlite_where=sa.text("state <> 'answered' AND withheld = 0"),
        postgresql_where=sa.text("state <> 'answered' AND NOT withheld"),
    )
