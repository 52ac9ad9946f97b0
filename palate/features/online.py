"""Feature values by the id of a user or an item, in SQLite or PostgreSQL: what a service looks up while it answers.

`write` puts in what `EventFeatures.latest` computed, so that they are the numbers of the offline tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from palate.errors import ParameterError
from palate.features.events import ENTITIES, EventFeatures
from palate.store.engine import reading, writing
from palate.store.migrate import migrate
from palate.store.types import NAMES

MIGRATIONS = "palate.features:migrations"
_ROWS = 5_000
_NAMED = 500

metadata = sa.MetaData(naming_convention=NAMES)
values = sa.Table(
    "feature_values",
    metadata,
    sa.Column("entity", sa.String(10), primary_key=True),
    sa.Column("id", sa.String(512), primary_key=True),
    sa.Column("as_of", sa.Float, nullable=False),
    sa.Column("features", sa.JSON, nullable=False),
)


@dataclass(frozen=True)
class Known:
    """What is known of one user or item: as of when (seconds since 1970 UTC), and name to value, None where null."""

    as_of: float
    features: dict[str, float | None]


class OnlineFeatures:
    """The values in a database. Safe to share between threads and processes; a method is one transaction."""

    def __init__(self, engine: sa.Engine) -> None:
        """Makes the table if it is missing. Raises StoreError if the database cannot be used."""
        migrate(engine, "features", MIGRATIONS)
        self._engine = engine

    def refresh(self, features: EventFeatures, events: pa.Table, at: float) -> int:
        """Computes the features of all users and items as of `at` and writes them; how many rows those are.

        They take the place of all that was there before, in one transaction: whoever asks meanwhile gets all of the
        former or all of the new. Raises SchemaError as `EventFeatures.as_of`.
        """
        made = {entity: features.latest(entity, events, at) for entity in ENTITIES if features.of(entity)}
        with writing(self._engine) as db:
            db.execute(sa.delete(values))
            for entity, table in made.items():
                _put(db, entity, table, at)
        return sum(map(len, made.values()))

    def write(self, entity: str, table: pa.Table, at: float) -> None:
        """Writes a table of `EventFeatures.latest` over what is held of the same ids."""
        _checked(entity)
        with writing(self._engine) as db:
            _put(db, entity, table, at)

    def get(self, entity: str, ids: Sequence[str | int]) -> dict[str, Known]:
        """What is known of those of the ids of which anything is; ids are text."""
        _checked(entity)
        names = list(dict.fromkeys(map(str, ids)))
        found: dict[str, Known] = {}
        with reading(self._engine) as db:
            for start in range(0, len(names), _NAMED):
                query = sa.select(values).where(
                    values.c.entity == entity, values.c.id.in_(names[start : start + _NAMED])
                )
                found |= {row.id: Known(row.as_of, dict(row.features)) for row in db.execute(query)}
        return found


def _checked(entity: str) -> None:
    if entity not in ENTITIES:
        raise ParameterError(f"must be one of {', '.join(ENTITIES)}, not {entity[:80]!r}.", where="entity")


def _put(db: sa.Connection, entity: str, table: pa.Table, at: float) -> None:
    insert: Any = (postgresql.insert if db.dialect.name == "postgresql" else sqlite.insert)(values)
    insert = insert.on_conflict_do_update(
        index_elements=["entity", "id"],
        set_={"as_of": insert.excluded.as_of, "features": insert.excluded.features},
    )
    for batch in table.to_batches(max_chunksize=_ROWS):
        rows = []
        for row in batch.to_pylist():
            name = str(row.pop(entity))
            rows.append({"entity": entity, "id": name, "as_of": float(at), "features": row})
        if rows:
            db.execute(insert, rows)
