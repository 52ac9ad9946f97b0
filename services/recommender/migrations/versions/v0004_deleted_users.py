"""Users who were taken out leave a mark, by which all workers learn of it."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0004", "0003"


def upgrade() -> None:
    op.add_column("recommender_users", sa.Column("deleted", sa.Boolean, nullable=False, server_default=sa.false()))
