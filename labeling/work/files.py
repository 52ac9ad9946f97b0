"""Imports and exports as jobs: they say how far they are, and one whose worker died is taken up again.

An import checks the whole file before it writes the first task, and then writes batch by batch; tasks that are there
already stay as they are, so that doing it again goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from sqlalchemy import Engine

from labeling.exports import format_of
from labeling.store import files, projects
from labeling.store.arrivals import Arrival, take_in
from labeling.work.images import import_pictures, in_zip
from labeling.work.reading import FORMATS as TABLES
from labeling.work.reading import read_tasks
from palate.errors import ParameterError, UnknownIdError
from palate.store import Job, JobContext, Jobs, reading, writing

IMAGES = "images"
FORMATS = (*TABLES, IMAGES)
"""What is taken in: tables of tasks, what Label Studio exports, and a ZIP archive of images."""
IMPORT, EXPORT = "labeling.import", "labeling.export"
KEPT = 3
"""Exports that are kept of each project."""
_TASKS = 2_000
_ATTEMPTS = 20
"""Workers that may die over one file: each goes on where the one before it stopped."""

Told = Callable[[float, str], None]


def begin_import(engine: Engine, project_id: int, data: bytes, form: str) -> int:
    """Keep a file and have its tasks taken in; the job's id."""
    if form not in FORMATS:
        raise ParameterError(f"{form[:40]!r} is none.", where="format", hint=f"Use one of {', '.join(FORMATS)}.")
    with writing(engine) as db:
        project = projects.get(db, project_id)
        if not data:
            raise ParameterError("the file is empty.", where="body")
        file = files.begin(db, project, "import")
        for number, first in enumerate(range(0, len(data), files.PART)):
            files.add(db, file, number, data[first : first + files.PART])
        files.end(db, file)
    payload = {"project": project_id, "file": file, "format": form}
    return Jobs(engine).enqueue(IMPORT, payload, max_attempts=_ATTEMPTS)


def begin_export(engine: Engine, project_id: int, form: str, every_task: bool) -> int:
    """Have the project's answers written into a file; the job's id. Raises ParameterError for a format that it has
    not.
    """
    with reading(engine) as db:
        format_of(form, projects.get(db, project_id))
    return Jobs(engine).enqueue(EXPORT, {"project": project_id, "format": form, "all": every_task})


def run_import(engine: Engine, context: JobContext) -> dict[str, int]:
    """The job that takes a file in."""
    asked = context.payload
    with reading(engine) as db:
        data = b"".join(files.parts(db, asked["file"]))
    context.progress(0.05, "Reading")
    if asked["format"] == IMAGES:
        outcome = import_pictures(engine, asked["project"], in_zip(data), context.progress)
    else:
        outcome = import_tasks(engine, asked["project"], read_tasks(data, asked["format"]), context.progress)
    with writing(engine) as db:
        files.remove(db, asked["file"])
    return outcome


def import_tasks(engine: Engine, project_id: int, arrivals: Sequence[Arrival], told: Told) -> dict[str, int]:
    """Check all tasks, then add them batch by batch; what was new."""
    with reading(engine) as db:
        projects.check_tasks(projects.get(db, project_id), [arrival.task for arrival in arrivals])
    added = answers = 0
    for first in range(0, len(arrivals), _TASKS):
        told(0.1 + 0.9 * first / len(arrivals), f"{first:,} of {len(arrivals):,} tasks")
        with writing(engine) as db:
            project = projects.get(db, project_id, hold=True)
            new, given = take_in(db, project, arrivals[first : first + _TASKS])
        added, answers = added + new, answers + given
    told(1.0, f"{len(arrivals):,} of {len(arrivals):,} tasks")
    return {"tasks": added, "present": len(arrivals) - added, "answers": answers}


def run_export(engine: Engine, context: JobContext) -> dict[str, Any]:
    """The job that writes a file; one of an attempt before is forgotten."""
    asked = context.payload
    name = f"export/{context.job.id}"
    with writing(engine) as db:
        project = projects.get(db, asked["project"])
        files.remove_older(db, project.id, name, 0)
        file = files.begin(db, project, name)
    with reading(engine) as db:
        form = format_of(asked["format"], project)
        rows = projects.answered(db, project, unanswered=asked["all"])
        counted = _counted(rows, project.tasks, context)
        for number, part in enumerate(_parts(form.write(project, counted))):
            with writing(engine) as other:
                files.add(other, file, number, part)
    with writing(engine) as db:
        files.end(db, file)
        size = files.get(db, file).size
    _forget_older(engine, project.id)
    return {"file": file, "bytes": size, "name": f"project-{project.id}.{form.suffix}", "type": form.mimetype}


def _counted(rows: Iterator[Any], tasks: int, context: JobContext) -> Iterator[Any]:
    """The rows; every now and then it says how far it is."""
    for number, row in enumerate(rows):
        if number % 2_000 == 0:
            context.progress(min(row.position / max(tasks, 1), 1.0), f"{row.position:,} of {tasks:,} tasks")
        yield row
    context.progress(1.0, f"{tasks:,} of {tasks:,} tasks")


def _parts(pieces: Iterator[Any]) -> Iterator[bytes]:
    held = bytearray()
    for piece in pieces:
        held += piece.encode() if isinstance(piece, str) else piece
        while len(held) >= files.PART:
            yield bytes(held[: files.PART])
            del held[: files.PART]
    if held:
        yield bytes(held)


def _forget_older(engine: Engine, project_id: int) -> None:
    done = [job for job in Jobs(engine).list(kind=EXPORT, state="done", limit=1000) if _of(job) == project_id]
    with writing(engine) as db:
        for job in done[KEPT - 1 :]:
            files.remove_older(db, project_id, f"export/{job.id}", 0)


def exported(engine: Engine, job: Job) -> tuple[dict[str, Any], Iterator[bytes]]:
    """What an export came to, and its bytes. Raises UnknownIdError if there is no such file, or none yet."""
    if job.kind != EXPORT or job.state != "done":
        raise UnknownIdError(f"job {job.id} has no file.", hint=f"It is {job.state}.")
    with reading(engine) as db:
        files.get(db, job.result["file"])
    return job.result, _bytes(engine, job.result["file"])


def _bytes(engine: Engine, file: int) -> Iterator[bytes]:
    with reading(engine) as db:
        yield from files.parts(db, file)


def _of(job: Job) -> object:
    return job.payload.get("project") if isinstance(job.payload, dict) else None
