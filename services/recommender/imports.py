"""Bulk imports: many items and users in one request, written by a job in batches while it says how far it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from palate.errors import ParameterError, UnknownIdError
from palate.store.jobs import Handler, Job, JobContext, Jobs
from services.recommender.bodies import ImportBody
from services.recommender.catalogue import ItemRow, fits
from services.recommender.live import Live
from services.recommender.store import Store, UserRow

KIND = "recommender.import"
_BATCH = 500

Json = dict[str, Any]


def begin(live: Live, asked: ImportBody) -> Json:
    """Queues the import of rows that were checked already; what the job is. Raises ParameterError for a wrong id."""
    served = live.served
    if served is not None:
        for index, item in enumerate(asked.items):
            if not fits(item.item, served.catalogue.ids):
                raise ParameterError("the ids of this catalogue are 64-bit integers.", where=f"items.{index}.item")
    payload = {
        "items": [_plain(item.row(item.item)) for item in asked.items],
        "users": [_plain(user.row(user.user)) for user in asked.users],
    }
    queue = Jobs(live.store.engine)
    return shown(queue.get(queue.enqueue(KIND, payload)))


def look(live: Live, job: int) -> Json:
    """How far it is. Raises UnknownIdError if there is no such import."""
    return shown(_found(live, job))


def cancel(live: Live, job: int) -> Json:
    """Stops it after the batch in hand; what is written stays. Raises UnknownIdError if there is no such import."""
    _found(live, job)
    Jobs(live.store.engine).cancel(job)
    return look(live, job)


def handlers(store: Store) -> Mapping[str, Handler]:
    """What `run_worker` needs to do imports."""
    return {KIND: lambda context: _write(store, context)}


def _found(live: Live, job: int) -> Job:
    if job < 2**31:
        found = Jobs(live.store.engine).get(job)
        if found.kind == KIND:
            return found
    raise UnknownIdError(f"there is no import {job}.", where="job")


def _write(store: Store, context: JobContext) -> Json:
    """Running it again after a crash writes the same rows again, of which those that are there change nothing."""
    items, users = context.payload["items"], context.payload["users"]
    done, total, changed = 0, len(items) + len(users), 0
    for kind, rows in (("items", items), ("users", users)):
        for start in range(0, len(rows), _BATCH):
            batch = rows[start : start + _BATCH]
            if kind == "items":
                changed += store.import_items([ItemRow(**_tuples(row)) for row in batch])
            else:
                store.put_users([UserRow(**_tuples(row)) for row in batch])
            done += len(batch)
            context.progress(done / total, f"{done} of {total} written")
    return {"items": len(items), "items_changed": changed, "users": len(users)}


def _plain(row: ItemRow | UserRow) -> Json:
    return {**vars(row), "categories": list(row.categories), "tags": list(row.tags), "attributes": dict(row.attributes)}


def _tuples(row: Json) -> Json:
    return {**row, "categories": tuple(row["categories"]), "tags": tuple(row["tags"])}


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
