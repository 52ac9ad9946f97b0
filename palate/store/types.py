"""What all tables share: the metadata of the shared ones, instants in UTC, and one clock per database."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import TypeDecorator

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
"""Names of constraints, so that a later migration can address each on both databases."""

metadata = sa.MetaData(naming_convention=NAMES)
"""The shared tables (accounts and jobs). A house has a MetaData of its own, best made with the same `NAMES`."""


class Instant(TypeDecorator[datetime]):
    """A moment in UTC. Takes and gives aware datetimes only, also on SQLite, which stores no time zone."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("An instant needs a time zone.")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        moment: datetime = value
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def clock(connection: sa.Connection) -> datetime:
    """The time leases are measured by: the server's on PostgreSQL (machines differ), this machine's on SQLite."""
    if connection.dialect.name == "postgresql":
        moment: datetime = connection.scalar(sa.select(sa.func.clock_timestamp()))  # type: ignore[assignment]
        return moment.astimezone(UTC)
    return datetime.now(UTC)


def partial_index(name: str, *columns: Any, where: str, postgresql: str | None = None) -> sa.Index:
    """An index of the rows for which `where` holds. postgresql: the condition as that database says it, if not so."""
    return sa.Index(name, *columns, sqlite_where=sa.text(where), postgresql_where=sa.text(postgresql or where))
