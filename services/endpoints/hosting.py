"""The models that a worker has loaded, kept in step with the store in the background.

Requests read one reference. What cannot be loaded leaves in place what was served under that name before, is logged
once and told by `problems` until it is mended.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping

from palate.errors import BundleError, PalateError
from palate.models.protocol import Artifact
from services.endpoints.source import Loaded, Resolve, Source, load
from services.endpoints.store import Endpoint, Store, unknown

log = logging.getLogger("palate.endpoints")


class Hosted:
    """An endpoint with its model in memory."""

    def __init__(self, endpoint: Endpoint, artifact: Artifact) -> None:
        self.endpoint = endpoint
        self.artifact = artifact
        self.signature = artifact.signature()


class Hosting:
    """What a worker serves.

    Parameters
    ----------
    resolve: finds registered models, as `Tracker.resolve`.
    poll: seconds between two looks at the store. retry: seconds until what could not be loaded is tried again.
    """

    def __init__(self, store: Store, resolve: Resolve, *, poll: float = 0.25, retry: float = 30.0) -> None:
        self.store = store
        self.hosted: Mapping[str, Hosted] = {}
        self.problems: Mapping[str, str] = {}
        self._resolve, self._poll, self._retry = resolve, poll, retry
        self._looking = threading.Lock()
        self._failed: dict[str, float] = {}
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

    def find(self, name: str) -> Hosted:
        """The endpoint of that name. One that this worker has not heard of is looked for in the store first.

        Raises UnknownIdError if there is none, BundleError if its bundle cannot be loaded, StoreError.
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

    def deploy(self, name: str, source: Source) -> tuple[Endpoint, bool]:
        """Loads the model, and only then puts it behind `name`; the endpoint, and whether it is new.

        Raises as `load`; then what was served under that name goes on.
        """
        loaded = load(source, self._resolve)
        made = self.store.put(name, loaded.source, loaded.digest, loaded.artifact.kind)
        self.look({made[0].revision: loaded})
        return made

    def delete(self, name: str) -> None:
        self.store.delete(name)
        self.look()

    def look(self, ready: Mapping[str, Loaded] | None = None) -> None:
        """Takes in what changed in the store. `ready`: models by revision that need not be loaded again."""
        with self._looking:
            hosted: dict[str, Hosted] = {}
            problems: dict[str, str] = {}
            wanted = self.store.all()
            for endpoint in wanted:
                held = self.hosted.get(endpoint.name)
                if held is not None and held.endpoint.revision == endpoint.revision:
                    hosted[endpoint.name] = held
                    continue
                try:
                    hosted[endpoint.name] = self._load(endpoint, ready or {})
                except Exception as error:  # one bundle, whatever it throws, must not keep the others from being served
                    problems[endpoint.name] = self._report(endpoint, error)
                    if held is not None:
                        hosted[endpoint.name] = held
            revisions = {endpoint.revision for endpoint in wanted}
            self._failed = {revision: until for revision, until in self._failed.items() if revision in revisions}
            self.hosted, self.problems = hosted, problems

    def _load(self, endpoint: Endpoint, ready: Mapping[str, Loaded]) -> Hosted:
        if endpoint.revision in ready:
            return Hosted(endpoint, ready[endpoint.revision].artifact)
        if time.monotonic() < self._failed.get(endpoint.revision, 0):
            raise _StillBroken
        made = Hosted(endpoint, load(endpoint.source, self._resolve, digest=endpoint.digest).artifact)
        if self._failed.pop(endpoint.revision, None) is not None:
            log.info("the endpoint %s is well again", endpoint.name)
        return made

    def _report(self, endpoint: Endpoint, error: Exception) -> str:
        """What is told of it. Places on this machine stand in the log alone."""
        if isinstance(error, _StillBroken):
            return self.problems.get(endpoint.name, "its bundle could not be loaded.")
        self._failed[endpoint.revision] = time.monotonic() + self._retry
        if isinstance(error, PalateError):
            log.warning("the endpoint %s cannot be loaded, what was served before stays: %s", endpoint.name, error)
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


class _StillBroken(Exception):
    """What failed a moment ago is not read again at every round."""
