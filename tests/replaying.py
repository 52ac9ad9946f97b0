"""A house's migrations are worked out once in each process of the tests; the next empty database is told the same.

What Alembic says to an empty database is the same each time, and working it out takes most of the time that a test
of a store takes. So it is kept the first time, by database and house, and said again to the next one, in the same
transaction. A database that holds the house's tables already is migrated as ever, as are houses that tests make up.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Connection

Run = Callable[[Connection, Config, ScriptDirectory, str], None]
CODE = Path(__file__).parent.parent


class Replaying:
    """Stands in for `palate.store.migrate._run`, which it calls for whatever it has not heard yet."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.heard: dict[tuple[str, str], list[tuple[str, Any]]] = {}

    def __call__(self, connection: Connection, config: Config, script: ScriptDirectory, table: str) -> None:
        house = (connection.dialect.name, script.dir)
        if not Path(script.dir).is_relative_to(CODE) or sa.inspect(connection).has_table(table):
            self.run(connection, config, script, table)
        elif house in self.heard:
            for statement, values in self.heard[house]:
                connection.exec_driver_sql(statement, values)
        else:
            said: list[tuple[str, Any]] = []

            def hear(_: Connection, __: Any, statement: str, values: Any, *___: Any) -> None:
                said.append((statement, values))

            sa.event.listen(connection, "before_cursor_execute", hear)
            try:
                self.run(connection, config, script, table)
            finally:
                sa.event.remove(connection, "before_cursor_execute", hear)
            self.heard[house] = [(statement, values) for statement, values in said if changes(statement)]


def changes(statement: str) -> bool:
    """Whether it does more than ask."""
    return not statement.lstrip().upper().startswith(("SELECT", "PRAGMA"))
