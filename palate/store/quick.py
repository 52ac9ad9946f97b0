"""Statements of the hot path: compiled once and run by the driver itself.

Through SQLAlchemy's connection and a transaction a look-up of one row takes some 80 µs in Python, the database 5; an
insert of a hundred rows takes it as long to bind them as SQLite to store them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, Select, Table, event
from sqlalchemy.dialects import postgresql, sqlite

from palate.store.engine import reading
from palate.store.prepared import compiled_for
from palate.waiting import Line

T = TypeVar("T")
_KEPT = 4
"""Connections of a query."""
_TOGETHER = 50
"""Rows of one insert: few enough for SQLite's limit of 32,766 parameters at any number of columns."""


class Quick:
    """A query that reads, with bound parameters. Safe to share between threads.

    Rows of `first` and `all` are as the driver gives them: select columns of numbers and text only. Each row is of one
    snapshot, but two calls are of two.
    """

    def __init__(self, engine: Engine, query: Select[*tuple[Any, ...]]) -> None:
        self._engine, self._query = engine, query
        self._compiled = compiled_for(query, engine.dialect)
        self._own = _Own(engine)

    def first(self, **values: Any) -> tuple[Any, ...] | None:
        """The first row, or None. Raises StoreError as `reading` does."""

        def first(rows: Any) -> tuple[Any, ...] | None:
            row = rows.fetchone()
            return None if row is None else tuple(row)

        return self._asked(first, first, values)

    def all(self, **values: Any) -> list[tuple[Any, ...]]:
        """All rows. Raises StoreError as `reading` does."""
        return self._asked(_all, _all, values)

    def typed(self, **values: Any) -> tuple[Any, ...] | None:
        """The first row, of the types that its columns declare, or None. Raises StoreError as `reading` does."""
        found = self._asked(self._typed, _all, values)
        return found[0] if found else None

    def _typed(self, cursor: Any) -> list[tuple[Any, ...]]:
        return self._compiled.typed(self._compiled.fetch(cursor, self._engine.dialect))

    def _asked(self, take: Callable[[Any], T], wrapped: Callable[[Any], T], values: dict[str, Any]) -> T:
        """What `take` makes of the driver's cursor, or `wrapped` of SQLAlchemy's."""
        given = self._compiled.given(values)
        try:
            connection = self._own.take()
            try:
                cursor = connection.cursor()
                cursor.execute(self._compiled.sql, given)
                found = take(cursor)
                cursor.close()
            except BaseException:
                self._own.lose(connection)
                raise
        except Exception:  # asked once more in the way that tells what is wrong, or that mends a lost connection
            with reading(self._engine) as db:
                return wrapped(db.execute(self._query, values))
        self._own.give(connection)
        return found


def _all(rows: Any) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in rows.fetchall()]


class _Own:
    """Connections of the driver's that belong to one query, at most `_KEPT`: who finds all of them in use waits, for a
    look-up is short and a new connection takes as long as a hundred of them.

    To lend one and to take it back costs SQLAlchemy's pool twice what the look-up itself does. Each statement is its
    own transaction.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._line = Line(_KEPT)
        self._idle: list[Any] = []
        event.listen(engine, "engine_disposed", self._close)

    def take(self) -> Any:
        """A connection, to be given back if all went well, and to be lost if not."""
        self._line.enter()
        try:
            return self._idle.pop() if self._idle else self._new()
        except BaseException:
            self._line.leave()
            raise

    def give(self, connection: Any) -> None:
        self._idle.append(connection)
        self._line.leave()

    def lose(self, connection: Any) -> None:
        try:
            connection.close()
        finally:
            self._line.leave()

    def _new(self) -> Any:
        lent = self._engine.raw_connection()
        connection: Any = lent.driver_connection
        lent.detach()
        if self._engine.dialect.name == "postgresql":
            connection.autocommit = True
        return connection

    def _close(self, engine: Engine) -> None:
        while self._idle:
            self._idle.pop().close()


class QuickInsert:
    """Puts rows into a table, those left out whose key is taken. Safe to share between threads.

    Rows are tuples in the order of `columns`, of what the driver takes as it is: numbers and text. SQLite gets many of
    them in one statement: with one for each, the thread gives the interpreter away and waits to get it back at each,
    and where others are busy a batch takes several times as long, in which all other writers wait.
    """

    def __init__(self, engine: Engine, table: Table, columns: Sequence[str]) -> None:
        made = (postgresql if engine.dialect.name == "postgresql" else sqlite).insert(table).on_conflict_do_nothing()
        compiled = made.compile(dialect=engine.dialect, column_keys=list(columns))
        self._sql, self._columns = compiled.string, tuple(columns)
        places: list[str] | None = getattr(compiled, "positiontup", None)
        self._ordered = None if places is None else itemgetter(*[self._columns.index(name) for name in places])
        row = f"({', '.join('?' * len(columns))})"
        self._sql_of_many = self._sql.replace(row, ", ".join([row] * _TOGETHER))

    def run(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> int:
        """How many of the rows were new; of rows with the same key the first is."""
        if self._ordered is None:
            named = [dict(zip(self._columns, row, strict=True)) for row in rows]
            return connection.exec_driver_sql(self._sql, named).rowcount
        given, new = [self._ordered(row) for row in rows], 0
        while len(given) >= _TOGETHER:
            together, given = given[:_TOGETHER], given[_TOGETHER:]
            new += connection.exec_driver_sql(self._sql_of_many, tuple(chain.from_iterable(together))).rowcount
        return new + (connection.exec_driver_sql(self._sql, given).rowcount if given else 0)
