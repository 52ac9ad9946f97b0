"""Talking to MLflow: quietly, with short time-outs, and with every failure as a RegistryError."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from palate.errors import RegistryError

if TYPE_CHECKING:
    from mlflow import MlflowClient

QUESTION_TIMEOUT = 10
"""Seconds for an answer of the tracking server; MLflow's own 120 with 7 retries keep a dead one open for an hour."""
UPLOAD_TIMEOUT = 300
"""Seconds for one file on its way to or from the server."""

_NOISY = ("mlflow", "alembic", "alembic.runtime.migration", "urllib3.connectionpool")


@contextmanager
def connection(uri: str, timeout: int = QUESTION_TIMEOUT) -> Iterator[MlflowClient]:
    """A client for the server or database at `uri`.

    Environment variables that the operator has set (`MLFLOW_HTTP_REQUEST_TIMEOUT`, ...) stay in force.
    MLflow's telemetry stays off.
    """
    limits = {
        "MLFLOW_HTTP_REQUEST_TIMEOUT": str(timeout),
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
        "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    }
    with ExitStack() as stack:
        stack.enter_context(_environment(limits))
        stack.enter_context(_quiet())
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield MlflowClient(tracking_uri=uri, registry_uri=uri)
        except MlflowException as error:
            away = "Max retries exceeded" in str(error) or "timed out" in str(error)
            message = "the tracking server does not answer." if away else _first_line(error)
            raise RegistryError(message, where=shown(uri), hint=_hint(uri)) from error
        except (SQLAlchemyError, OSError) as error:
            message = f"the model registry cannot be reached: {_first_line(error)}"
            raise RegistryError(message, where=shown(uri), hint=_hint(uri)) from error


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
def _environment(defaults: dict[str, str]) -> Iterator[None]:
    missing = {name: value for name, value in defaults.items() if name not in os.environ}
    os.environ.update(missing)
    try:
        yield
    finally:
        for name in missing:
            os.environ.pop(name, None)


@contextmanager
def _quiet() -> Iterator[None]:
    """MLflow's and Alembic's progress lines are not for the user; errors still come as exceptions."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow  # sets its loggers up on import; the levels below have to come after
        import mlflow.store.db.utils  # noqa: F401

        loggers = [logging.getLogger(name) for name in _NOISY]
        levels = [logger.level for logger in loggers]
        disabled = logging.root.manager.disable
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        logging.disable(max(disabled, logging.WARNING))  # a migration sets its own levels again
        try:
            yield
        finally:
            logging.disable(disabled)
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
