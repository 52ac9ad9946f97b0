"""The tables of roll-outs and of what is counted of variants, for a house to put on its own metadata.

Tallies are what all workers counted of a variant's requests in `SLOT` seconds; blocks the same in `BLOCK` slots, so
that a month is quickly summed. Both are of one shape: a block's slot is its first.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import JSON, BigInteger, Column, Float, Integer, MetaData, String, Table


@dataclass(frozen=True)
class Tables:
    """clicks: lists that were clicked, each once, in the slot in which it was made; None where there are no lists."""

    rollouts: Table
    tallies: Table
    blocks: Table
    clicks: Table | None = None


def rollout_table(name: str, metadata: MetaData) -> Table:
    return Table(
        name,
        metadata,
        Column("id", Integer, primary_key=True),
        Column("deployment", String(63), nullable=False, index=True),
        Column("state", String(16), nullable=False, index=True),
        Column("document", JSON, nullable=False),
        Column("looked", Float, nullable=False),
    )


def tally_table(name: str, metadata: MetaData) -> Table:
    return Table(
        name,
        metadata,
        Column("token", String(8), primary_key=True),
        Column("slot", BigInteger, primary_key=True, autoincrement=False),
        Column("requests", BigInteger, nullable=False),
        Column("lists", BigInteger, nullable=False),
        Column("errors", BigInteger, nullable=False),
        Column("dropped", BigInteger, nullable=False),
        Column("latencies", JSON, nullable=False),
    )
