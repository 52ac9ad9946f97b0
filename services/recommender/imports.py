"""Bulk imports: many items and users in one request, written by a job in batches while it says how far it is.

What is sent is kept as a file of one row a line, checked whole, and then written: JSON is checked when it comes, a file
of lines, which may be large, by the job.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from palate.errors import InputError, ParameterError, UnknownIdError
from palate.store.jobs import Handler, Job, JobContext, Jobs
from palate.web import strictjson
from palate.web.contract import validate
from services.recommender import uploads
from services.recommender.bodies import ImportBody, ImportedItem, ImportedUser
from services.recommender.catalogue import fits
from services.recommender.live import Live

KIND = "recommender.import"
LINES = "application/x-ndjson"
_BATCH = 500
_ATTEMPTS = 20
"""Workers that may die over one file: nothing is written twice."""
_CHECKING = 0.3
"""How much of the progress is checking."""

Json = dict[str, Any]


def begin(live: Live, asked: ImportBody) -> Json:
    """Queues the import of rows that were checked already; what the job is. Raises ParameterError for a wrong id."""
    for index, item in enumerate(asked.items):
        _check_id(live, item, f"items.{index}.item")
    rows: list[ImportedItem | ImportedUser] = [*asked.items, *asked.users]
    return begin_lines(live, map(_line, rows))


def begin_lines(live: Live, pieces: Iterable[bytes]) -> Json:
    """Keeps a file of one row a line, `{"item": ...}` or `{"user": ...}`, and queues its import; what the job is."""
    now, queue = int(time.time()), Jobs(live.store.engine)
    upload, size = uploads.keep(live.store.engine, pieces)
    payload = {"upload": upload, "bytes": size, "now": now}
    return shown(queue.get(queue.enqueue(KIND, payload, max_attempts=_ATTEMPTS)))


def look(live: Live, job: int) -> Json:
    """How far it is. Raises UnknownIdError if there is no such import."""
    return shown(_found(live, job))


def cancel(live: Live, job: int) -> Json:
    """Stops it after the batch in hand; what is written stays. Raises UnknownIdError if there is no such import."""
    _found(live, job)
    Jobs(live.store.engine).cancel(job)
    return look(live, job)


def handlers(live: Live, max_json_depth: int) -> Mapping[str, Handler]:
    """What `run_worker` needs to do imports."""
    return {KIND: lambda context: _do(live, max_json_depth, context)}


def _found(live: Live, job: int) -> Job:
    if job < 2**31:
        found = Jobs(live.store.engine).get(job)
        if found.kind == KIND:
            return found
    raise UnknownIdError(f"there is no import {job}.", where="job")


def _do(live: Live, depth: int, context: JobContext) -> Json:
    """Doing it again after a crash writes the same rows again, of which those that are there change nothing."""
    if "upload" not in context.payload:
        raise InputError("it was begun by an earlier version of Palate.", hint="Send it again.")
    engine, upload = live.store.engine, context.payload["upload"]
    try:
        total = _check(live, depth, context)
        result = _write(live, depth, context, total)
    except InputError:
        uploads.remove(engine, upload)
        raise
    uploads.remove(engine, upload)
    return result


def _check(live: Live, depth: int, context: JobContext) -> int:
    """How many rows there are. Raises InputError, which names the line, for the first that is wrong."""
    size, passed, number = max(1, context.payload["bytes"]), 0, 0
    for number, (place, line) in enumerate(uploads.lines(live.store.engine, context.payload["upload"]), 1):
        row = _row(line, place, depth)
        if isinstance(row, ImportedItem):
            _check_id(live, row, f"line {place}")
        passed += len(line) + 1
        if number % _BATCH == 0:
            context.progress(_CHECKING * min(1.0, passed / size), f"{number} checked")
    if not number:
        raise InputError("it holds no rows, or they are not there any more.", hint="Send them again.")
    return number


def _write(live: Live, depth: int, context: JobContext, total: int) -> Json:
    store, now = live.store, context.payload["now"]
    rows = (_row(line, place, depth) for place, line in uploads.lines(store.engine, context.payload["upload"]))
    items = users = changed = 0
    while batch := list(islice(rows, _BATCH)):
        # Of what is told twice in a batch the later counts, as it would in two.
        new = {row.item: row.row(row.item, now) for row in batch if isinstance(row, ImportedItem)}
        known = {row.user: row.row(row.user) for row in batch if isinstance(row, ImportedUser)}
        changed += store.import_items(list(new.values())) if new else 0
        if known:
            store.put_users(list(known.values()))
        items += sum(isinstance(row, ImportedItem) for row in batch)
        users = users + len(batch) - sum(isinstance(row, ImportedItem) for row in batch)
        done = items + users
        context.progress(_CHECKING + (1 - _CHECKING) * done / total, f"{done} of {total} written")
    return {"items": items, "items_changed": changed, "users": users}


def _row(line: bytes, place: int, depth: int) -> ImportedItem | ImportedUser:
    """The row of a line. Raises InputError, which names the line."""
    try:
        told = strictjson.loads(line, max_depth=depth)
        if not isinstance(told, dict) or ("item" in told) == ("user" in told):
            raise InputError('it must be an object with either an "item" or a "user".')
        return validate(ImportedItem if "item" in told else ImportedUser, told)  # type: ignore[return-value]
    except InputError as error:
        # What is said of a body of one line.
        said = error.message.replace("The body", "it", 1).replace("(line 1, ", "(")
        raise InputError(said, where=f"line {place}", hint=error.hint) from None


def _line(row: ImportedItem | ImportedUser) -> bytes:
    return row.model_dump_json(exclude_unset=True).encode() + b"\n"


def _check_id(live: Live, item: ImportedItem, where: str) -> None:
    if live.served is not None and not fits(item.item, live.served.catalogue.ids):
        raise ParameterError("the ids of this catalogue are 64-bit integers.", where=where)


def shown(job: Job) -> Json:
    return {
        "job": job.id,
        "state": job.state,
        "progress": job.progress,
        "message": job.message,
        "result": job.result,
        "error": job.error,
        "created": job.created.isoformat(),
        "finished": job.finished.isoformat() if job.finished else None,
    }
