"""Keeps a worker's snapshot fresh, in the background: two threads write, requests only ever read one reference.

The catalogue thread follows the store's counters several times a second; the model thread looks whether another
bundle is meant now, and loads it beside the one served. Whatever fails leaves in place what was served before, is
logged once, and is told by `problems` until it is mended.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from typing import Any

from pydantic import ValidationError

from palate.errors import PalateError, StoreError
from services.recommender.asking import RulesBody
from services.recommender.rules import NO_RULES
from services.recommender.served import Served
from services.recommender.sources import Pointer, Source, load
from services.recommender.store import Store
from services.recommender.tables import COUNTERS
from services.recommender.trends import Trends
from services.recommender.users import UserCache

log = logging.getLogger("palate.recommender")


class Live:
    """What a worker serves now.

    Parameters
    ----------
    poll: seconds between two looks at the store. model_poll: seconds between two looks for another model.
    retry: seconds until a bundle that failed is tried again, although nothing says it changed.
    trending: hours, the half-life of what counts as recent for trending items.
    """

    def __init__(
        self,
        store: Store,
        source: Source,
        *,
        poll: float = 0.2,
        model_poll: float = 1.0,
        retry: float = 30.0,
        trending: float = 24.0,
    ) -> None:
        self.store = store
        self.source = source
        self.users = UserCache(store.state)
        self.acts = UserCache(store.acts)
        self.trends = Trends(store.activity, trending)
        self.rules: RulesBody = NO_RULES
        self.served: Served | None = None
        self.problems: dict[str, str] = {}
        self._logged: dict[str, str] = {}
        self._poll, self._model_poll = poll, model_poll
        self._patience = max(1, round(retry / model_poll))
        self._writing = threading.Lock()
        self._stop, self._nudged = threading.Event(), threading.Event()
        self._others: dict[str, Callable[[], None]] = {}
        self._threads: list[threading.Thread] = []
        self._changes = dict.fromkeys(COUNTERS, 0)
        self._pointer: Pointer | None = None
        self._failed: Pointer | None = None
        self._waited = 0

    def start(self) -> None:
        """Loads once, then goes on in the background. Never raises: what is wrong stands in `problems`."""
        self._attempt("model", self.follow_model)
        self._attempt("store", self.follow_store)
        self._run("palate-catalogue", self._catalogue_loop)
        self._run("palate-model", self._model_loop)
        for kind, loop in self._others.items():
            self._run(f"palate-{kind}", loop)

    def alongside(self, name: str, loop: Callable[[threading.Event], None]) -> None:
        """Runs `loop` in a thread of its own from `start` on, until the event it is given is set."""
        self._others[name] = lambda: loop(self._stop)

    def stop(self) -> None:
        self._stop.set()
        self._nudged.set()
        for thread in self._threads:
            thread.join(10)

    def nudge(self) -> None:
        """Something was written by this worker: look at the store now."""
        self._nudged.set()

    def forget(self, users: Iterable[str]) -> None:
        """What is held of these users is not true any more."""
        users = set(users)
        self.users.forget(users)
        self.acts.forget(users)

    def follow_store(self) -> None:
        """Takes in what changed in the store since the last look."""
        with self._writing:
            now = self.store.changes()
            if now == self._changes:
                return
            if (now["users"], now["events"]) != (self._changes["users"], self._changes["events"]):
                self.forget(self.store.users_since(self._changes["users"], self._changes["events"]))
            if now["items"] != self._changes["items"] and self.served is not None:
                self.served = self.served.changed(self.store.items_since(self._changes["items"]))
            rules, self._changes = self._changes["rules"], now
            if now["rules"] != rules:
                self.rules = _standing(self.store.rules())

    def follow_model(self) -> None:
        """Loads another model if one is meant now, and swaps it in. Raises PalateError if it can't be used."""
        pointer = self.source.pointer()
        if pointer == self._pointer:
            self._failed = None
            return
        if pointer == self._failed and self._waited < self._patience:
            self._waited += 1
            raise _StillBroken
        self._waited = 0
        try:
            found = load(pointer)
            changes = self.store.changes()["items"]
            fresh = Served.of(found, self.store.items_since(0))
        except Exception:
            self._failed = pointer
            raise
        with self._writing:
            # What changed while it was built is taken in before anybody sees it; taking it in twice is harmless.
            self.served = fresh.changed(self.store.items_since(changes))
        self._pointer, self._failed = pointer, None
        log.info("serving %s (%s)", pointer.version, found.model.kind)

    def _catalogue_loop(self) -> None:
        while not self._stop.is_set():
            self._nudged.wait(self._poll)
            self._nudged.clear()
            if not self._stop.is_set():
                self._attempt("store", self.follow_store)

    def _model_loop(self) -> None:
        while not self._stop.wait(self._model_poll):
            self._attempt("model", self.follow_model)

    def _attempt(self, name: str, work: Callable[[], None]) -> None:
        """Runs one round; a failure is logged when it is new, and kept in `problems` until a round succeeds."""
        try:
            work()
        except _StillBroken:
            return
        except PalateError as error:
            told = f"{error.message} {error.hint}" if error.hint else error.message
            self._report(name, told, str(error))
        except Exception as error:  # the thread must outlive whatever a bundle or a database can throw
            if self._report(name, "It failed unexpectedly; the log says why.", f"{type(error).__name__}: {error}"):
                log.exception("refreshing the %s failed", name)
        else:
            if self.problems.pop(name, None) is not None:
                log.info("the %s is well again", name)

    def _report(self, name: str, told: str, logged: str) -> bool:
        """Anybody may ask for `problems` (/ready is open), so places on this machine stand in the log alone."""
        fresh = name not in self.problems or self._logged.get(name) != logged
        self.problems[name], self._logged[name] = told, logged
        if fresh:
            log.warning("the %s cannot be refreshed, what was served before stays: %s", name, logged)
        return fresh

    def _run(self, name: str, loop: Callable[[], None]) -> None:
        thread = threading.Thread(target=loop, name=name, daemon=True)
        thread.start()
        self._threads.append(thread)


def _standing(said: dict[str, Any]) -> RulesBody:
    try:
        return RulesBody.model_validate(said) if said else NO_RULES
    except ValidationError as error:
        raise StoreError(f"the standing rules cannot be read: {error.errors()[0]['msg']}.") from error


class _StillBroken(Exception):
    """A bundle that failed has not changed since; it is not read again at every round."""
