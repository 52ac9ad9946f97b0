"""The tables of deployments, on the metadata of the recommender's other tables.

A click is a list that was clicked, once, in the slot in which it was made.
"""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, Float, Index, Integer, String, Table, Text

from services.recommender.tables import metadata
from services.variants.tables import Tables, rollout_table, tally_table

deployments = Table(
    "recommender_deployments",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("document", JSON, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("changed", Float, nullable=False),
)

rollouts = rollout_table("recommender_rollouts", metadata)
tallies = tally_table("recommender_tallies", metadata)
blocks = tally_table("recommender_tally_blocks", metadata)

clicks = Table(
    "recommender_clicks",
    metadata,
    Column("list", String(32), primary_key=True),
    Column("token", String(8), nullable=False),
    Column("slot", BigInteger, nullable=False),
    Index("ix_recommender_clicks_token_slot", "token", "slot"),
)

counted = Tables(rollouts, tallies, blocks, clicks)

changes = Table(
    "recommender_changes",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("deployment", String(63), nullable=False, index=True),
    Column("at", Float, nullable=False),
    Column("who", String(250), nullable=False),
    Column("what", Text, nullable=False),
    Column("document", JSON),
)
