"""Bringing a database to the newest form, inside the process that uses it.

The shared tables come first, then the house's own. A house adds its tables so:

1. Declare them on a MetaData of its own: `metadata = sa.MetaData(naming_convention=palate.store.types.NAMES)`.
2. Make the packages `labeling/store/migrations` and `labeling/store/migrations/versions` (each with `__init__.py`)
   and in the latter one module per step, `v0001_projects.py`:

       revision, down_revision = "0001", None      # the next one: "0002", "0001"

       def upgrade() -> None:
           op.create_table("projects", sa.Column("id", sa.Integer, primary_key=True), ...)

   with `from alembic import op`. No env.py and no alembic.ini are needed. Steps only go up: a backup is the way down.
   The number in the module's name is that of the revision.
3. Call `migrate(engine, "labeling", "labeling.store:migrations")` when the process starts.
4. Test that both agree: `differences(engine, metadata)` is empty after `migrate`.

Alembic is imported when there is something to do: it takes 12 MB of each worker, and a good part of its start.
"""

from __future__ import annotations

import re
import zlib
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from palate.errors import StoreError
from palate.store.engine import reading, writing

if TYPE_CHECKING:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

SHARED = ("palate", "palate.store:migrations")
_STEP = re.compile(r"v(\d{4})_\w+\.py")


def migrate(engine: Engine, house: str, script_location: str | None = None) -> None:
    """Upgrade the shared tables and then those of `house` to the newest revision; quick when nothing is to be done.

    `script_location` is "package:folder", the folder holding `versions/`; None when the house has no tables of its
    own. Each house keeps its place in the table `alembic_version_<house>`. Safe when several workers start at once:
    one of them does it under the database's lock, the others wait and find it done. A step that fails leaves
    nothing behind. Raises StoreError when the database was written by a newer Palate or cannot be used.
    """
    _upgrade(engine, *SHARED)
    if script_location is not None and house != SHARED[0]:
        _upgrade(engine, house, script_location)


def differences(engine: Engine, metadata: sa.MetaData) -> list[Any]:
    """What `metadata` declares differently from the database, as Alembic names it; [] when both agree.

    Tables that `metadata` does not know are left out: the houses and the shared tables live in one database.
    """
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext

    names = set(metadata.tables)

    def ours(thing: Any, name: str | None, kind: str, reflected: bool, compare_to: Any) -> bool:
        return kind != "table" or name in names

    with reading(engine) as connection:
        context = MigrationContext.configure(connection, opts={"include_object": ours, "compare_type": True})
        return list(compare_metadata(context, metadata))


def _upgrade(engine: Engine, house: str, script_location: str) -> None:
    table = f"alembic_version_{house}"
    if _is_newest(engine, table, script_location):
        return

    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory
    from alembic.util.exc import CommandError

    config = Config()
    config.set_main_option("script_location", script_location)
    config.set_main_option("path_separator", "os")
    try:
        script = ScriptDirectory.from_config(config)
        known = {revision.revision for revision in script.walk_revisions()}
        newest = set(script.get_heads())
    except CommandError as error:
        raise StoreError(f"The migrations of {house} cannot be read: {error}") from error

    def pending(connection: Connection) -> bool:
        context = MigrationContext.configure(connection, opts={"version_table": table})
        current = set(context.get_current_heads())
        if current - known:
            raise StoreError(
                f"The database was written by a newer version (its {house} revision is {', '.join(sorted(current))}).",
                hint="Upgrade Palate, or point it at another database.",
            )
        return current != newest

    with writing(engine) as connection:
        if engine.dialect.name == "postgresql":
            # SQLite's write lock is already held; here a lock of our own, released with the transaction.
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(zlib.crc32(b"palate migrations"))))
        if pending(connection):
            _run(connection, config, script, table)


def _is_newest(engine: Engine, table: str, script_location: str) -> bool:
    """Whether the database has the last step of the folder, and no other place than that."""
    package, _, folder = script_location.partition(":")
    try:
        names = [file.name for file in files(package).joinpath(folder, "versions").iterdir()]
    except (OSError, ImportError):  # Alembic says what is wrong
        return False
    steps = sorted(found[1] for found in map(_STEP.fullmatch, names) if found)
    with reading(engine) as connection:
        if not sa.inspect(connection).has_table(table):
            return False
        held = connection.execute(sa.text(f"SELECT version_num FROM {table}")).scalars().all()  # noqa: S608 (ours)
    return bool(steps) and list(held) == steps[-1:]


def _run(connection: Connection, config: Config, script: ScriptDirectory, table: str) -> None:
    from alembic.runtime.environment import EnvironmentContext

    def steps(revision: Any, context: Any) -> Any:
        return script._upgrade_revs("heads", revision)

    with EnvironmentContext(config, script, fn=steps, destination_rev="heads") as environment:
        environment.configure(connection=connection, version_table=table)
        environment.run_migrations()
