"""A query of the hot path: compiled once and run by the driver itself.

Through SQLAlchemy's connection and a transaction a look-up of one row takes some 80 µs in Python, the database 5.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, Select

from palate.store.engine import reading


class Quick:
    """A query that reads, with bound parameters. Safe to share between threads.

    Rows are as the driver gives them: select columns of numbers and text only. Each row is of one snapshot, but two
    calls are of two.
    """

    def __init__(self, engine: Engine, query: Select[Any]) -> None:
        self._engine, self._query = engine, query
        compiled = query.compile(dialect=engine.dialect)
        self._sql = compiled.string
        self._constants: dict[str, Any] = dict(compiled.params)
        self._places: list[str] | None = getattr(compiled, "positiontup", None)

    def first(self, **values: Any) -> tuple[Any, ...] | None:
        """The first row, or None. Raises StoreError as `reading` does."""
        named = {**self._constants, **values}
        given = named if self._places is None else [named[name] for name in self._places]
        try:
            connection = self._engine.raw_connection()
            try:
                cursor = connection.cursor()
                cursor.execute(self._sql, given)
                found: tuple[Any, ...] | None = cursor.fetchone()
                cursor.close()
            finally:
                connection.close()
        except Exception:  # asked once more in the way that tells what is wrong, or that mends a lost connection
            with reading(self._engine) as db:
                row = db.execute(self._query, values).first()
                return None if row is None else tuple(row)
        return found
