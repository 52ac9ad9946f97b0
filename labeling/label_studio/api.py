"""Routes about the Label Studio that a project is kept alike with."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask import current_app
from pydantic import JsonValue, StrictBool

from labeling.api.caller import by, labeling
from labeling.label_studio import jobs, ledger, models
from labeling.settings import LabelingSettings
from labeling.store import projects
from labeling.store.members import ADMINISTRATOR
from palate.errors import ConflictError
from palate.store import Job, reading
from palate.web import Model, gives, takes


class JobOut(Model):
    """How far a job is, and what came of it."""

    id: int
    state: str
    progress: float
    message: str
    result: JsonValue
    error: str | None
    finished: datetime | None

    @classmethod
    def of(cls, job: Job | None) -> JobOut | None:
        return None if job is None else cls(**{name: getattr(job, name) for name in cls.model_fields})


class ModelOut(Model):
    """A model of the ML backend: what it was trained on, and the share of held-out labels that it had right."""

    version: str
    answers: int
    accuracy: float


class Connection(Model):
    """With which project of which Label Studio this one is kept alike, if any, and what was done last for it.

    `by_service`: whether this service synchronises it by itself, as its settings name that Label Studio.
    """

    url: str | None
    remote_project: int | None
    by_service: bool
    synchronisation: JobOut | None
    training: JobOut | None
    models: list[ModelOut]


class SyncIn(Model):
    """`full`: read all tasks there, not just those that changed."""

    full: StrictBool = False


class Begun(Model):
    """The job that does it."""

    job: int


@by(ADMINISTRATOR)
@gives(Connection)
def get_connection(project_id: int) -> Connection:
    """What there is between this project and Label Studio."""
    engine = labeling().engine
    with reading(engine) as db:
        projects.get(db, project_id)
        link = ledger.link(db, project_id)
        known = models.versions(db, project_id)
    return Connection(
        url=link.url if link else None,
        remote_project=link.remote_id if link else None,
        by_service=jobs.is_ours(engine, _settings(), project_id),
        synchronisation=JobOut.of(jobs.latest(engine, jobs.SYNC, project_id)),
        training=JobOut.of(jobs.latest(engine, jobs.TRAIN, project_id)),
        models=[ModelOut(**vars(each)) for each in known],
    )


@by(ADMINISTRATOR)
@takes(body=SyncIn, optional=True)
@gives(Begun, status=202)
def synchronise(project_id: int, body: SyncIn) -> tuple[Begun, int]:
    """Have the project synchronised with the Label Studio of this service's settings: a job.

    409 for a project that is not linked with it; `palate label sync` links one.
    """
    engine = labeling().engine
    with reading(engine) as db:
        projects.get(db, project_id)
    job = jobs.begin_sync(engine, _settings(), project_id, full=body.full)
    if job is None:
        raise ConflictError(
            f"project {project_id} is not kept alike with the Label Studio of this service.",
            hint="palate label sync links it; PALATE_LABEL_STUDIO_URL names the Label Studio.",
        )
    return Begun(job=job), 202


def _settings() -> LabelingSettings:
    found: Any = current_app.extensions["palate"].settings
    if not isinstance(found, LabelingSettings):
        raise TypeError("The labeling service runs on LabelingSettings.")
    return found


RULES = [
    ("GET", "/projects/<int:project_id>/label-studio", get_connection),
    ("POST", "/projects/<int:project_id>/label-studio/sync", synchronise),
]
"""Method, path, view."""
