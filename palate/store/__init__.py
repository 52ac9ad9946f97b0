"""Databases: the engine, migrations, accounts and the durable job queue.

SQLite in WAL mode is the embedded default, PostgreSQL is for more than one machine; everything here runs on both.
"""

from palate.store.accounts import Accounts, Key, Person, Principal
from palate.store.commits import Commits
from palate.store.engine import open_engine, reading, writing
from palate.store.jobs import Job, JobContext, Jobs, LeaseLostError, run_worker
from palate.store.migrate import migrate
from palate.store.types import Instant, clock, metadata

__all__ = [
    "Accounts",
    "Commits",
    "Instant",
    "Job",
    "JobContext",
    "Jobs",
    "Key",
    "LeaseLostError",
    "Person",
    "Principal",
    "clock",
    "metadata",
    "migrate",
    "open_engine",
    "reading",
    "run_worker",
    "writing",
]
