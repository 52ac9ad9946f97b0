"""The tables of deployments, on the metadata of the recommender's other tables.

Tallies are what all workers counted of a variant's requests in `SLOT` seconds; a click is a list that was clicked,
once, in the slot in which it was made.
"""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, Float, Index, Integer, String, Table, Text

from services.recommender.tables import metadata

deployments = Table(
    "recommender_deployments",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("document", JSON, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("changed", Float, nullable=False),
)

rollouts = Table(
    "recommender_rollouts",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("deployment", String(63), nullable=False, index=True),
    Column("state", String(16), nullable=False, index=True),
    Column("document", JSON, nullable=False),
    Column("looked", Float, nullable=False),
)

tallies = Table(
    "recommender_tallies",
    metadata,
    Column("token", String(8), primary_key=True),
    Column("slot", BigInteger, primary_key=True, autoincrement=False),
    Column("requests", BigInteger, nullable=False),
    Column("lists", BigInteger, nullable=False),
    Column("errors", BigInteger, nullable=False),
    Column("dropped", BigInteger, nullable=False),
    Column("latencies", JSON, nullable=False),
)

clicks = Table(
    "recommender_clicks",
    metadata,
    Column("list", String(32), primary_key=True),
    Column("token", String(8), nullable=False),
    Column("slot", BigInteger, nullable=False),
    Index("ix_recommender_clicks_token_slot", "token", "slot"),
)

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
