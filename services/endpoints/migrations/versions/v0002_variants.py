"""An endpoint has several variants; what stood behind it becomes the only one."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0002", "0001"


def upgrade() -> None:
    made = op.create_table(
        "endpoint_deployments",
        sa.Column("name", sa.String(63), primary_key=True),
        sa.Column("variants", sa.JSON, nullable=False),
        sa.Column("revision", sa.String(32), nullable=False),
        sa.Column("deployed", sa.DateTime(timezone=True), nullable=False),
    )
    before = sa.Table(
        "endpoints",
        sa.MetaData(),
        sa.Column("name", sa.String(63)),
        sa.Column("source", sa.JSON),
        sa.Column("digest", sa.String(64)),
        sa.Column("kind", sa.String(100)),
        sa.Column("revision", sa.String(32)),
        sa.Column("deployed", sa.DateTime(timezone=True)),
    )
    for row in op.get_bind().execute(sa.select(before)).all():
        only = {"name": "AllTraffic", "source": row.source, "digest": row.digest, "kind": row.kind}
        variants = [{**only, "weight": 1.0, "shadow": False}]
        values = {"name": row.name, "variants": variants, "revision": row.revision, "deployed": row.deployed}
        op.get_bind().execute(made.insert().values(values))
    op.drop_table("endpoints")
