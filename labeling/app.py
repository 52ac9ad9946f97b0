"""The labeling service's Flask app."""

from __future__ import annotations

from flask import Flask

from labeling.api import routes
from labeling.label_studio import backend
from labeling.service import Labeling
from labeling.settings import LabelingSettings
from labeling.web import pages
from palate import __version__
from palate.web import create_app

SLOTS = 16
"""Requests at work at once in a process: turns wait for the disk, and the more of them do the more share what it costs
(`labeling_turns`: on PostgreSQL a turn takes a third less of the processors than with 8)."""


def create(settings: LabelingSettings | None = None) -> Flask:
    """The app, on the settings in force unless others are given; its database is brought up to date first."""
    settings = settings or LabelingSettings.read()
    service = Labeling.open(settings.database("labeling"), lease=settings.lease)
    app = create_app(
        "labeling",
        settings,
        service.engine,
        title="Palate labeling",
        version=__version__,
        description="Projects, the queue of tasks, answers and their export.",
        blueprints=[routes.blueprint(), pages.blueprint(), backend.blueprint()],
        nav=[("Projects", "labeling.index")],
        slots=SLOTS,
    )
    app.extensions["labeling"] = service
    return app
