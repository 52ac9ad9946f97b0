"""The models that a worker has loaded, kept in step with the store in the background.

Requests read one reference. What cannot be loaded leaves in place what was served under that name before, is logged
once and told by `problems` until it is mended.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from palate.errors import BundleError, InputError, PalateError, ParameterError
from palate.models.protocol import Artifact
from services.endpoints.answers import alike
from services.endpoints.source import Resolve, Source, load
from services.endpoints.store import Endpoint, Store, Variant, unknown
from services.variants.drawing import draw

log = logging.getLogger("palate.endpoints")


class Hosted:
    """A variant with its model in memory. token: as `Counts` takes it."""

    def __init__(self, endpoint: Endpoint, variant: Variant, artifact: Artifact) -> None:
        self.variant = variant
        self.token = f"{endpoint.name}/{variant.name}/{endpoint.token(variant)}"
        self.artifact = artifact
        self.signature = artifact.signature()


@dataclass(frozen=True)
class Running:
    """An endpoint with the models that this worker has of it."""

    endpoint: Endpoint
    variants: tuple[Hosted, ...]
    shadows: tuple[Hosted, ...]

    def pick(self, wanted: str | None, session: str | None = None) -> Hosted:
        """A variant by weight, or the one that is wanted. Raises InputError if that is not there.

        session: whoever says the same keeps their variant, as far as the weights let them; None is drawn by chance.
        """
        if wanted is not None:
            for each in (*self.variants, *self.shadows):
                if each.variant.name == wanted:
                    return each
            known = ", ".join(each.name for each in self.endpoint.variants)
            raise InputError(f"There is no variant {wanted[:80]!r}.", hint=f"There are: {known}.")
        weights = [(each.variant.name, each.variant.weight) for each in self.variants]
        if not any(weight for _, weight in weights):
            raise BundleError(f"no variant of the endpoint {self.endpoint.name!r} that has traffic can be loaded.")
        return self.variants[draw(self.endpoint.name, session, weights)]


@dataclass(frozen=True)
class Wanted:
    """A variant that is to be deployed: what it is called, where its model comes from, and its part of the traffic."""

    name: str
    source: Source
    weight: float = 1.0
    shadow: bool = False


class Hosting:
    """What a worker serves.

    Parameters
    ----------
    resolve: finds registered models, as `Tracker.resolve`.
    poll: seconds between two looks at the store. retry: seconds until what could not be loaded is tried again.
    """

    def __init__(self, store: Store, resolve: Resolve, *, poll: float = 0.25, retry: float = 30.0) -> None:
        self.store = store
        self.hosted: Mapping[str, Running] = {}
        self.problems: Mapping[str, str] = {}
        self._resolve, self._poll, self._retry = resolve, poll, retry
        self._looking = threading.Lock()
        self._failed: dict[tuple[str, str], float] = {}
        self._lost = False
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Loads what is deployed, then goes on in the background. Never raises: what is wrong is logged."""
        self._attempt()
        self._thread = threading.Thread(target=self._loop, name="palate-endpoints", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(10)

    def find(self, name: str, wanted: str | None = None) -> Hosted:
        """The variant that answers now. Raises as `running`, and InputError if there is no such variant."""
        return self.running(name).pick(wanted)

    def running(self, name: str) -> Running:
        """The endpoint of that name. One that this worker has not heard of is looked for in the store first.

        Raises UnknownIdError if there is none, BundleError if its bundles cannot be loaded, StoreError.
        """
        found = self.hosted.get(name)
        if found is None:
            self.look()
            found = self.hosted.get(name)
        if found is None:
            if name in self.problems:
                raise BundleError(f"the endpoint {name!r} cannot answer: {self.problems[name]}")
            raise unknown(name)
        return found

    def deploy(self, name: str, wanted: Sequence[Wanted]) -> tuple[Endpoint, bool]:
        """Loads the models, and only then puts them behind `name`; the endpoint, and whether it is new.

        Raises as `load`, and ParameterError for variants that do not answer alike; then what was served under that name
        goes on.
        """
        loaded = [load(each.source, self._resolve) for each in wanted]
        variants = [
            Variant(each.name, found.source, found.digest, found.artifact.kind, each.weight, each.shadow)
            for each, found in zip(wanted, loaded, strict=True)
        ]
        _check_alike([(each, found.artifact) for each, found in zip(variants, loaded, strict=True) if not each.shadow])
        made = self.store.put(name, variants)
        self.look({each.content: found.artifact for each, found in zip(variants, loaded, strict=True)})
        return made

    def weigh(self, name: str, weights: Mapping[str, float]) -> Endpoint:
        """Gives variants other weights. Raises as the store."""
        made = self.store.weigh(name, weights)
        self.look()
        return made

    def delete(self, name: str) -> None:
        self.store.delete(name)
        self.look()

    def look(self, ready: Mapping[tuple[str, str], Artifact] | None = None) -> None:
        """Takes in what changed in the store. `ready`: models by their content that need not be loaded again."""
        with self._looking:
            models = {**self._models(), **(ready or {})}
            hosted: dict[str, Running] = {}
            problems: dict[str, str] = {}
            wanted = self.store.all()
            for endpoint in wanted:
                held = self.hosted.get(endpoint.name)
                if held is not None and held.endpoint.revision == endpoint.revision and _is_whole(held):
                    hosted[endpoint.name] = held
                    continue
                loaded = []
                for variant in endpoint.variants:
                    try:
                        loaded.append(Hosted(endpoint, variant, self._load(endpoint, variant, models)))
                    except Exception as error:  # one bundle, whatever it throws, must not keep the others from serving
                        problems[endpoint.name] = self._report(endpoint, variant, error, held is not None)
                if len(loaded) == len(endpoint.variants) or (held is None and loaded):
                    answering = tuple(each for each in loaded if not each.variant.shadow)
                    shadows = tuple(each for each in loaded if each.variant.shadow)
                    hosted[endpoint.name] = Running(endpoint, answering, shadows)
                elif held is not None:
                    hosted[endpoint.name] = held
            known = {(endpoint.revision, each.name) for endpoint in wanted for each in endpoint.variants}
            self._failed = {failed: until for failed, until in self._failed.items() if failed in known}
            self.hosted, self.problems = hosted, problems

    def _models(self) -> dict[tuple[str, str], Artifact]:
        found = {}
        for running in self.hosted.values():
            for each in (*running.variants, *running.shadows):
                found[each.variant.content] = each.artifact
        return found

    def _load(self, endpoint: Endpoint, variant: Variant, models: dict[tuple[str, str], Artifact]) -> Artifact:
        if variant.content in models:
            return models[variant.content]
        place = endpoint.revision, variant.name
        if time.monotonic() < self._failed.get(place, 0):
            raise _StillBroken
        made = load(variant.source, self._resolve, digest=variant.digest).artifact
        models[variant.content] = made
        if self._failed.pop(place, None) is not None:
            log.info("the endpoint %s is well again", endpoint.name)
        return made

    def _report(self, endpoint: Endpoint, variant: Variant, error: Exception, held: bool) -> str:
        """What is told of it. Places on this machine stand in the log alone."""
        if isinstance(error, _StillBroken):
            return self.problems.get(endpoint.name, "its bundle could not be loaded.")
        self._failed[endpoint.revision, variant.name] = time.monotonic() + self._retry
        if isinstance(error, PalateError):
            what = "loaded, what was served before stays" if held else "loaded yet, and will be tried again"
            log.warning("the endpoint %s (%s) cannot be %s: %s", endpoint.name, variant.name, what, error)
            return f"{error.message} {error.hint}" if error.hint else error.message
        log.error("loading the endpoint %s failed", endpoint.name, exc_info=error)
        return "its bundle could not be loaded; the log says why."

    def _loop(self) -> None:
        while not self._stop.wait(self._poll):
            self._attempt()

    def _attempt(self) -> None:
        try:
            self.look()
        except PalateError as error:
            if not self._lost:
                log.warning("the store cannot be asked, what is served stays: %s", error)
            self._lost = True
        except Exception:  # the thread must outlive whatever a database can throw
            log.exception("looking for deployed endpoints failed")
        else:
            self._lost = False


def _check_alike(answering: Sequence[tuple[Variant, Artifact]]) -> None:
    """Raises ParameterError naming two variants of which a caller could not take either's answer."""
    (first, model), *others = answering
    for each, other in others:
        if not alike(model, other):
            raise ParameterError(
                f"{first.name!r} ({model.kind}) and {each.name!r} ({other.kind}) do not take and give the same, so "
                "they cannot share the traffic.",
                where="variants",
                hint="Put each behind an endpoint of its own; a shadow, which never answers, may be of any kind.",
            )


def _is_whole(running: Running) -> bool:
    return len(running.variants) + len(running.shadows) == len(running.endpoint.variants)


class _StillBroken(Exception):
    """What failed a moment ago is not read again at every round."""
