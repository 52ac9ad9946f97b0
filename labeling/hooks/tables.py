"""The tables of webhooks; part of the labeling store's history."""

from sqlalchemy import JSON, BigInteger, Column, ForeignKey, Integer, String, Table, Text

from labeling.outward import LONGEST
from labeling.store.tables import PERSON_LENGTH, Key, metadata
from palate.store.types import Instant, partial_index

hooks = Table(
    "webhooks",
    metadata,
    Column("id", Key, primary_key=True),
    Column("project_id", ForeignKey("projects.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("url", String(LONGEST), nullable=False),
    Column("events", JSON, nullable=False),
    Column("secret", String(100), nullable=False),
    Column("person", String(PERSON_LENGTH), nullable=False),
    Column("created", Instant, nullable=False),
    Column("told", JSON, nullable=False),
)
"""`told`: up to where things were written down as deliveries: the last answer and the last change, the run's state,
whether it is done."""

deliveries = Table(
    "webhook_deliveries",
    metadata,
    Column("id", Key, primary_key=True),
    Column("hook_id", ForeignKey("webhooks.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("event", String(40), nullable=False),
    Column("body", Text, nullable=False),
    Column("state", String(10), nullable=False),
    Column("round", Integer, nullable=False, server_default="0"),
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("status", Integer),
    Column("error", Text),
    Column("job", BigInteger),
    Column("created", Instant, nullable=False),
    Column("finished", Instant),
)
"""`round` counts how often it was to be sent again, `tries` all requests; `status` and `error` are the last one's."""
partial_index("ix_webhook_deliveries_waiting", deliveries.c.id, where="state = 'waiting'")
