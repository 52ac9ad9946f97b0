"""Which strategy led how many lists, by the hour: how many users are strangers still (cold starts), over time.

A worker counts in memory and adds what it counted to the database every two seconds, so a request costs no write;
what a worker that is killed had not written is lost from the counts.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from flask import current_app
from sqlalchemy import Engine, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from palate.errors import StoreError
from palate.store.engine import reading, writing
from services.recommender.strategies import PINNED
from services.recommender.tables import shares

log = logging.getLogger("palate.recommender")
KEY = "palate.shares"
WARM = ("personal", "fold-in")
"""The strategies that go by what a user did; a list that another one leads is a cold start."""
KEPT_DAYS = 400
"""How long the counts are kept: a year and a little, so that years compare."""
_FLUSH = 2.0
HOUR = 3600


class Shares:
    """Counts lists by the strategy that leads them. Safe to share between threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._held: Counter[tuple[int, str]] = Counter()
        self._pruned = 0

    def add(self, strategies: Sequence[str]) -> None:
        """A list for a user or a visitor. strategies: those of its places, in their order; pinned ones say nothing."""
        for name in strategies:
            if name != PINNED.name:
                with self._lock:
                    self._held[int(time.time()) // HOUR, name] += 1
                return

    def write(self) -> None:
        """Writes down what was counted. Raises StoreError, and then holds it still."""
        with self._lock:
            held, self._held = self._held, Counter()
        if not held:
            return
        try:
            self._add(held)
        except BaseException:
            with self._lock:
                self._held.update(held)
            raise

    def _add(self, held: Counter[tuple[int, str]]) -> None:
        now = int(time.time()) // HOUR
        rows = [{"hour": hour, "strategy": name, "lists": lists} for (hour, name), lists in sorted(held.items())]
        with writing(self._engine) as db:
            insert: Any = postgresql.insert if db.dialect.name == "postgresql" else sqlite.insert
            query = insert(shares).values(rows)
            more = {"lists": shares.c.lists + query.excluded.lists}
            db.execute(query.on_conflict_do_update(index_elements=["hour", "strategy"], set_=more))
            if now > self._pruned:
                db.execute(delete(shares).where(shares.c.hour < now - KEPT_DAYS * 24))
        self._pruned = now

    def counted(self, since: float) -> dict[int, Counter[str]]:
        """By hour since 1970 UTC, from that of a time in seconds on: how many lists each strategy led.

        Of all workers, as far as they have written it down.
        """
        query = select(shares).where(shares.c.hour >= int(since) // HOUR).order_by(shares.c.hour)
        found: dict[int, Counter[str]] = {}
        with reading(self._engine) as db:
            for hour, name, lists in db.execute(query):
                found.setdefault(int(hour), Counter())[name] = int(lists)
        return found

    def write_loop(self, stop: threading.Event) -> None:
        """Writes the counts down until `stop` is set, and once more then."""
        while True:
            stopping = stop.wait(_FLUSH)
            try:
                self.write()
            except StoreError as error:
                log.warning("the shares of the strategies cannot be written yet: %s", error)
            except Exception:  # the thread must outlive whatever a database can throw
                log.exception("writing the shares of the strategies failed")
            if stopping:
                return


def cold(lists: Counter[str]) -> float | None:
    """The share of lists that are cold starts; None of none."""
    total = lists.total()
    return None if not total else 1 - sum(lists[name] for name in WARM) / total


def shares_of_app() -> Shares:
    """What `create` left in the app."""
    found: Shares = current_app.extensions[KEY]
    return found
