"""What a worker does when more is asked of it than it can answer: a few requests wait, the rest is told to come again.

Without it they all wait, each longer than the one before, and what is answered at last nobody waits for any more. A
request takes a place only when its body is here, so that clients which send slowly, or stop half-way, hold up none.
"""

from __future__ import annotations

import io
import json
import logging
import time
from collections.abc import Callable, Iterable
from typing import Any

from palate.waiting import Line

log = logging.getLogger("palate.web")
SLOTS = 8
"""Requests at work at once in a worker. Views wait for the database at most; more only fight over the interpreter."""
WAITING = 64
"""Requests that may wait for a slot."""
PATIENCE = 5.0
"""Seconds that they wait."""
RETRY_AFTER = 1
OPEN = frozenset({"/health", "/ready", "/ping", "/metrics"})
"""Always answered: a worker that is busy is not one that is broken."""
_QUIET = 10.0
"""Seconds between two lines of the log about it."""
_BODY = json.dumps(
    {
        "type": "/problems/not-ready",
        "title": "The service is not ready",
        "status": 503,
        "detail": "More is asked at the moment than can be answered; nothing was done. Try again in a moment.",
        "request_id": "",
    }
).encode()

Start = Callable[..., Any]
Application = Callable[[dict[str, Any], Start], Iterable[bytes]]


class Shedding:
    """WSGI middleware: 503 with Retry-After for what finds no slot and no place to wait.

    told: called with the method of each request that was refused. body: up to so many bytes are read ahead.
    """

    def __init__(
        self,
        application: Application,
        told: Callable[[str], None],
        *,
        slots: int = SLOTS,
        waiting: int = WAITING,
        patience: float = PATIENCE,
        body: int = 1 << 20,
    ) -> None:
        self._application, self._told = application, told
        self._waiting, self._patience, self._body = waiting, patience, body
        self._line = Line(slots)
        self._quiet_until = 0.0

    def __call__(self, environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
        if environ.get("PATH_INFO") in OPEN:
            return self._application(environ, start_response)
        length = environ.get("CONTENT_LENGTH") or "0"
        if length.isdecimal() and 0 < int(length) <= self._body:
            environ["wsgi.input"] = io.BytesIO(environ["wsgi.input"].read(int(length)))
        if not self._line.enter(self._patience, self._waiting):
            return self._refused(environ, start_response)
        try:
            return self._application(environ, start_response)
        finally:
            self._line.leave()

    def _refused(self, environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
        self._told(str(environ.get("REQUEST_METHOD", "")))
        now = time.monotonic()
        if now > self._quiet_until:
            self._quiet_until = now + _QUIET
            log.warning("more is asked than can be answered: some requests get 503 and are to come again")
        headers = [
            ("Content-Type", "application/problem+json"),
            ("Content-Length", str(len(_BODY))),
            ("Retry-After", str(RETRY_AFTER)),
            ("Cache-Control", "no-store"),
        ]
        start_response("503 Service Unavailable", headers)
        return [_BODY]
