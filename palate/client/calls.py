"""HTTP calls that outlast a server's bad moments.

A call that failed by 429, a 5xx, a broken connection or a time-out is sent again, after waits that double each time
and are drawn at random from their upper half (so that many callers do not come back at once), or after what
`Retry-After` asks for. Any other refusal is final: it would be refused again.

What is done when, is said once, as a plan: a generator that yields requests to send and seconds to wait, and returns
what came of it. `Caller` carries plans out by urllib3; `palate.client.asynchronous` does by httpx.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from random import SystemRandom
from typing import Any, TypeAlias, TypeVar

import urllib3
from urllib3.exceptions import HTTPError, InvalidHeader, LocationParseError
from urllib3.util.retry import Retry

from palate.errors import ParameterError, RemoteError

LONGEST_RETRY_AFTER = 300
"""Seconds; a server that asks for more is asked again after these."""
_AGAIN = frozenset({408, 429, *range(500, 600)})
_UNDONE = frozenset({429, 503})
"""What a service answers that has not begun with a request."""
_GONE = frozenset({404, 410})
"""What a second try of a DELETE finds when the first one was done and only its answer was lost."""
_random = SystemRandom()
T = TypeVar("T")


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

    @property
    def connecting(self) -> float:
        """Seconds that a connection may take."""
        return min(10.0, self.timeout)


@dataclass(frozen=True)
class Request:
    """path: from the service's address on. repeatable: doing it twice does no harm."""

    method: str
    path: str
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    repeatable: bool = True


@dataclass(frozen=True)
class Answer:
    """headers: as they came; `header` finds one whatever its case."""

    status: int
    content_type: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    def header(self, name: str) -> str | None:
        return next((value for held, value in self.headers.items() if held.lower() == name.lower()), None)


@dataclass(frozen=True)
class Failure:
    """Why there is no answer. sent: the service may have got the request all the same."""

    reason: str
    sent: bool = True


Step: TypeAlias = Request | float
"""Send this; or wait so many seconds."""
Plan: TypeAlias = Generator[Step, Any, T]
"""A Request is answered by an Answer or a Failure."""


def exchange(request: Request, policy: Policy, where: str) -> Plan[Answer]:
    """The plan of one call, with all its tries. The answer's status is 2xx (of a repeated DELETE perhaps 404).

    Raises RemoteError: refused, with the service's own words; or not answered, with how often it was tried.
    """
    name = f"{request.method} {request.path}"
    tries = policy.retries + 1
    tried, failure, code = 0, "", None
    while tried < tries:
        tried += 1
        got = yield request
        pause = policy.pause(tried)
        if isinstance(got, Failure):
            failure, code, again = got.reason, None, request.repeatable or not got.sent
        elif 200 <= got.status < 300 or (tried > 1 and request.method == "DELETE" and got.status in _GONE):
            return got  # type: ignore[no-any-return]
        else:
            told, problem = _told(got.body)
            failure, code = f"it answered {got.status}: {told}", got.status
            if got.status not in _AGAIN:
                raise RemoteError(f"{name}: {failure}", where=where, code=code, problem=problem)
            pause = max(pause, _retry_after(got.header("Retry-After")))
            again = request.repeatable or got.status in _UNDONE
        if not again:
            hint = "It may have been done all the same, and is not sent again: doing it twice would be another thing."
            raise RemoteError(f"{name}: {failure}", where=where, hint=hint, code=code)
        if tried < tries:
            yield pause
    times = "once" if tries == 1 else f"{tries} times"
    raise RemoteError(f"{name}: {failure}", where=where, hint=f"It was tried {times}. Is the server up?")


def decoded(answer: Answer, request: Request, where: str) -> Any:
    """The JSON of an answer. Raises RemoteError for what is none."""
    try:
        return json.loads(answer.body)
    except ValueError:
        raise RemoteError(f"{request.method} {request.path}: the answer is no JSON.", where=where) from None


def credentials(key: str | None) -> dict[str, str]:
    """The headers that carry a key. Raises ParameterError for one that no header can hold."""
    if key is not None and not (key.isascii() and key.isprintable()):
        raise ParameterError("it has characters that no key has.", where="key")
    return {} if key is None else {"Authorization": f"Bearer {key}"}


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
        self._headers = credentials(key)
        self.policy = policy or Policy()
        self._limiter = limiter or Limiter(0)
        self._closed = threading.Event()
        wait = urllib3.Timeout(connect=self.policy.connecting, read=self.policy.timeout)
        self._pool = urllib3.PoolManager(maxsize=connections, timeout=wait, retries=False)

    def call(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """The service's answer, whose status is 2xx.

        Raises RemoteError: refused, with the service's own words; or not answered, with how often it was tried; or
        closed before the next try.
        """
        return self.run(exchange(Request(method, path, body, headers or {}), self.policy, self.url))

    def run(self, plan: Plan[T]) -> T:
        """What a plan returns once it is carried out. Raises as it does, and RemoteError when this was closed."""
        try:
            step = next(plan)
            while True:
                step = plan.send(self._send(step) if isinstance(step, Request) else self._closed.wait(step))
        except StopIteration as end:
            found: T = end.value
            return found
        finally:
            plan.close()

    def _send(self, request: Request) -> Answer | Failure:
        self._limiter.wait(self._closed)
        if self._closed.is_set():
            told = f"{request.method} {request.path}: it was given up: the caller was closed."
            raise RemoteError(told, where=self.url)
        url, headers = self.url + request.path, {**self._headers, **request.headers}
        try:
            got = self._pool.request(request.method, url, body=request.body, headers=headers, redirect=False)
        except HTTPError as error:
            return _failure(error, self.policy.timeout)
        return Answer(got.status, got.headers.get("Content-Type", ""), got.data, dict(got.headers))

    def json(self, method: str, path: str, document: Any = None) -> Any:
        """The JSON that the service answers to JSON. Raises RemoteError, also for an answer that is no JSON."""
        body = None if document is None else json.dumps(document).encode()
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        return decoded(self.call(method, path, body, headers), Request(method, path), self.url)

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


def _failure(error: HTTPError, timeout: float) -> Failure:
    if isinstance(error, urllib3.exceptions.NewConnectionError):  # itself a ConnectTimeoutError, whatever happened
        return Failure("it cannot be reached.", sent=False)
    if isinstance(error, urllib3.exceptions.ConnectTimeoutError):
        return Failure("it could not be reached in time.", sent=False)
    if isinstance(error, urllib3.exceptions.TimeoutError):
        return Failure(f"it gave no answer within {timeout:g} seconds.")
    return Failure(f"the connection broke ({type(error).__name__}).")


def _told(body: bytes) -> tuple[str, Mapping[str, Any] | None]:
    """The words of an error answer: AWS's `message`, problem+json's `detail`, else its beginning; and the problem."""
    problem = None
    try:
        problem = json.loads(body)
        told = problem.get("message") or problem.get("detail") or problem.get("title") or ""
    except (ValueError, AttributeError):
        problem, told = None, body.decode("utf-8", "replace").strip()
    return " ".join(str(told).split())[:500] or "nothing more.", problem


def _retry_after(told: str | None) -> float:
    if told is None:
        return 0.0
    try:
        return Retry(retry_after_max=LONGEST_RETRY_AFTER).parse_retry_after(told)
    except (InvalidHeader, ValueError, OverflowError):
        return 0.0
