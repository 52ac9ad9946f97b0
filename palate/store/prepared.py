"""Statements of a busy transaction: compiled once, and run by the driver itself.

SQLAlchemy takes some 80 µs to prepare a statement and to wrap what comes back, a database that has the row in memory 5.
Where a transaction has many small statements that is most of it, and on SQLite it is time in which all other writers
wait. `Quick` is for what needs no transaction.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import CompoundSelect, Connection, Delete, Dialect, Insert, Select, Update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import TypeEngine

from palate.store.engine import plain

Change = Callable[[Any], Any]
"""From a value as Python has it to one that the driver takes, or back."""


class Prepared:
    """A statement with bound parameters, for either database. Safe to share between threads.

    An insert names its columns by `values(name=bindparam("name"))`. A parameter that is a list (`expanding`) does not
    fit: there the statement is another one for each length.
    """

    def __init__(self, statement: Select[Any] | CompoundSelect[Any] | Insert | Update | Delete) -> None:
        self._statement = statement
        self._made: dict[str, Compiled] = {}

    def all(self, connection: Connection, **values: Any) -> list[tuple[Any, ...]]:
        """The rows, or those of RETURNING; values have the types that the columns declare.

        Raises what executing the statement would raise: StoreError, ConflictError, ParameterError.
        """
        dialect = connection.dialect
        made = self._made.get(dialect.name)
        if made is None:
            made = self._made[dialect.name] = compiled_for(self._statement, dialect)
        given = made.given(values)
        driver = dialect.loaded_dbapi
        try:
            cursor = connection.connection.cursor()
            try:
                cursor.execute(made.sql, given)
                found = made.rows(cursor, dialect) if made.names else []
            finally:
                cursor.close()
        except driver.Error as error:
            wrapped = DBAPIError.instance(made.sql, given, error, driver.Error, hide_parameters=True, dialect=dialect)
            raise plain(wrapped, connection.engine) or wrapped from error
        return found

    def first(self, connection: Connection, **values: Any) -> tuple[Any, ...] | None:
        """The first row, or None. Raises as `all` does."""
        found = self.all(connection, **values)
        return found[0] if found else None

    def named(self, connection: Connection, **values: Any) -> dict[str, Any] | None:
        """The first row by the names of its columns, or None. Raises as `all` does."""
        found = self.first(connection, **values)
        return None if found is None else dict(zip(self._made[connection.dialect.name].names, found, strict=True))


@dataclass
class Compiled:
    """A statement as one database takes it. constants: values that stand in the statement itself, changed already.
    places: the parameters in their order, for a driver that knows no names. columns: how values of the rows are
    changed, known since there was one.
    """

    sql: str
    names: tuple[str, ...]
    types: tuple[TypeEngine[Any], ...]
    constants: dict[str, Any]
    changes: dict[str, Change | None]
    places: tuple[str, ...] | None
    columns: tuple[Change | None, ...] | None = None

    def given(self, values: dict[str, Any]) -> Any:
        """The parameters in the form of the driver."""
        named = dict(self.constants)
        for name, change in self.changes.items():
            value = values[name]
            named[name] = value if change is None else change(value)
        return named if self.places is None else [named[name] for name in self.places]

    def rows(self, cursor: Any, dialect: Dialect) -> list[tuple[Any, ...]]:
        """The rows of the driver with values as Python has them."""
        changes = self.columns
        if changes is None:
            codes = [column[1] for column in cursor.description]
            changes = self.columns = tuple(map(_result, self.types, codes, [dialect] * len(codes)))
        return [
            tuple([value if change is None else change(value) for value, change in zip(row, changes, strict=True)])
            for row in cursor.fetchall()
        ]


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
        places=None if compiled.positiontup is None else tuple(compiled.positiontup),
    )


def _bound(kind: TypeEngine[Any], dialect: Dialect) -> Change | None:
    return kind.dialect_impl(dialect).bind_processor(dialect)


def _result(kind: TypeEngine[Any], code: object, dialect: Dialect) -> Change | None:
    return kind.dialect_impl(dialect).result_processor(dialect, code)
