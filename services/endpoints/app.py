"""The factory of the server of model endpoints."""

from __future__ import annotations

import atexit
import os
import weakref
from pathlib import Path
from typing import Any

from flask import Flask, Response

from palate import __version__
from palate.store import migrate, open_engine, run_worker
from palate.web import create_app, metrics
from services import warming
from services.endpoints.counts import Counts
from services.endpoints.hosting import Hosting
from services.endpoints.invoking import INVOKING, KEY, Invoking
from services.endpoints.pages import NAV, dashboard
from services.endpoints.routes import management, runtime
from services.endpoints.scoring import scoring
from services.endpoints.settings import EndpointSettings
from services.endpoints.source import Resolve
from services.endpoints.store import Store
from services.endpoints.transforms import handlers
from services.variants import ticker
from services.variants.pages import pages

MIGRATIONS = "services.endpoints:migrations"
_JOB_SECONDS = 1.0
"""Between two looks for a transform to do."""
DESCRIPTION = (
    "Models behind names, asked at `POST /endpoints/{name}/invocations` in SageMaker's formats. Keys need the scopes "
    "invoke (ask models) and endpoints (deploy and delete)."
)


def create(settings: EndpointSettings | None = None) -> Flask:
    """The app of one worker: tables made, models loaded, followed in the background.

    A bundle that cannot be loaded keeps neither the app from starting nor the other endpoints from answering. Raises
    ParameterError for wrong settings and StoreError when the database cannot be used.
    """
    settings = settings or EndpointSettings.read()
    store = open_store(settings)
    here = Hosting(store, resolver(settings), poll=settings.endpoint_seconds, retry=settings.retry_seconds)
    mlflow = settings.invocations_format == "mlflow"
    app = create_app(
        "endpoints",
        settings,
        store.engine,
        title="Palate model endpoints",
        version=__version__,
        blueprints=[runtime(bare=not mlflow), management(), *([scoring()] if mlflow else []), dashboard(), pages()],
        description=DESCRIPTION,
        nav=NAV,
    )
    app.extensions[KEY] = here
    work = handlers(here, settings.transforms)
    counts = Counts(metrics(app).registry)
    app.extensions[INVOKING] = invoking = Invoking(
        counts,
        lambda stop: run_worker(store.engine, work, stop, poll_seconds=_JOB_SECONDS),
        lambda stop: counts.kept.loop(store, stop),
        lambda stop: ticker.loop(store, stop, settings.rollout_seconds),
    )
    app.after_request(_signed)
    warming.arrow()  # forked from `palate endpoints serve`, a worker has it already
    here.start()
    invoking.start()
    for each in (here, invoking):
        atexit.register(_stop, weakref.ref(each))
    return app


def open_store(settings: EndpointSettings) -> Store:
    """The database of the endpoints, its tables brought to their newest form."""
    engine = open_engine(settings.database("endpoints"))
    migrate(engine, "endpoints", MIGRATIONS)
    return Store(engine)


def resolver(settings: EndpointSettings) -> Resolve:
    """Finds registered models; MLflow is imported when one is asked for."""

    def resolve(name: str, version: str) -> tuple[str, Path]:
        from palate.tracking import Tracker

        return Tracker(settings).resolve(name, version)

    return resolve


def _signed(response: Response) -> Response:
    """Which worker answered: so that one can see all of them follow."""
    response.headers["Server-Worker"] = str(os.getpid())
    return response


def _stop(here: weakref.ref[Any]) -> None:
    held = here()
    if held is not None:
        held.stop()
