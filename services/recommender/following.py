"""A model that is followed: loaded as its source means it now, with the live catalogue laid over it.

Another version is loaded beside the one that serves and swapped in whole; one that cannot be used changes nothing.
"""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Iterable

from palate.memory import give_back
from services.recommender.catalogue import ItemRow
from services.recommender.served import Served
from services.recommender.sources import Pointer, Source, load
from services.recommender.store import Store

log = logging.getLogger("palate.recommender")


class StillBrokenError(Exception):
    """A bundle that failed has not changed since; it is not read again at every round."""


class Followed:
    """One source's model. Requests read `served` once and work on it to the end.

    patience: rounds until a bundle that failed is tried again, although nothing says it changed.
    """

    def __init__(self, store: Store, source: Source, patience: int = 1) -> None:
        self.source = source
        self.served: Served | None = None
        self._store, self._patience = store, patience
        self._pointer: Pointer | None = None
        self._failed: Pointer | None = None
        self._waited = 0

    def follow(self, writing: threading.Lock, *, anew: bool = False) -> None:
        """Loads another version if one is meant now, and swaps it in. Raises PalateError if it can't be used.

        writing: held by whoever replaces a snapshot. anew: try also what failed a moment ago; else StillBrokenError.
        """
        pointer = self.source.pointer()
        if pointer == self._pointer:
            self._failed = None
            return
        if pointer == self._failed and self._waited < self._patience and not anew:
            self._waited += 1
            raise StillBrokenError
        self._waited = 0
        try:
            found = load(pointer)
            changes = self._store.changes()["items"]
            fresh = Served.of(found, self._store.items_since(0))
            fresh.warm()
        except Exception:
            self._failed = pointer
            raise
        give_back()
        gc.freeze()  # else each full collection walks through the catalogue's entries, and all requests wait
        with writing:
            # What changed while it was built is taken in before anybody sees it; taking it in twice is harmless.
            self.served = fresh.changed(self._store.items_since(changes))
        self._pointer, self._failed = pointer, None
        log.info("serving %s (%s)", pointer.version, found.model.kind)

    def take(self, rows: Iterable[ItemRow]) -> None:
        """Lays changed rows of the catalogue over it; `writing` is held."""
        if self.served is not None:
            self.served = self.served.changed(rows)
