"""Statements of a busy transaction: compiled once, and run by the driver itself.

SQLAlchemy takes some 80 µs to prepare a statement and to wrap what comes back, a database that has the row in memory 5.
Where a transaction has many small statements that is most of it, and on SQLite it is time in which all other writers
wait. `Quick` is for what needs no transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, TypeVar

from sqlalchemy import CompoundSelect, Connection, Delete, Dialect, Insert, Select, Update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import TypeEngine

from palate.store.engine import plain

Change = Callable[[Any], Any]
"""From a value as Python has it to one that the driver takes, or back."""
T = TypeVar("T")
MOST_KEPT = 256
"""Rows of which a statement remembers what was made."""


class Prepared:
    """A statement with bound parameters, for either database. Safe to share between threads.

    An insert names its columns by `values(name=bindparam("name"))`. A parameter that is a list (`expanding`) does not
    fit: there the statement is another one for each length.
    """

    def __init__(self, statement: Select[Any] | CompoundSelect[Any] | Insert | Update | Delete) -> None:
        self._statement = statement
        self._made: dict[str, Compiled] = {}
        self._kept: dict[tuple[Any, ...], tuple[Any, Any]] = {}

    def all(self, connection: Connection, **values: Any) -> list[tuple[Any, ...]]:
        """The rows, or those of RETURNING; values have the types that the columns declare.

        Raises what executing the statement would raise: StoreError, ConflictError, ParameterError.
        """
        compiled = self._compiled(connection.dialect)
        return compiled.typed(self._run(connection, compiled, values))

    def first(self, connection: Connection, **values: Any) -> tuple[Any, ...] | None:
        """The first row, or None. Raises as `all` does."""
        found = self.all(connection, **values)
        return found[0] if found else None

    def named(self, connection: Connection, **values: Any) -> dict[str, Any] | None:
        """The first row by the names of its columns, or None. Raises as `all` does."""
        found = self.first(connection, **values)
        return None if found is None else self._compiled(connection.dialect).named(found)

    def made(self, connection: Connection, make: Callable[[dict[str, Any]], T], **values: Any) -> T | None:
        """What `make`, the same at each call, makes of the first row by the names of its columns, or None. As long as
        the row is the same, it is not made again but the same thing: not to be changed. Raises as `all` does.
        """
        compiled = self._compiled(connection.dialect)
        row = next(iter(self._run(connection, compiled, values)), None)
        if row is None:
            return None
        asked = tuple(values.values())
        kept = self._kept.get(asked)
        if kept is None or kept[0] != row:
            if len(self._kept) >= MOST_KEPT:
                self._kept.clear()
            kept = self._kept[asked] = row, make(compiled.named(compiled.typed([row])[0]))
        found: T = kept[1]
        return found

    def _compiled(self, dialect: Dialect) -> Compiled:
        made = self._made.get(dialect.name)
        if made is None:
            made = self._made[dialect.name] = compiled_for(self._statement, dialect)
        return made

    def _run(self, connection: Connection, compiled: Compiled, values: dict[str, Any]) -> list[Any]:
        """The rows as the driver has them."""
        given = compiled.given(values)
        dialect = connection.dialect
        driver = dialect.loaded_dbapi
        try:
            cursor = connection.connection.cursor()
            try:
                cursor.execute(compiled.sql, given)
                return compiled.fetch(cursor, dialect) if compiled.names else []
            finally:
                cursor.close()
        except driver.Error as error:
            wrapped = DBAPIError.instance(
                compiled.sql, given, error, driver.Error, hide_parameters=True, dialect=dialect
            )
            raise plain(wrapped, connection.engine) or wrapped from error


@dataclass
class Compiled:
    """A statement as one database takes it. constants: values that stand in the statement itself, changed already.
    places: takes the parameters in their order out of a dictionary, for a driver that knows no names. columns: which
    values of the rows are changed, and how, known since there was one.
    """

    sql: str
    names: tuple[str, ...]
    types: tuple[TypeEngine[Any], ...]
    constants: dict[str, Any]
    changes: dict[str, Change | None]
    places: Callable[[dict[str, Any]], tuple[Any, ...]] | None
    columns: tuple[tuple[int, Change], ...] | None = None

    def given(self, values: dict[str, Any]) -> Any:
        """The parameters in the form of the driver."""
        named = {
            name: values[name] if change is None else change(values[name]) for name, change in self.changes.items()
        }
        if self.constants:
            named |= self.constants
        return named if self.places is None else self.places(named)

    def fetch(self, cursor: Any, dialect: Dialect) -> list[Any]:
        """The rows as the driver has them."""
        if self.columns is None:
            codes = [column[1] for column in cursor.description]
            changes = enumerate(map(_result, self.types, codes, [dialect] * len(codes)))
            self.columns = tuple((place, change) for place, change in changes if change is not None)
        found: list[Any] = cursor.fetchall()
        return found

    def typed(self, rows: list[Any]) -> list[tuple[Any, ...]]:
        """What `fetch` gave, with values as Python has them."""
        if not self.columns:
            return rows
        changed = []
        for row in rows:
            one = list(row)
            for place, change in self.columns:
                one[place] = change(one[place])
            changed.append(tuple(one))
        return changed

    def named(self, row: tuple[Any, ...]) -> dict[str, Any]:
        """A row by the names of its columns."""
        return dict(zip(self.names, row, strict=True))


def compiled_for(statement: Any, dialect: Dialect) -> Compiled:
    """The statement as the driver of a database takes it."""
    compiled: Any = statement.compile(dialect=dialect)
    asked = {name: bound for name, bound in compiled.binds.items() if name in compiled.params}
    changes = {name: _bound(bound.type, dialect) for name, bound in asked.items()}
    needed = {name: change for name, change in changes.items() if asked[name].required}
    constants = {name: compiled.params[name] for name in asked if name not in needed}
    for name, value in constants.items():
        change = changes[name]
        constants[name] = value if change is None else change(value)
    return Compiled(
        sql=compiled.string,
        names=tuple(column.key for column in statement.exported_columns),
        types=tuple(column.type for column in statement.exported_columns),
        constants=constants,
        changes=needed,
        places=None if compiled.positiontup is None else _taking(compiled.positiontup),
    )


def _taking(names: Sequence[str]) -> Callable[[dict[str, Any]], tuple[Any, ...]]:
    """What takes these out of a dictionary, in this order."""
    if len(names) < 2:  # itemgetter gives one without a tuple around it
        return lambda named: tuple(named[name] for name in names)
    return itemgetter(*names)


def _bound(kind: TypeEngine[Any], dialect: Dialect) -> Change | None:
    return kind.dialect_impl(dialect).bind_processor(dialect)


def _result(kind: TypeEngine[Any], code: object, dialect: Dialect) -> Change | None:
    return kind.dialect_impl(dialect).result_processor(dialect, code)
