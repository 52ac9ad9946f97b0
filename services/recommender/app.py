"""The factory of the recommendation API."""

from __future__ import annotations

import atexit
import os
import weakref
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from flask import Flask, Response
from prometheus_client import Counter

from palate import __version__
from palate.errors import BundleError
from palate.store import migrate, open_engine, run_worker
from palate.web import add_check, create_app, metrics
from services.recommender import features, shares
from services.recommender.dashboard.pages import NAV, dashboard
from services.recommender.deployments.records import ModelSource
from services.recommender.imports import handlers
from services.recommender.live import Live
from services.recommender.personalize import personalize
from services.recommender.routes import blueprint
from services.recommender.settings import RecommenderSettings
from services.recommender.sources import BundleSource, RegistrySource, Source
from services.recommender.state import KEY
from services.recommender.store import Store
from services.variants import ticker
from services.variants.pages import pages

MIGRATIONS = "services.recommender:migrations"
_JOB_SECONDS = 1.0
"""Between two looks for an import to do."""
DESCRIPTION = (
    "Recommendations for users, visitors and items. Every answered item says the strategy that chose it and why, "
    "every answer the version of the model. Keys need the scopes recommend (read), catalogue (change items, "
    "users and rules), events (post events) and deployments (change deployments)."
)


def create(settings: RecommenderSettings | None = None) -> Flask:
    """The app of one worker: tables made, model loaded, refreshing in the background.

    A model that cannot be loaded does not keep the app from starting: /ready says why until it can. Raises
    ParameterError for wrong settings and StoreError when the database cannot be used.
    """
    settings = settings or RecommenderSettings.read()
    store = open_store(settings)
    live = Live(
        store,
        source(settings),
        sources=variant_sources(settings),
        poll=settings.catalogue_seconds,
        model_poll=settings.model_seconds,
        retry=settings.retry_seconds,
        trending=settings.trending_hours,
    )
    app = create_app(
        "recommender",
        settings,
        store.engine,
        title="Palate recommendations",
        version=__version__,
        blueprints=[blueprint(), personalize(), dashboard(), pages()],
        description=DESCRIPTION,
        nav=NAV,
    )
    places = Counter(
        "palate_recommended_items", "Items answered, by strategy.", ["strategy"], registry=metrics(app).registry
    )
    app.extensions[KEY] = (live, places)
    app.extensions[features.KEY] = features.Features(settings)
    app.extensions[shares.KEY] = counted = shares.Shares(store.engine)
    app.after_request(_signed)
    add_check(app, "model", lambda: _well(live, "model"))
    add_check(app, "catalogue", lambda: _well(live, "store"))
    work = handlers(live, settings.max_json_depth)
    live.alongside("imports", lambda stop: run_worker(store.engine, work, stop, poll_seconds=_JOB_SECONDS))
    live.alongside("counts", lambda stop: live.traffic.counting.loop(live.traffic.store, stop))
    live.alongside("shares", counted.write_loop)
    live.alongside("shadows", live.traffic.shadows.loop)
    live.alongside("rollouts", lambda stop: ticker.loop(live.traffic.store, stop, settings.rollout_seconds))
    live.start()
    atexit.register(_stop, weakref.ref(live))
    return app


def open_store(settings: RecommenderSettings) -> Store:
    """The database of the recommender, its tables brought to their newest form."""
    engine = open_engine(settings.database("recommender"))
    migrate(engine, "recommender", MIGRATIONS)
    return Store(engine)


def source(settings: RecommenderSettings) -> Source:
    """Where the model comes from: the setting `bundle`, else the registry."""
    if settings.bundle is not None:
        return BundleSource(settings.bundle)
    from palate.tracking import Tracker

    return RegistrySource(Tracker(settings).resolve, settings.model_name, settings.alias)


def variant_sources(settings: RecommenderSettings) -> Callable[[ModelSource], Source]:
    """Where the models of variants come from; MLflow is imported when one of its models is looked for."""

    @cache
    def tracker() -> Any:
        from palate.tracking import Tracker

        return Tracker(settings)

    def resolve(name: str, version: str) -> tuple[str, Path]:
        found: tuple[str, Path] = tracker().resolve(name, version)
        return found

    def find(wanted: ModelSource) -> Source:
        if wanted.bundle:
            return BundleSource(Path(wanted.bundle))
        if wanted.model:
            return RegistrySource(resolve, wanted.model, wanted.version)
        return source(settings)

    return find


def _well(live: Live, name: str) -> None:
    """For /ready: says what keeps a snapshot from being there or from being fresh."""
    problem = live.problems.get(name)
    if problem is not None:
        raise BundleError(problem if live.served is None else f"{problem} What was served before is served still.")
    if live.served is None and name == "model":
        raise BundleError("No model is loaded yet.")


def _signed(response: Response) -> Response:
    """Which worker answered: so that one can see all of them follow."""
    response.headers["Server-Worker"] = str(os.getpid())
    return response


def _stop(live: weakref.ref[Live]) -> None:
    held = live()
    if held is not None:
        held.stop()
