"""Keeps a worker's snapshot fresh, in the background: two threads write, requests only ever read one reference.

The catalogue thread follows the store's counters several times a second; the model thread looks whether other
bundles are meant now, and loads them beside those served. Whatever fails leaves in place what was served before, is
logged once, and is told by `problems` until it is mended.
"""

from __future__ import annotations

import logging
import threading
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from palate.errors import BundleError, PalateError, ParameterError, StoreError
from palate.memory import return_large_blocks
from services.recommender.asking import RulesBody
from services.recommender.deployments.records import OWN, Deployment, ModelSource
from services.recommender.deployments.store import DeploymentStore
from services.recommender.deployments.traffic import Armed, Plan, Traffic
from services.recommender.events import Event
from services.recommender.following import Followed, StillBrokenError
from services.recommender.rules import NO_RULES
from services.recommender.served import Served
from services.recommender.sources import Source
from services.recommender.store import NOBODY, Store
from services.recommender.tables import COUNTERS
from services.recommender.trends import Trends
from services.recommender.users import UserCache

log = logging.getLogger("palate.recommender")


class Live:
    """What a worker serves now.

    Parameters
    ----------
    source: the service's own model. sources: finds those of the variants of deployments.
    poll: seconds between two looks at the store. model_poll: seconds between two looks for another model.
    retry: seconds until a bundle that failed is tried again, although nothing says it changed.
    trending: hours, the half-life of what counts as recent for trending items.
    """

    def __init__(
        self,
        store: Store,
        source: Source,
        *,
        sources: Callable[[ModelSource], Source] | None = None,
        poll: float = 0.2,
        model_poll: float = 1.0,
        retry: float = 30.0,
        trending: float = 24.0,
    ) -> None:
        self.store = store
        self.users = UserCache(store.state, nothing=NOBODY)
        self.acts = UserCache(store.acts)
        self.trends = Trends(store.activity, trending)
        self.rules: RulesBody = NO_RULES
        self.traffic = Traffic(DeploymentStore(store.engine))
        self.problems: dict[str, str] = {}
        self._logged: dict[str, str] = {}
        self._had: set[str] = set()
        self._poll, self._model_poll = poll, model_poll
        self._patience = max(1, round(retry / model_poll))
        self._writing = threading.Lock()
        self._stop, self._nudged, self._wanting = threading.Event(), threading.Event(), threading.Event()
        self._others: dict[str, Callable[[], None]] = {}
        self._threads: list[threading.Thread] = []
        self._changes = dict.fromkeys(COUNTERS, 0)
        self._own = Followed(store, source, self._patience)
        self._sources = sources
        self._models: dict[ModelSource, Followed] = {OWN: self._own}
        self._deployments: list[Deployment] = []

    @property
    def served(self) -> Served | None:
        """The snapshot of the service's own model."""
        return self._own.served

    def start(self) -> None:
        """Loads once, then goes on in the background. Never raises: what is wrong stands in `problems`."""
        return_large_blocks()
        self._attempt("model", self.follow_model)
        self._attempt("store", self.follow_store)
        self._attempt("deployments", self._follow_variants)
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
        self._wanting.set()
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

    def add_events(self, events: Sequence[Event]) -> int:
        """Stores events, and which variants' lists they say were clicked; how many are new. Raises as the store."""
        stored = self.store.add_events(events)
        self.traffic.store.add_clicks(self.traffic.clicked(events))
        self.forget({event.user for event in events})  # that is all this worker has to follow of them
        return stored

    def follow_store(self) -> None:
        """Takes in what changed in the store since the last look."""
        with self._writing:
            now = self.store.changes()
            if now == self._changes:
                return
            if (now["users"], now["events"]) != (self._changes["users"], self._changes["events"]):
                self.forget(self.store.users_since(self._changes["users"], self._changes["events"]))
            if now["items"] != self._changes["items"]:
                rows = list(self.store.items_since(self._changes["items"]))
                for model in self._models.values():
                    model.take(rows)
            if now["rules"] != self._changes["rules"]:
                self.rules = standing(self.store.rules())
            if now["deployments"] != self._changes["deployments"]:
                self._deployments = self.traffic.store.all()
                self._arrange()
            self._changes = now

    def follow_model(self) -> None:
        """Loads another version of the service's own model if one is meant now, and swaps it in.

        Raises PalateError if it can't be used.
        """
        self._own.follow(self._writing)

    def ready(self, source: ModelSource) -> Served:
        """The snapshot of a variant's model, loaded now if it is not yet. Raises PalateError if it can't be used."""
        with self._writing:
            model = self._models.get(source)
            known = model is not None
            if model is None:
                model = self._models[source] = self._followed(source)
        try:
            if model.served is None:
                model.follow(self._writing, anew=True)
                self._had.add(_label(source))
        except Exception:
            with self._writing:
                if not known:
                    self._models.pop(source, None)
            raise
        served: Served | None = model.served
        if served is None:
            raise BundleError(f"{source.label} has been taken away meanwhile.")
        return served

    def _followed(self, source: ModelSource) -> Followed:
        if self._sources is None:
            raise ParameterError("variants have no models of their own here.", where="variants")
        return Followed(self.store, self._sources(source), self._patience)

    def _arrange(self) -> None:
        """Makes the plans of the deployments from the models that are loaded; `_writing` is held.

        A deployment whose variants are not all loaded yet keeps its plan; a worker that has none begins with those
        that are.
        """
        wanted = {each.source for deployment in self._deployments for each in deployment.variants}
        for source in wanted - set(self._models):
            self._models[source] = self._followed(source)
            self._wanting.set()
        plans = [self._plan(deployment) for deployment in self._deployments]
        self.traffic.replace(plans, self._deployments)
        used = {id(each.followed) for plan in plans for each in (*plan.variants, *plan.shadows)}
        self._models = {
            source: model
            for source, model in self._models.items()
            if source == OWN or source in wanted or id(model) in used
        }

    def _plan(self, deployment: Deployment) -> Plan:
        before = self.traffic.plans.get(deployment.name)
        held = {each.variant.name: each for each in (*before.variants, *before.shadows)} if before else {}
        armed = []
        problems = {}
        for variant in deployment.variants:
            model = self._models[variant.source]
            if (problem := self.problems.get(_label(variant.source))) is not None:
                problems[variant.name] = problem
            if model.served is not None:
                armed.append(Armed(variant, model))
            elif variant.name in held:
                was = held[variant.name]
                armed.append(Armed(replace(variant, token=was.variant.token), was.followed))
        if before is not None and len(armed) < len(deployment.variants):
            return replace(before, problems=problems)
        answering = tuple(each for each in armed if not each.variant.shadow)
        shadows = tuple(each for each in armed if each.variant.shadow)
        return Plan(deployment, standing(dict(deployment.rules)), answering, shadows, problems)

    def _follow_variants(self) -> None:
        """One round of all models but the service's own; then the plans are made anew."""
        with self._writing:
            others = [(source, model) for source, model in self._models.items() if source != OWN]
        for source, model in others:
            self._attempt(_label(source), lambda model=model: model.follow(self._writing))  # type: ignore[misc]
        with self._writing:
            labels = {_label(source) for source in self._models}
            for name in [name for name in self.problems if name.startswith(_VARIANT) and name not in labels]:
                self.problems.pop(name, None)
            if self._deployments:
                self._arrange()

    def _catalogue_loop(self) -> None:
        while not self._stop.is_set():
            self._nudged.wait(self._poll)
            self._nudged.clear()
            if not self._stop.is_set():
                self._attempt("store", self.follow_store)

    def _model_loop(self) -> None:
        while not self._stop.is_set():
            self._wanting.wait(self._model_poll)
            self._wanting.clear()
            if not self._stop.is_set():
                self._attempt("model", self.follow_model)
                self._attempt("deployments", self._follow_variants)

    def _attempt(self, name: str, work: Callable[[], None]) -> None:
        """Runs one round; a failure is logged when it is new, and kept in `problems` until a round succeeds."""
        try:
            work()
        except StillBrokenError:
            return
        except PalateError as error:
            told = f"{error.message} {error.hint}" if error.hint else error.message
            self._report(name, told, str(error))
        except Exception as error:  # the thread must outlive whatever a bundle or a database can throw
            if self._report(name, "It failed unexpectedly; the log says why.", f"{type(error).__name__}: {error}"):
                log.exception("refreshing the %s failed", name)
        else:
            self._had.add(name)
            if self.problems.pop(name, None) is not None:
                log.info("the %s is well again", name)

    def _report(self, name: str, told: str, logged: str) -> bool:
        """Anybody may ask for `problems` (/ready is open), so places on this machine stand in the log alone."""
        fresh = name not in self.problems or self._logged.get(name) != logged
        self.problems[name], self._logged[name] = told, logged
        if fresh:
            had = name in self._had
            what = "refreshed, what was served before stays" if had else "loaded yet, and will be tried again"
            log.warning("the %s cannot be %s: %s", name, what, logged)
        return fresh

    def _run(self, name: str, loop: Callable[[], None]) -> None:
        thread = threading.Thread(target=loop, name=name, daemon=True)
        thread.start()
        self._threads.append(thread)


def standing(said: dict[str, Any]) -> RulesBody:
    """Stored rules. Raises StoreError if they cannot be read."""
    try:
        return RulesBody.model_validate(said) if said else NO_RULES
    except ValidationError as error:
        raise StoreError(f"the standing rules cannot be read: {error.errors()[0]['msg']}.") from error


_VARIANT = "variant "


def _label(source: ModelSource) -> str:
    """Under which name the problems of a variant's model are told; without its place on this machine."""
    if source == OWN:
        return "model"
    return f"{_VARIANT}{source.label} ({zlib.crc32(repr(source).encode('utf-8', 'surrogatepass')):08x})"
