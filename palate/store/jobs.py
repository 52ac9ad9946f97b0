"""Long work as jobs: kept in the database, done by workers that hold a lease and renew it by a heartbeat.

A worker that dies stops renewing; when its lease is over the job is given to another. Each claim has a number, the
attempt; a worker that was only slow and comes back with an older one is refused (LeaseLostError), so that no job is
finished twice.

    queued -> running -> done
       ^         |-----> failed      after its last attempt, or for bad input at once
       |---------|-----> cancelled
"""

from __future__ import annotations

import logging
import math
import os
import socket
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from palate.errors import ConflictError, InputError, PalateError, ParameterError, StoreError, UnknownIdError
from palate.store.engine import reading, writing
from palate.store.tables import jobs
from palate.store.types import clock

State = Literal["queued", "running", "done", "failed", "cancelled"]
LEASE_SECONDS = 30.0
log = logging.getLogger("palate.jobs")


class LeaseLostError(ConflictError):
    """The job is no longer this worker's: its lease ran out and another took it, or it was cancelled."""


class _Interrupted(Exception):
    """Unwinds a handler whose job was cancelled, lost, or whose worker is to stop."""


@dataclass(frozen=True, slots=True)
class Job:
    """One row of the queue, as it was when it was read."""

    id: int
    kind: str
    key: str | None
    payload: Any
    state: State
    attempt: int
    max_attempts: int
    worker: str | None
    lease_until: datetime | None
    progress: float
    message: str
    cancel_requested: bool
    result: Any
    error: str | None
    created: datetime
    finished: datetime | None


class Jobs:
    """The queue of one database. Safe to share between threads; any number of processes may use it at once."""

    def __init__(self, engine: Engine, *, lease_seconds: float = LEASE_SECONDS) -> None:
        self._engine = engine
        self.lease = timedelta(seconds=lease_seconds)

    def enqueue(
        self, kind: str, payload: Any = None, *, key: str | None = None, max_attempts: int = 3, delay: float = 0
    ) -> int:
        """Add a job; its id. With a `key`, a job of the same kind and key is added only once, whatever its state.

        `payload` is JSON. Raises ParameterError for an empty kind or a payload that isn't JSON.
        """
        if not 1 <= len(kind) <= 100 or (key is not None and not 1 <= len(key) <= 200) or max_attempts < 1:
            raise ParameterError("A job needs a kind (1 to 100 characters), a key of at most 200 and an attempt.")
        try:
            with writing(self._engine) as db:
                if key is not None:
                    found = db.scalar(sa.select(jobs.c.id).where(jobs.c.kind == kind, jobs.c.key == key))
                    if found is not None:
                        return int(found)
                return self._insert(db, kind, payload, key, max_attempts, delay)
        except ConflictError:
            # On PostgreSQL another process may have added the same key between the look and the write.
            with reading(self._engine) as db:
                return int(db.scalars(sa.select(jobs.c.id).where(jobs.c.kind == kind, jobs.c.key == key)).one())
        except (TypeError, ValueError, sa.exc.StatementError) as error:
            raise ParameterError("The payload is not JSON.", where="payload") from error

    @staticmethod
    def _insert(db: Connection, kind: str, payload: Any, key: str | None, max_attempts: int, delay: float) -> int:
        now = clock(db)
        row = jobs.insert().values(
            kind=kind, key=key, payload=payload, state="queued", attempt=0, max_attempts=max_attempts,
            not_before=now + timedelta(seconds=delay), progress=0.0, message="", cancel_requested=False, created=now,
        ).returning(jobs.c.id)  # fmt: skip
        return int(db.scalars(row).one())

    def claim(self, worker: str, kinds: Collection[str]) -> Job | None:
        """Take the oldest job of these kinds that is due, or whose lease ran out; None when there is none."""
        with writing(self._engine) as db:
            now = clock(db)
            self._bury(db, now)
            due = sa.or_(
                sa.and_(jobs.c.state == "queued", jobs.c.not_before <= now),
                sa.and_(jobs.c.state == "running", jobs.c.lease_until < now),
            )
            pick = sa.select(jobs.c.id).where(jobs.c.kind.in_(kinds), due).order_by(jobs.c.id).limit(1)
            found = db.scalar(pick.with_for_update(skip_locked=True))
            if found is None:
                return None
            taken = jobs.update().where(jobs.c.id == found).values(
                state="running", worker=worker[:200], attempt=jobs.c.attempt + 1, lease_until=now + self.lease,
            )  # fmt: skip
            return _job(db.execute(taken.returning(jobs)).one())

    @staticmethod
    def _bury(db: Connection, now: datetime) -> None:
        """End what was cancelled or had its last attempt when its worker vanished."""
        over = sa.and_(jobs.c.state == "running", jobs.c.lease_until < now)
        gone = {"lease_until": None, "finished": now}
        db.execute(jobs.update().where(over, jobs.c.cancel_requested).values(state="cancelled", **gone))
        error = "The worker vanished, and it was the last attempt."
        spent = jobs.update().where(over, jobs.c.attempt >= jobs.c.max_attempts)
        db.execute(spent.values(state="failed", error=error, **gone))

    def heartbeat(self, job: Job, progress: float | None = None, message: str | None = None) -> bool:
        """Renew the lease and say how far it is (0 to 1). False when the job is to be cancelled.

        Raises LeaseLostError when the job is no longer this worker's.
        """
        values: dict[str, Any] = {}
        if progress is not None:
            values["progress"] = 0.0 if math.isnan(progress) else min(max(float(progress), 0.0), 1.0)
        if message is not None:
            values["message"] = _plain(message)[:2000]
        with writing(self._engine) as db:
            row = self._update(db, job, lease_until=clock(db) + self.lease, **values)
            return not row.cancel_requested

    def finish(self, job: Job, result: Any = None) -> None:
        """The work is done. Raises LeaseLostError when the job is no longer this worker's."""
        with writing(self._engine) as db:
            ended = {"lease_until": None, "finished": clock(db), "progress": 1.0}
            self._update(db, job, state="done", result=result, **ended)

    def fail(self, job: Job, error: str, *, retry: bool = True, delay: float | None = None) -> None:
        """The work failed. With attempts left it is queued again, later each time, unless `retry` is False."""
        with writing(self._engine) as db:
            now = clock(db)
            said = _plain(error)[:4000]
            if retry and job.attempt < job.max_attempts:
                wait = timedelta(seconds=min(2.0**job.attempt, 300) if delay is None else delay)
                self._update(db, job, state="queued", lease_until=None, not_before=now + wait, error=said)
            else:
                self._update(db, job, state="failed", lease_until=None, finished=now, error=said)

    def release(self, job: Job) -> None:
        """Give a job back unfinished (the worker is to stop); the attempt does not count."""
        with writing(self._engine) as db:
            self._update(db, job, state="queued", lease_until=None, max_attempts=jobs.c.max_attempts + 1)

    def cancel(self, job_id: int) -> None:
        """Stop a job: at once when it waits, at its worker's next heartbeat when it runs, not at all when it ended."""
        with writing(self._engine) as db:
            row = db.execute(jobs.select().where(jobs.c.id == job_id).with_for_update()).one_or_none()
            if row is None:
                raise UnknownIdError(f"There is no job {job_id}.")
            this = jobs.update().where(jobs.c.id == job_id)
            if row.state == "queued":
                db.execute(this.values(state="cancelled", cancel_requested=True, finished=clock(db)))
            elif row.state == "running":
                db.execute(this.values(cancel_requested=True))

    def confirm_cancel(self, job: Job) -> None:
        """The worker has stopped working on a job that was to be cancelled."""
        with writing(self._engine) as db:
            self._update(db, job, state="cancelled", lease_until=None, finished=clock(db))

    def get(self, job_id: int) -> Job:
        """Raises UnknownIdError when there is none."""
        with reading(self._engine) as db:
            row = db.execute(jobs.select().where(jobs.c.id == job_id)).one_or_none()
        if row is None:
            raise UnknownIdError(f"There is no job {job_id}.")
        return _job(row)

    def list(self, *, kind: str | None = None, state: State | None = None, limit: int = 100) -> list[Job]:
        """The newest first."""
        query = jobs.select().order_by(jobs.c.id.desc()).limit(limit)
        if kind is not None:
            query = query.where(jobs.c.kind == kind)
        if state is not None:
            query = query.where(jobs.c.state == state)
        with reading(self._engine) as db:
            return [_job(row) for row in db.execute(query)]

    @staticmethod
    def _update(db: Connection, job: Job, **values: Any) -> Any:
        ours = (jobs.c.id == job.id, jobs.c.attempt == job.attempt, jobs.c.state == "running")
        row = db.execute(jobs.update().where(*ours).values(**values).returning(jobs)).one_or_none()
        if row is None:
            raise LeaseLostError(f"Job {job.id} is no longer held by this worker.")
        return row


@dataclass
class JobContext:
    """What a handler gets: the payload, and a way to say how far it is."""

    job: Job
    _jobs: Jobs
    _stop: threading.Event = field(default_factory=threading.Event)
    _halt: threading.Event = field(default_factory=threading.Event)

    @property
    def payload(self) -> Any:
        return self.job.payload

    def progress(self, done: float, message: str | None = None) -> None:
        """Say how far it is (0 to 1). Call it often: it ends the handler when the job is cancelled or lost."""
        self.check()
        if not self._jobs.heartbeat(self.job, done, message):
            self._halt.set()
        self.check()

    def check(self) -> None:
        """End the handler here if the job was cancelled or lost, or the worker is to stop; touches no database."""
        if self._halt.is_set() or self._stop.is_set():
            raise _Interrupted


Handler = Callable[[JobContext], Any]
"""Does the work of one kind; its return value (JSON) is the job's result. It must bear being run again."""


def run_worker(
    engine: Engine,
    handlers: Mapping[str, Handler],
    stop: threading.Event,
    *,
    worker: str | None = None,
    lease_seconds: float = LEASE_SECONDS,
    poll_seconds: float = 0.5,
    until_idle: bool = False,
) -> None:
    """Claim and do jobs until `stop` is set; a job in hand is given back then, at its next progress report.

    until_idle: or until no job is due.

    A handler's InputError fails the job at once, any other error queues it again until its attempts are used up.
    A database that is away is waited for.
    """
    queue = Jobs(engine, lease_seconds=lease_seconds)
    name = worker or f"{socket.gethostname()}:{os.getpid()}:{threading.get_ident()}"
    while not stop.is_set():
        try:
            job = queue.claim(name, list(handlers))
            if job is not None:
                _work(queue, job, handlers[job.kind], stop)
                continue
            if until_idle:
                return
        except LeaseLostError as error:
            log.warning("%s", error)
        except StoreError as error:
            log.warning("The job queue cannot be reached: %s", error)
            stop.wait(min(10 * poll_seconds, 5))
        stop.wait(poll_seconds)


def _work(queue: Jobs, job: Job, handler: Handler, stop: threading.Event) -> None:
    context = JobContext(job, queue, stop)
    ended = threading.Event()
    pulse = threading.Thread(target=_pulse, args=(context, ended), daemon=True, name=f"heartbeat-{job.id}")
    pulse.start()
    try:
        result = handler(context)
    except _Interrupted:
        _interrupted(queue, job)
    except LeaseLostError:
        raise
    except InputError as error:
        queue.fail(job, str(error), retry=False)
    except PalateError as error:
        queue.fail(job, str(error))
    except Exception as error:
        log.exception("Job %s (%s) failed", job.id, job.kind)
        queue.fail(job, f"{type(error).__name__}: {error}")
    else:
        _finish(queue, job, result)
    finally:
        ended.set()
        pulse.join()


def _plain(text: str) -> str:
    """The text without what no database keeps: NUL and halves of surrogate pairs."""
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def _finish(queue: Jobs, job: Job, result: Any) -> None:
    try:
        queue.finish(job, result)
    except (TypeError, ValueError, sa.exc.StatementError):
        # It would be the same the next time; and the worker has other jobs to do.
        queue.fail(job, "The result is not JSON.", retry=False)


def _interrupted(queue: Jobs, job: Job) -> None:
    if queue.get(job.id).cancel_requested:
        queue.confirm_cancel(job)
    else:
        queue.release(job)


def _pulse(context: JobContext, ended: threading.Event) -> None:
    """Renew the lease three times per term; halts the handler when the job is to be cancelled, or lost."""
    while not ended.wait(context._jobs.lease.total_seconds() / 3):
        try:
            if not context._jobs.heartbeat(context.job):
                context._halt.set()
        except LeaseLostError:
            context._halt.set()
            return
        except StoreError as error:
            log.warning("No heartbeat for job %s: %s", context.job.id, error)


def _job(row: Any) -> Job:
    return Job(**{name: getattr(row, name) for name in Job.__slots__})
