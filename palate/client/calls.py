"""HTTP calls that outlast a server's bad moments.

A call that failed by 429, a 5xx, a broken connection or a time-out is sent again, after waits that double each time
and are drawn at random from their upper half (so that many callers do not come back at once), or after what
`Retry-After` asks for. Any other refusal is final: it would be refused again.
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass
from random import SystemRandom
from typing import Any

import urllib3
from urllib3.exceptions import HTTPError, InvalidHeader, LocationParseError
from urllib3.util.retry import Retry

from palate.errors import ParameterError, RemoteError

LONGEST_RETRY_AFTER = 300
"""Seconds; a server that asks for more is asked again after these."""
_AGAIN = frozenset({408, 429, *range(500, 600)})
_random = SystemRandom()


@dataclass(frozen=True)
class Policy:
    """retries: how often a call is sent again. backoff: seconds before the first of them, doubled for each further
    one up to `longest`. timeout: seconds the service may stay silent."""

    retries: int = 5
    backoff: float = 0.2
    longest: float = 20.0
    timeout: float = 60.0

    def pause(self, attempt: int) -> float:
        """Seconds to wait after `attempt` failed tries."""
        most = min(self.longest, self.backoff * 2.0 ** min(attempt - 1, 60))
        return most * _random.uniform(0.5, 1.0)


class Limiter:
    """At most `rate` calls a second, evenly spaced, over all threads that share it; 0 means no limit. The first waits
    its time as well, so that many that live for a call or two keep the rate too."""

    def __init__(self, rate: float) -> None:
        self._gap = 1 / rate if rate > 0 else 0.0
        self._next = time.monotonic() + self._gap
        self._lock = threading.Lock()

    def wait(self, stop: threading.Event) -> None:
        """Returns when it is this call's turn, or `stop` is set."""
        if not self._gap:
            return
        with self._lock:
            turn = max(self._next, time.monotonic())
            self._next = turn + self._gap
        stop.wait(max(0.0, turn - time.monotonic()))


@dataclass(frozen=True)
class Answer:
    status: int
    content_type: str
    body: bytes


class Caller:
    """Calls one service. Safe to share between threads.

    Parameters
    ----------
    url: where the service is, `http://host:port`. key: sent as a bearer token; None sends none.
    limiter: every attempt, also a repeated one, waits for its turn. connections: kept open at most.

    Raises ParameterError for a URL that is none, or a key that no header can hold.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        policy: Policy | None = None,
        *,
        limiter: Limiter | None = None,
        connections: int = 1,
    ) -> None:
        self.url = service_url(url)
        if key is not None and not (key.isascii() and key.isprintable()):
            raise ParameterError("it has characters that no key has.", where="key")
        self._headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        self._policy = policy or Policy()
        self._limiter = limiter or Limiter(0)
        self._closed = threading.Event()
        wait = urllib3.Timeout(connect=min(10.0, self._policy.timeout), read=self._policy.timeout)
        self._pool = urllib3.PoolManager(maxsize=connections, timeout=wait, retries=False)

    def call(self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Answer:
        """The service's answer, whose status is 2xx.

        Raises RemoteError: refused, with the service's own words; or not answered, with how often it was tried; or
        closed before the next try.
        """
        tries = self._policy.retries + 1
        failure = ""
        for attempt in range(1, tries + 1):
            self._limiter.wait(self._closed)
            if self._closed.is_set():
                raise RemoteError(f"{method} {path}: it was given up: the caller was closed.", where=self.url)
            pause = self._policy.pause(attempt)
            try:
                response = self._pool.request(
                    method, self.url + path, body=body, headers={**self._headers, **(headers or {})}, redirect=False
                )
            except HTTPError as error:
                failure = _reason(error, self._policy.timeout)
            else:
                if 200 <= response.status < 300:
                    return Answer(response.status, response.headers.get("Content-Type", ""), response.data)
                failure = f"it answered {response.status}: {_told(response.data)}"
                if response.status not in _AGAIN:
                    raise RemoteError(f"{method} {path}: {failure}", where=self.url, code=response.status)
                pause = max(pause, _retry_after(response))
            if attempt < tries:
                self._closed.wait(pause)
        times = "once" if tries == 1 else f"{tries} times"
        raise RemoteError(
            f"{method} {path}: {failure}", where=self.url, hint=f"It was tried {times}. Is the server up?"
        )

    def json(self, method: str, path: str, document: Any = None) -> Any:
        """The JSON that the service answers to JSON. Raises RemoteError, also for an answer that is no JSON."""
        body = None if document is None else json.dumps(document).encode()
        answer = self.call(method, path, body, {"Content-Type": "application/json", "Accept": "application/json"})
        try:
            return json.loads(answer.body)
        except ValueError:
            raise RemoteError(f"{method} {path}: the answer is no JSON.", where=self.url) from None

    def close(self) -> None:
        """Ends all waits, also those of other threads: nothing is tried again."""
        self._closed.set()
        self._pool.clear()


def service_url(url: str) -> str:
    """`url` without a slash at its end. Raises ParameterError unless it is http://host or https://host."""
    try:
        parsed = urllib3.util.parse_url(url)
    except LocationParseError:
        parsed = urllib3.util.Url()
    if parsed.scheme not in ("http", "https") or not parsed.host or parsed.query or parsed.fragment or parsed.auth:
        raise ParameterError(f"{url[:200]!r} is no address of a service.", hint="Write http://host:port.")
    return url.rstrip("/")


def _reason(error: HTTPError, timeout: float) -> str:
    if isinstance(error, urllib3.exceptions.NewConnectionError):  # itself a ConnectTimeoutError, whatever happened
        return "it cannot be reached."
    if isinstance(error, urllib3.exceptions.ConnectTimeoutError):
        return "it could not be reached in time."
    if isinstance(error, urllib3.exceptions.TimeoutError):
        return f"it gave no answer within {timeout:g} seconds."
    return f"the connection broke ({type(error).__name__})."


def _told(body: bytes) -> str:
    """The words of an error answer: AWS's `message`, problem+json's `detail`, else its beginning."""
    try:
        document = json.loads(body)
        told = document.get("message") or document.get("detail") or document.get("title") or ""
    except (ValueError, AttributeError):
        told = body.decode("utf-8", "replace").strip()
    return " ".join(str(told).split())[:500] or "nothing more."


def _retry_after(response: urllib3.BaseHTTPResponse) -> float:
    try:
        return float(Retry(retry_after_max=LONGEST_RETRY_AFTER).get_retry_after(response) or 0)
    except (InvalidHeader, ValueError, OverflowError):
        return 0.0
