"""The tables of the recommendation API.

Every change to the catalogue, to a user or to the events takes the next number of its counter in `counters`, in the
transaction that makes the change. The counter's row is locked until the commit, so numbers become visible in their
order, and whoever has read up to a number has missed nothing: that is how workers follow each other's writes.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    false,
)

from palate.store.types import NAMES

COUNTERS = ("items", "users", "events", "rules", "deployments", "tallies")

ID_LENGTH = 512
"""Ids longer than this many characters are refused at the door."""

metadata = MetaData(naming_convention=NAMES)

counters = Table(
    "recommender_counters",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("value", BigInteger, nullable=False),
)

items = Table(
    "recommender_items",
    metadata,
    Column("id", String(ID_LENGTH), primary_key=True),
    Column("title", Text),
    Column("text", Text),
    Column("categories", JSON, nullable=False),
    Column("tags", JSON, nullable=False),
    Column("image", Text),
    Column("available", Boolean, nullable=False),
    Column("timestamp", BigInteger),
    Column("attributes", JSON, nullable=False),
    Column("deleted", Boolean, nullable=False),
    Column("change", BigInteger, nullable=False, index=True),
)

users = Table(
    "recommender_users",
    metadata,
    Column("id", String(ID_LENGTH), primary_key=True),
    Column("categories", JSON, nullable=False),
    Column("tags", JSON, nullable=False),
    Column("segment", Integer),
    Column("attributes", JSON, nullable=False),
    Column("deleted", Boolean, nullable=False, server_default=false()),
    Column("change", BigInteger, nullable=False, index=True),
)

events = Table(
    "recommender_events",
    metadata,
    Column("id", String(ID_LENGTH), primary_key=True),
    Column("user", String(ID_LENGTH), nullable=False),
    Column("item", String(ID_LENGTH), nullable=False),
    Column("kind", String(80), nullable=False),
    Column("weight", Float),
    Column("timestamp", Float, nullable=False),
    Column("received", Float, nullable=False),
    Column("recommendation", String(80)),
    Column("dated", Boolean),
    Column("change", BigInteger, nullable=False, index=True),
    Index("ix_recommender_events_user_change", "user", "change"),
)

lists = Table(
    "recommender_lists",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("list", JSON, nullable=False),
    Column("kept", Float, nullable=False, index=True),
)

exports = Table(
    "recommender_exports",
    metadata,
    Column("after", BigInteger, primary_key=True, autoincrement=False),
    Column("least", Integer, primary_key=True, autoincrement=False),
    Column("until", BigInteger, nullable=False),
)

rules = Table(
    "recommender_rules",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("rules", JSON, nullable=False),
    Column("change", BigInteger, nullable=False),
)

shares = Table(
    "recommender_shares",
    metadata,
    Column("hour", BigInteger, primary_key=True, autoincrement=False),
    Column("strategy", String(40), primary_key=True),
    Column("lists", BigInteger, nullable=False),
)

uploads = Table(
    "recommender_uploads",
    metadata,
    Column("upload", String(32), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("data", LargeBinary, nullable=False),
    Column("kept", Float, nullable=False, index=True),
)
