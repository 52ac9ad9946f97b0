"""The one table: which model stands behind which name. A row is written whole; `revision` says that it changed."""

from __future__ import annotations

from sqlalchemy import JSON, Column, MetaData, String, Table

from palate.store.types import NAMES, Instant

metadata = MetaData(naming_convention=NAMES)

endpoints = Table(
    "endpoints",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("source", JSON, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("kind", String(100), nullable=False),
    Column("revision", String(32), nullable=False),
    Column("deployed", Instant, nullable=False),
)
