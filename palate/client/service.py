"""What the clients of the services are made of: asking for an answer and reading it, opening and closing."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from operator import index
from types import TracebackType
from typing import Any, ClassVar, Self, TypeVar
from urllib.parse import quote, urlencode

from pydantic import BaseModel, ValidationError

from palate.client.asynchronous import AsyncCaller
from palate.client.calls import Answer, Caller, Plan, Policy, Request, decoded, exchange
from palate.client.twins import Awaited, Blocking
from palate.errors import ParameterError, RemoteError

A = TypeVar("A", bound=BaseModel)
T = TypeVar("T")
LINES = "application/x-ndjson"
"""What a body of bytes is: JSON of one row a line."""


class Service:
    """What the methods of a client are planned with.

    KEY: the environment variable that holds the key of who calls. WHAT: what is asked, for who asks something else.
    """

    KEY: ClassVar[str]
    WHAT: ClassVar[str]
    _caller: Caller | AsyncCaller

    def _ask(self, kind: type[A], verb: str, path: str, body: Any = None, *, repeatable: bool = True) -> Plan[A]:
        found = yield from self._json(verb, path, body, repeatable=repeatable)
        try:
            return kind.model_validate(found)
        except ValidationError as error:
            fault = error.errors()[0]
            place = ".".join(map(str, fault["loc"]))
            raise self._refused(
                f"{verb} {path}: the answer is not as expected: {place}: {fault['msg']}.",
                hint=f"Is it {self.WHAT}, of this version?",
            ) from None

    def _json(self, verb: str, path: str, body: Any = None, *, repeatable: bool = True) -> Plan[Any]:
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = LINES if isinstance(body, bytes) else "application/json"
        sent = body if body is None or isinstance(body, bytes) else _encoded(body)
        request = Request(verb, path, sent, headers, repeatable)
        answer = yield from self._call(request)
        return decoded(answer, request, self._caller.url)

    def _do(self, verb: str, path: str) -> Plan[None]:
        yield from self._call(Request(verb, path))

    def _call(self, request: Request) -> Plan[Answer]:
        return exchange(request, self._caller.policy, self._caller.url)

    def _refused(self, message: str, hint: str | None = None) -> RemoteError:
        return RemoteError(message, where=self._caller.url, hint=hint)


class BlockingService(Service, Blocking):
    """One service, asked by calls that return what they say. Safe to share between threads; a context manager."""

    def __init__(self, url: str, key: str | None = None, *, policy: Policy | None = None, connections: int = 8) -> None:
        """url: http://host:port. key: a token; that of the environment unless given.

        Raises ParameterError for a URL or key that is none.
        """
        self._caller: Caller = Caller(url, _key(key, self.KEY), policy, connections=connections)

    def run(self, plan: Plan[T]) -> T:
        return self._caller.run(plan)

    def close(self) -> None:
        self._caller.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AwaitedService(Service, Awaited):
    """The same for an event loop; an asynchronous context manager. Needs the extra `async`."""

    def __init__(
        self, url: str, key: str | None = None, *, policy: Policy | None = None, connections: int = 100
    ) -> None:
        """As BlockingService. Raises MissingDependencyError without httpx."""
        self._caller: AsyncCaller = AsyncCaller(url, _key(key, self.KEY), policy, connections=connections)

    async def run(self, plan: Plan[T]) -> T:
        return await self._caller.run(plan)

    async def close(self) -> None:
        await self._caller.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def given(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is None: not said."""
    return {name: value for name, value in fields.items() if value is not None}


def address(kind: str, name: str | int) -> str:
    """The address of one thing. Raises ParameterError for an id that no address can hold."""
    text = str(name)
    try:
        part = quote(text, safe="")
    except UnicodeEncodeError:
        part = ""
    if not part:
        raise ParameterError(f"{text[:80]!r} is no id.", where=kind)
    # A part of dots alone means another place to whoever tidies addresses up.
    return f"/v1/{kind}/{part.replace('.', '%2E') if not text.strip('.') else part}"


def numbered(kind: str, number: int) -> str:
    """The end of an address that names one of what is numbered. Raises ParameterError for what is no whole number."""
    try:
        return f"/{kind}/{index(number)}"
    except TypeError:
        raise ParameterError(f"{str(number)[:80]!r} is no number of one.", where=kind, hint="Give an int.") from None


def query_of(fields: Mapping[str, Any]) -> str:
    """The query that says these, with its "?"; empty if there is none. Raises ParameterError for what is no text."""
    said = given(fields)
    try:
        return "?" + urlencode(said, doseq=True) if said else ""
    except UnicodeEncodeError:
        raise ParameterError("it holds characters that are no text.", where=", ".join(said)) from None


def _key(key: str | None, variable: str) -> str | None:
    return key if key is not None else os.environ.get(variable, "").strip() or None


def _encoded(body: Any) -> bytes:
    try:
        return json.dumps(body, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise ParameterError(f"this cannot be sent as JSON: {error}.", where="body") from None
