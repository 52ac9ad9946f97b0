"""Which models stand behind which name: a row is written whole, and `revision` says that it changed. Their roll-outs,
and what is counted of them."""

from __future__ import annotations

from sqlalchemy import JSON, Column, MetaData, String, Table

from palate.store.types import NAMES, Instant
from services.variants.tables import Tables, rollout_table, tally_table

metadata = MetaData(naming_convention=NAMES)

endpoints = Table(
    "endpoint_deployments",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("variants", JSON, nullable=False),
    Column("revision", String(32), nullable=False),
    Column("deployed", Instant, nullable=False),
)

counted = Tables(
    rollout_table("endpoint_rollouts", metadata),
    tally_table("endpoint_tallies", metadata),
    tally_table("endpoint_tally_blocks", metadata),
)
