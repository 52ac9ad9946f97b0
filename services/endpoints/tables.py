"""The one table: which models stand behind which name. A row is written whole; `revision` says that it changed."""

from __future__ import annotations

from sqlalchemy import JSON, Column, MetaData, String, Table

from palate.store.types import NAMES, Instant

metadata = MetaData(naming_convention=NAMES)

endpoints = Table(
    "endpoint_deployments",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("variants", JSON, nullable=False),
    Column("revision", String(32), nullable=False),
    Column("deployed", Instant, nullable=False),
)
