"""Work that nobody's request waits for, in threads of the process that answers it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Hashable

from palate.errors import PalateError

log = logging.getLogger("palate.labeling")


class Beside:
    """Starts work of which there is one at a time of each key. Safe to share between threads."""

    def __init__(self) -> None:
        self._busy: set[Hashable] = set()
        self._lock = threading.Lock()

    def start(self, key: Hashable, work: Callable[[], object]) -> None:
        """Begin the work, unless some of this key is being done. What goes wrong is logged."""
        with self._lock:
            if key in self._busy:
                return
            self._busy.add(key)
        threading.Thread(target=self._do, args=(key, work), name=f"beside-{key}", daemon=True).start()

    def _do(self, key: Hashable, work: Callable[[], object]) -> None:
        try:
            work()
        except PalateError as error:
            log.warning("Not done for %s: %s", key, error)
        except Exception:
            log.exception("Not done for %s", key)
        finally:
            with self._lock:
                self._busy.discard(key)
