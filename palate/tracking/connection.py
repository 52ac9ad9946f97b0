"""Talking to MLflow: quietly, with short time-outs, and with every failure as a RegistryError."""

from __future__ import annotations

import fcntl
import logging
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from palate.errors import RegistryError

if TYPE_CHECKING:
    from mlflow import MlflowClient

QUESTION_TIMEOUT = 10
"""Seconds for an answer of the tracking server; MLflow's own 120 with 7 retries keep a dead one open for an hour."""
UPLOAD_TIMEOUT = 300
"""Seconds for one file on its way to or from the server."""

_TIMEOUT = "MLFLOW_HTTP_REQUEST_TIMEOUT"
_LIMITS = {
    _TIMEOUT: str(QUESTION_TIMEOUT),
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}

_LEVELS = {
    "alembic": logging.WARNING,  # a line for each step of a new database's migration
    "mlflow.store.db.utils": logging.WARNING,
    "urllib3.connectionpool": logging.ERROR,  # a line for each retry; the failure itself is raised
}


class Connection:
    """The server or database at `uri`, opened when first asked.

    MLflow reads its limits from the environment at each request, so they are set there, for the whole process, unless
    the operator has set them already. Its telemetry is switched off in the same way.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._opened: MlflowClient | None = None

    @contextmanager
    def client(self) -> Iterator[MlflowClient]:
        """MLflow's client; what goes wrong with it inside the block is raised as RegistryError."""
        for name, value in _LIMITS.items():
            os.environ.setdefault(name, value)
        try:
            self._opened = self._opened or _open(self.uri)
            yield self._opened
        except Exception as error:
            told = _told(error, self.uri)
            if told is None:
                raise
            raise told from error

    @contextmanager
    def transfer(self) -> Iterator[MlflowClient]:
        """As `client`, with time for large files."""
        with self.client() as client, _PATIENCE.shown():
            yield client


class _Patience:
    """UPLOAD_TIMEOUT in place of QUESTION_TIMEOUT, for the whole process, while any thread transfers: the first that
    begins sets it, the last that ends takes it back. A limit that the operator has set stays."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._transfers = 0
        self._ours = False

    @contextmanager
    def shown(self) -> Iterator[None]:
        with self._lock:
            self._transfers += 1
            if self._transfers == 1:
                self._ours = os.environ[_TIMEOUT] == _LIMITS[_TIMEOUT]
                if self._ours:
                    os.environ[_TIMEOUT] = str(UPLOAD_TIMEOUT)
        try:
            yield
        finally:
            with self._lock:
                self._transfers -= 1
                if self._transfers == 0 and self._ours:
                    os.environ[_TIMEOUT] = _LIMITS[_TIMEOUT]


_PATIENCE = _Patience()


def _open(uri: str) -> MlflowClient:
    """A client that has asked once, so that a new database is migrated; without MLflow's and Alembic's lines."""
    _hush()
    from mlflow import MlflowClient

    with _alone(uri):
        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        client.search_experiments(max_results=1)
        client.search_registered_models(max_results=1)
    return client


def _told(error: Exception, uri: str) -> RegistryError | None:
    """What the caller is told of an error of MLflow's; None for one that is not MLflow's."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    if isinstance(error, MlflowException):
        away = "Max retries exceeded" in str(error) or "timed out" in str(error)
        message = "the tracking server does not answer." if away else _first_line(error)
    elif isinstance(error, (SQLAlchemyError, OSError)):
        message = f"the model registry cannot be reached: {_first_line(error)}"
    else:
        return None
    return RegistryError(message, where=shown(uri), hint=_hint(uri))


def shown(uri: str) -> str:
    """The URI without the password it may hold."""
    scheme, slashes, rest = uri.partition("://")
    return f"{scheme}{slashes}{rest.rpartition('@')[2]}"


def _hint(uri: str) -> str:
    return "Is the server running?" if uri.startswith("http") else "Is PALATE_TRACKING_URI right?"


def _first_line(error: Exception) -> str:
    line = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
    return line if line.endswith(".") else line + "."


@contextmanager
def _alone(uri: str) -> Iterator[None]:
    """Of a database in a file, one process at a time makes its first contact: the migrations of a new one, begun by
    several workers of a server at once, stumble over each other's tables. Where no file may be written beside it,
    nobody waits."""
    with ExitStack() as stack:
        if uri.startswith("sqlite:///"):
            path = uri.removeprefix("sqlite:///").partition("?")[0]
            with suppress(OSError):
                file = stack.enter_context(open(f"{path}-opening", "a", encoding="utf-8"))
                fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _hush() -> None:
    """Keep what MLflow says of a first contact out of the log: by its own loggers and modules. Switching the whole
    process's log off and on again would leave it off where two threads make their first contact at once."""
    for name, level in _LEVELS.items():
        logging.getLogger(name).setLevel(level)
    warnings.filterwarnings("ignore", module=r"mlflow\.")
