"""The step of both houses' migrations that sums what was counted in slots to blocks of half an hour."""

from __future__ import annotations

import json

import numpy as np
import sqlalchemy as sa
from alembic import op

_BLOCK = 180
_SUMS = ("requests", "lists", "errors", "dropped")


def add_blocks(tallies: str, blocks: str) -> None:
    """Makes the table `blocks`, and fills it with the sums of the table `tallies`."""
    made = op.create_table(
        blocks,
        sa.Column("token", sa.String(8), primary_key=True),
        sa.Column("slot", sa.BigInteger, primary_key=True, autoincrement=False),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in _SUMS),
        sa.Column("latencies", sa.JSON, nullable=False),
    )
    kept = sa.table(
        tallies,
        sa.column("token", sa.String),
        sa.column("slot", sa.BigInteger),
        *(sa.column(name, sa.BigInteger) for name in _SUMS),
        sa.column("latencies", sa.JSON),
    )
    sums = [sa.func.sum(kept.c[name]).label(name) for name in _SUMS]
    text = sa.func.aggregate_strings(sa.cast(kept.c.latencies, sa.Text), ",").label("classes")
    found = sa.select(kept.c.token, (kept.c.slot // _BLOCK).label("block"), *sums, text)
    rows = [
        {
            "token": row.token,
            "slot": int(row.block) * _BLOCK,
            **{name: int(getattr(row, name)) for name in _SUMS},
            "latencies": np.array(json.loads(f"[{row.classes}]")).sum(axis=0).tolist(),
        }
        for row in op.get_bind().execute(found.group_by(kept.c.token, "block"))
    ]
    if rows:
        op.bulk_insert(made, rows)
