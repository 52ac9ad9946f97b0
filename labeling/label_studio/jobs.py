"""Training and synchronisation as jobs, done by the service's workers.

The service synchronises with one Label Studio, which its settings name and whose token they point to: whoever may use
the API or the backend can neither choose where the token goes nor see it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine

from labeling.label_studio import ledger, models
from labeling.label_studio.address import checked
from labeling.settings import LabelingSettings
from labeling.store import projects
from palate.errors import ConflictError, ParameterError, RemoteError
from palate.store import Job, JobContext, Jobs, clock, reading
from palate.store.jobs import Handler

if TYPE_CHECKING:
    from labeling.label_studio.server import Server

_LOOK = 1.0
TRAIN, SYNC = "labeling.label-studio.train", "labeling.label-studio.sync"


def begin_training(engine: Engine, project_id: int) -> int:
    """Have a model trained; the job's id. One that waits already will do."""
    waiting = latest(engine, TRAIN, project_id, state="queued")
    return waiting.id if waiting else Jobs(engine).enqueue(TRAIN, {"project": project_id})


def begin_sync(engine: Engine, settings: LabelingSettings, project_id: int, *, full: bool = False) -> int | None:
    """Have a project synchronised that is kept alike with the Label Studio of the settings; the job's id.

    None where there is no such. One that waits already will do, unless it is to be a full one.
    """
    if not is_ours(engine, settings, project_id):
        return None
    waiting = None if full else latest(engine, SYNC, project_id, state="queued")
    return waiting.id if waiting else Jobs(engine).enqueue(SYNC, {"project": project_id, "full": full})


def enqueue_due(engine: Engine, settings: LabelingSettings) -> int:
    """Queue a synchronisation of each project that is kept alike with the Label Studio of the settings, and whose last
    one ended, well or not, more than so many minutes ago as they say; how many.
    """
    if not settings.label_studio_url or not settings.label_studio_minutes:
        return 0
    with reading(engine) as db:
        found = ledger.linked_to(db, _url(settings))
        due = clock(db) - timedelta(minutes=settings.label_studio_minutes)
    count = 0
    for project in found:
        last = latest(engine, SYNC, project)
        if last is None or (last.finished is not None and last.finished < due):
            # The key is the last one's: several workers that see the same queue it once.
            key = f"{project}/after/{0 if last is None else last.id}"
            Jobs(engine).enqueue(SYNC, {"project": project, "full": False}, key=key)
            count += 1
    return count


def is_ours(engine: Engine, settings: LabelingSettings, project_id: int) -> bool:
    """Whether the project is kept alike with the Label Studio of the settings."""
    with reading(engine) as db:
        link = ledger.link(db, project_id)
    return link is not None and bool(settings.label_studio_url) and link.url == _url(settings)


def latest(engine: Engine, kind: str, project_id: int, state: Any = None) -> Job | None:
    """The newest job of this kind for a project, among the last thousand."""
    found = Jobs(engine).list(kind=kind, state=state, limit=1000)
    return next((job for job in found if job.payload["project"] == project_id), None)


def handlers(engine: Engine, settings: LabelingSettings) -> Mapping[str, Handler]:
    """What a worker needs to do both."""
    return {
        TRAIN: lambda context: _train(engine, settings, context),
        SYNC: lambda context: _synchronise(engine, settings, context),
    }


def connect(settings: LabelingSettings) -> Server:
    """The Label Studio of the settings. Raises ParameterError naming the setting that is missing or wrong."""
    from labeling.label_studio.server import Server

    if not settings.label_studio_url:
        raise ParameterError("is not set.", where="PALATE_LABEL_STUDIO_URL")
    file = settings.label_studio_token_file
    if file is None:
        raise ParameterError("is not set.", where="PALATE_LABEL_STUDIO_TOKEN_FILE")
    try:
        token = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ParameterError(f"cannot be read ({reason}).", where="PALATE_LABEL_STUDIO_TOKEN_FILE") from None
    return Server(settings.label_studio_url, token)


def _url(settings: LabelingSettings) -> str:
    # Its spelling alone: whether it may be called is looked at when it is.
    return checked(settings.label_studio_url, link_local=True)


def _train(engine: Engine, settings: LabelingSettings, context: JobContext) -> dict[str, Any]:
    """What was answered in Label Studio first, as START_TRAINING brings no answers along; then the model."""
    project = context.payload["project"]
    brought = ""
    if is_ours(engine, settings, project):
        try:
            _synchronise(engine, settings, context)
        except (RemoteError, ConflictError) as error:
            brought = str(error)
    context.progress(0.5, "training")
    made = models.train(engine, project)
    return {**asdict(made), "not_synchronised": brought or None}


def _synchronise(engine: Engine, settings: LabelingSettings, context: JobContext) -> dict[str, Any]:
    from labeling.label_studio.sync import synchronise

    project = context.payload["project"]
    with reading(engine) as db:
        projects.get(db, project)
    server = connect(settings)
    # A job that is taken up again goes on at once with what its dead worker had begun.
    full = bool(context.payload.get("full"))
    holder, patience = f"job-{context.job.id}", time.monotonic() + 2 * ledger.SILENT.total_seconds()
    try:
        while True:
            try:
                return synchronise(
                    engine, server, project, full=full, holder=holder, said=lambda text: context.progress(0.25, text)
                ).to_dict()
            except ledger.BusyError:
                if time.monotonic() > patience:
                    raise
                context.progress(0, "waiting for another synchronisation to end")
                time.sleep(_LOOK)
    finally:
        server.close()
