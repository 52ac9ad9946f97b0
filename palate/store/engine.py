"""Opening a database, and the two kinds of transaction.

    engine = open_engine(settings.database("labeling"))
    with writing(engine) as db: db.execute(...)     # committed at the end, rolled back on an error
    with reading(engine) as db: db.execute(...)     # one consistent snapshot, cannot write

What a database says when it is away, locked, full or damaged comes out as a StoreError in plain words, a taken key as
a ConflictError; the driver's own error is its `__cause__`.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL, Connection, Engine, ExceptionContext
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from palate.errors import ConflictError, MissingDependencyError, PalateError, ParameterError, StoreError
from palate.store.queue import WriteQueue

BUSY_SECONDS = 10.0
"""How long a writer waits for SQLite's single write lock before it gives up."""
_READONLY = "palate_query_only"
IDLE_SECONDS = 1.0
"""A connection to PostgreSQL that lay unused for longer is tried before it is used."""


def open_engine(url: str, *, busy_seconds: float = BUSY_SECONDS) -> Engine:
    """An engine for `sqlite:///path` or `postgresql://user:password@host/name`.

    A SQLite file and its folder are made when missing, readable by this user alone; it runs in WAL mode, flushed at
    each commit, with foreign keys on. Nothing is connected to yet on PostgreSQL.

    Raises ParameterError for an address that cannot be read, MissingDependencyError without the PostgreSQL driver,
    StoreError when the file cannot be opened or is no database.
    """
    try:
        address = sa.make_url(url)
    except ArgumentError:
        raise ParameterError(
            "is not a database address.", where="database_url", hint="Write sqlite:///FILE or postgresql://HOST/NAME."
        ) from None
    backend = address.get_backend_name()
    if backend == "sqlite":
        return _open_sqlite(address, busy_seconds)
    if backend == "postgresql":
        return _open_postgresql(address)
    raise ParameterError(
        f"{backend} is not supported.", where="database_url", hint="Use SQLite or PostgreSQL 14 or newer."
    )


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """One consistent, read-only view of the database."""
    options: dict[str, Any] = {"palate_readonly": True}
    if engine.dialect.name == "postgresql":
        options |= {"postgresql_readonly": True, "isolation_level": "REPEATABLE READ"}
    with _transaction(engine, options) as connection:
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction that may write. On SQLite it takes the write lock at once, so it never fails half-way for it, and
    writers come one after the other, also those of other processes.
    """
    queue: WriteQueue | None = engine.get_execution_options().get("palate_queue")
    with ExitStack() as held:
        if queue is not None:
            try:
                held.enter_context(queue.turn())
            except TimeoutError:
                raise _say(_SIGNS[0], engine.url.database) from None
        yield held.enter_context(_transaction(engine, {}))


@contextmanager
def _transaction(engine: Engine, options: dict[str, Any]) -> Iterator[Connection]:
    try:
        with engine.connect() as connection:
            connection = connection.execution_options(**options)
            with connection.begin():
                yield connection
    except SQLAlchemyError as error:
        # Most is translated where it happens; this is for what comes up while connecting and committing.
        raise plain(error, engine) or error from error
    except OverflowError as error:
        # sqlite3's own, which SQLAlchemy does not wrap; any other is not ours to explain.
        if "SQLite" not in str(error):
            raise
        raise plain(error, engine) or error from error


def _dumps(value: object) -> str:
    return json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))


def _open_sqlite(address: URL, busy_seconds: float) -> Engine:
    if not address.database or address.database == ":memory:" or address.database.startswith("file:"):
        raise ParameterError(
            "SQLite needs a file: a database in memory is lost with its connection.", where="database_url"
        )
    file = Path(address.database)
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Made here so that only this user can read it; SQLite gives its -wal and -shm the same mode. One that is there
        # is left alone: to close it would end all locks that this process holds on it, SQLite's too.
        with suppress(FileExistsError):
            os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        queue = WriteQueue(file, busy_seconds)
    except OSError as error:
        raise StoreError(f"The database cannot be opened: {error.strerror}.", where=str(file)) from error
    engine = sa.create_engine(
        address.set(drivername="sqlite+pysqlite"),
        connect_args={"timeout": busy_seconds, "check_same_thread": False, "isolation_level": None},
        json_serializer=_dumps,
        pool_size=8,
        max_overflow=32,
        execution_options={"palate_queue": queue},
    )

    @event.listens_for(engine, "connect")
    def configure(dbapi_connection: Any, record: object) -> None:
        cursor = dbapi_connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        readonly = bool(connection.get_execution_options().get("palate_readonly"))
        if connection.info.get(_READONLY) is not readonly:  # what it was last, of this connection to the file
            connection.exec_driver_sql(f"PRAGMA query_only={'ON' if readonly else 'OFF'}")
            connection.info[_READONLY] = readonly
        connection.exec_driver_sql("BEGIN" if readonly else "BEGIN IMMEDIATE")

    event.listen(engine, "handle_error", _translate)
    try:
        with engine.connect():
            pass
    except DBAPIError as error:
        raise plain(error, engine) or error from error
    return engine


def _open_postgresql(address: URL) -> Engine:
    try:
        engine = sa.create_engine(
            address.set(drivername="postgresql+psycopg"),
            json_serializer=_dumps,
            pool_size=8,
            max_overflow=16,
            pool_use_lifo=True,  # of the one used last the server knows statements and plans; by turns all stay cold
            connect_args={"connect_timeout": 5},
        )
    except (ImportError, NoSuchModuleError) as error:
        raise MissingDependencyError(
            "The PostgreSQL driver is not installed.", hint="pip install 'palate[postgres]'"
        ) from error
    event.listen(engine, "handle_error", _translate)

    @event.listens_for(engine, "connect")
    def configure(connection: Any, record: object) -> None:
        # To compile a short statement that looks costly takes longer than to run it: 28 ms at each call.
        connection.execute("SET jit = off")
        connection.commit()

    @event.listens_for(engine, "checkin")
    def remember(connection: Any, record: ConnectionPoolEntry) -> None:
        record.info["used"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def look(connection: Any, record: ConnectionPoolEntry, proxy: object) -> None:
        # Whether the server is still there; to ask at each use would be a tenth of a short transaction's work.
        if time.monotonic() - record.info.get("used", math.inf) > IDLE_SECONDS:
            try:
                engine.dialect.do_ping(connection)
            except Exception as error:
                raise sa.exc.DisconnectionError from error

    return engine


def _translate(context: ExceptionContext) -> None:
    """SQLAlchemy's hook: replaces what the driver says by our own error."""
    if context.engine is None:
        return
    told = plain(context.sqlalchemy_exception or context.original_exception, context.engine)
    if told is not None:
        context.chained_exception = told


def plain(error: BaseException, engine: Engine) -> PalateError | None:
    """The StoreError, ConflictError or ParameterError that says it plainly; None for what is a bug of ours."""
    where = engine.url.database if engine.dialect.name == "sqlite" else engine.url.render_as_string(hide_password=True)
    if isinstance(error, OverflowError | sa.exc.DataError):
        return ParameterError("A value does not fit the database's column.")
    if isinstance(error, sa.exc.TimeoutError):
        return StoreError("All connections to the database are in use.", where=where, hint="Try again in a moment.")
    if isinstance(error, sa.exc.IntegrityError):
        return ConflictError("The database refused the change: a key is taken or a reference is missing.")
    if not isinstance(error, sa.exc.OperationalError | sa.exc.DatabaseError):
        return None
    if isinstance(error, sa.exc.ProgrammingError):
        return None
    text = str(error.orig).lower()
    for sign in _SIGNS:
        if sign[0] in text:
            return _say(sign, where)
    if isinstance(error, sa.exc.OperationalError) and engine.dialect.name == "postgresql":
        return StoreError("The database cannot be reached.", where=where, hint="Is the server up?")
    return None


def _say(sign: tuple[str, str, str | None], where: str | None) -> StoreError:
    return StoreError(sign[1], where=where, hint=sign[2])


_SIGNS: tuple[tuple[str, str, str | None], ...] = (
    ("is locked", "The database is locked by another process.", "Try again in a moment."),
    ("database or disk is full", "The disk is full.", "Free some space; nothing was written."),
    ("file is not a database", "The file is not a SQLite database.", "Name another file, or move this one away."),
    ("malformed", "The database file is damaged.", "Restore it from a backup."),
    ("readonly database", "The database cannot be written.", "Check the file's owner and mode."),
    ("unable to open", "The database file cannot be opened.", "Check that the folder exists and its owner."),
    ("disk i/o error", "The disk failed while the database was in use.", "Check the disk."),
    ("deadlock detected", "The write lost against another one.", "Try again."),
    ("could not serialize", "The write lost against another one.", "Try again."),
    ("authentication failed", "The database refused the user or the password.", None),
    ("does not exist", "The server has no such database or table.", "Create the database first."),
)
