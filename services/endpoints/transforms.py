"""Transforms as jobs of the server: begun over HTTP, done in the background, taken up again if a worker dies.

Files are named below one folder, `PALATE_TRANSFORM_FOLDER`, so that who may begin a transform can neither read nor
write anything else on the machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from palate.errors import ConflictError, InputError, ParameterError, UnknownIdError
from palate.store.jobs import Handler, Job, JobContext, Jobs
from palate.web import Body, Model
from services.endpoints.hosting import Hosting
from services.endpoints.transform import format_of, transform

KIND = "endpoints.transform"
_FOLDER = "below the server's transform folder (PALATE_TRANSFORM_FOLDER)"


class TransformBody(Body):
    """Ask an endpoint about every row of a file."""

    input: str = Field(min_length=1, max_length=1000, description="The file, below the server's transform folder.")
    output: str = Field(min_length=1, max_length=1000, description="Where the answers go; it must not be there yet.")
    content_type: str | None = Field(None, max_length=100, description="What the input is, if its name does not say.")
    accept: str | None = Field(None, max_length=100, description="What the output is to be, likewise.")
    variant: str | None = Field(None, max_length=63, description="Which variant; the one with the most traffic.")


class TransformOut(Model):
    """`state` is queued, running, done, failed or cancelled; `progress` goes from 0 to 1."""

    job: int
    endpoint: str
    variant: str
    input: str
    output: str
    state: str
    progress: float
    message: str
    rows: int | None
    error: str | None


def begin(here: Hosting, folder: Path, endpoint: str, asked: TransformBody) -> TransformOut:
    """Queues a transform. Raises ParameterError, UnknownIdError, and ConflictError if the output is there."""
    variant = chosen_variant(here, endpoint, asked.variant)
    payload = {
        "endpoint": endpoint,
        "variant": variant,
        "input": asked.input,
        "output": asked.output,
        "content_type": format_of(asked.input, asked.content_type, "content_type"),
        "accept": format_of(asked.output, asked.accept, "accept"),
    }
    if not below(folder, asked.input, "input").is_file():
        raise ParameterError(f"there is no file {asked.input!r} {_FOLDER}.", where="input", hint="Put it there.")
    if below(folder, asked.output, "output").exists():
        raise ConflictError(f"{asked.output!r} is there already.", where="output", hint="Name another file.")
    queue = Jobs(here.store.engine)
    return _told(queue.get(queue.enqueue(KIND, payload)))


def look(here: Hosting, job: int) -> TransformOut:
    """How far it is. Raises UnknownIdError if there is no such transform."""
    return _told(_found(here, job))


def cancel(here: Hosting, job: int) -> TransformOut:
    """Stops it; nothing is written. Raises UnknownIdError if there is no such transform."""
    _found(here, job)
    Jobs(here.store.engine).cancel(job)
    return look(here, job)


def handlers(here: Hosting, folder: Path) -> Mapping[str, Handler]:
    """What `run_worker` needs to do transforms."""
    return {KIND: lambda context: _work(here, folder, context)}


def below(folder: Path, name: str, where: str) -> Path:
    """A file of the folder. Raises ParameterError for a name that leads out of it, links included."""
    try:
        root = folder.resolve()
        found = (root / name).resolve()
    except (OSError, ValueError):
        found = root = Path("/")
    if found == root or not found.is_relative_to(root):
        raise ParameterError(f"{name!r} is no file {_FOLDER}.", where=where, hint="Name it as it is called there.")
    return found


def chosen_variant(here: Hosting, endpoint: str, wanted: str | None) -> str:
    """The variant that is wanted, or the one with the most traffic. Raises UnknownIdError and ParameterError."""
    known = here.store.get(endpoint)
    names = [each.name for each in known.variants]
    if wanted is None:
        return max(known.weights, key=lambda name: known.weights[name])
    if wanted not in names:
        raise ParameterError(
            f"there is no variant {wanted[:80]!r}.", where="variant", hint=f"There are: {', '.join(names)}."
        )
    return wanted


def _found(here: Hosting, job: int) -> Job:
    if job < 2**31:
        found = Jobs(here.store.engine).get(job)
        if found.kind == KIND:
            return found
    raise UnknownIdError(f"there is no transform {job}.", where="job")


def _work(here: Hosting, folder: Path, context: JobContext) -> dict[str, Any]:
    asked = context.payload
    model = here.find(asked["endpoint"], asked["variant"]).artifact
    target = below(folder, asked["output"], "output")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"its folder cannot be made: {error.strerror}.", where="output") from error
    rows = transform(
        model,
        below(folder, asked["input"], "input"),
        target,
        content_type=asked["content_type"],
        accept=asked["accept"],
        told=context.progress,
    )
    return {"rows": rows}


def _told(job: Job) -> TransformOut:
    said = job.payload
    return TransformOut(
        job=job.id,
        endpoint=said["endpoint"],
        variant=said["variant"],
        input=said["input"],
        output=said["output"],
        state=job.state,
        progress=job.progress,
        message=job.message,
        rows=job.result["rows"] if job.result else None,
        error=job.error,
    )
