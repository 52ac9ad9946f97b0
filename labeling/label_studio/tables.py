"""The tables of what goes between this service and a Label Studio; part of the labeling store's history.

A digest is SHA-256 over an answer as JSON: what a side had when both were last alike. A side that differs from its
digest has changed since.
"""

from sqlalchemy import (
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from labeling.store.tables import PERSON_LENGTH, Key, metadata
from palate.store.types import Instant

DIGEST_LENGTH = 64
VERSION_LENGTH = 100
URL_LENGTH = 500

links = Table(
    "label_studio_links",
    metadata,
    Column("project_id", ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("url", String(URL_LENGTH), nullable=False),
    Column("remote_id", Integer),
    Column("mark", String(40), nullable=False),
    Column("config_digest", String(DIGEST_LENGTH)),
    Column("remote_config_digest", String(DIGEST_LENGTH)),
    Column("seen", String(40), nullable=False, server_default=""),
    Column("seen_at", Instant),
    Column("holder", String(40)),
    Column("held_until", Instant),
    Column("synced", Instant),
    UniqueConstraint("url", "remote_id"),
)
"""A project and the Label Studio project that it is kept alike with; without a `remote_id` that one is being made, with
`mark` in its description. `seen`: their tasks are read up to this change,
by their clock; `seen_at`, by ours, is when that was found, `synced` when the last whole synchronisation began to read.
`holder` is the synchronisation under way, `held_until` how long it may be silent."""

linked_tasks = Table(
    "label_studio_tasks",
    metadata,
    Column("task_id", ForeignKey("tasks.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("project_id", ForeignKey("projects.id", ondelete="CASCADE"), nullable=False),
    Column("remote_id", Integer, nullable=False),
    Column("prediction_digest", String(DIGEST_LENGTH)),
    Column("prediction_sent", String(DIGEST_LENGTH)),
    UniqueConstraint("project_id", "remote_id"),
)
"""`prediction_sent` is written before a prediction is sent, `prediction_digest` after: where they differ, it may or may
not have arrived."""

linked_answers = Table(
    "label_studio_annotations",
    metadata,
    Column("id", Key, primary_key=True),
    Column("project_id", ForeignKey("projects.id", ondelete="CASCADE"), nullable=False),
    Column("task_id", ForeignKey("tasks.id", ondelete="CASCADE"), nullable=False),
    Column("person", String(PERSON_LENGTH), nullable=False),
    Column("remote_id", Integer),
    Column("digest", String(DIGEST_LENGTH), nullable=False),
    Column("remote_digest", String(DIGEST_LENGTH)),
    UniqueConstraint("task_id", "person"),
    UniqueConstraint("project_id", "remote_id"),
)
"""Without a `remote_id` the answer is being sent: it may or may not have arrived."""

refused = Table(
    "label_studio_refused",
    metadata,
    Column("project_id", ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("remote_id", Integer, primary_key=True, autoincrement=False),
    Column("remote_digest", String(DIGEST_LENGTH), nullable=False),
    Column("reason", Text, nullable=False),
)
"""Annotations that do not fit the project here, and are not tried again until they change."""

models = Table(
    "label_studio_models",
    metadata,
    Column("id", Key, primary_key=True),
    Column("project_id", ForeignKey("projects.id", ondelete="CASCADE"), nullable=False),
    Column("version", String(VERSION_LENGTH), nullable=False),
    Column("created", Instant, nullable=False),
    Column("answers", Integer, nullable=False),
    Column("accuracy", Float, nullable=False),
    Column("kept", LargeBinary),
    UniqueConstraint("project_id", "version"),
    Index(None, "project_id", "id"),
)
"""Models that were trained for a backend. Only the newest are `kept` whole."""
