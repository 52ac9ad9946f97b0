"""People who label without a pause, or with one: a bounded load on a labeling service that listens.

All of them are in one thread, each with a connection of its own, and speak just the HTTP that the service answers: the
load must cost little beside what it measures.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

PATIENCE = 600.0
"""Seconds in which a service that is gone has to be back."""
_PAUSE = 0.05


@dataclass
class Load:
    """What came of it. waits: seconds of each call that gave a next task, answered (task, person) in the order in which
    the service acknowledged them.
    """

    seconds: float = 0.0
    waits: list[float] = field(default_factory=list)
    answered: list[tuple[int, int]] = field(default_factory=list)

    @property
    def pace(self) -> float:
        """Turns a second."""
        return len(self.answered) / self.seconds

    def quantile(self, share: float) -> float:
        """Milliseconds within which this share of the next tasks came."""
        return float(np.quantile(self.waits, share)) * 1000


def label(
    port: int,
    project: int,
    tokens: list[str],
    value: Any | Callable[[Any], Any],
    *,
    turns: int,
    calls: int = 1,
    thought: float = 0.0,
    until: Callable[[], bool] = lambda: False,
    load: Load | None = None,
) -> Load:
    """Each person answers up to `turns` tasks, or until none is left, or `until` says so.

    value: the answer to every task, or what gives it for one.
    calls: 1 answers and fetches the next task in one, 2 in two. thought: seconds before each answer. The wait of a turn
    is what its calls take together, or with `thought` that for the next task alone.
    """
    return asyncio.run(
        _all(port, project, tokens, value, turns, calls, thought, until, Load() if load is None else load)
    )


async def _all(
    port: int,
    project: int,
    tokens: list[str],
    value: Any,
    turns: int,
    calls: int,
    thought: float,
    until: Callable[[], bool],
    load: Load,
) -> Load:
    started = time.perf_counter()
    people = [_Person(port, project, token, who, load) for who, token in enumerate(tokens)]
    await asyncio.gather(*(each.work(value, turns, calls, thought, until) for each in people))
    load.seconds = time.perf_counter() - started
    return load


class _Person:
    def __init__(self, port: int, project: int, token: str, who: int, load: Load) -> None:
        self._line = _Line(port, token)
        self._path, self._who, self._load = f"/v1/projects/{project}", who, load

    async def work(self, value: Any, turns: int, calls: int, thought: float, until: Callable[[], bool]) -> None:
        task = (await self._ask("POST", "/next", {"holding": []}))["task"]
        if thought:
            await asyncio.sleep(thought * self._who / 32)  # nobody begins with the others
        for _ in range(turns):
            if task is None or until():
                break
            if thought:
                await asyncio.sleep(thought)
            said = value(task) if callable(value) else value
            answer = {"value": said, "seconds": 1.0} | ({"holding": []} if calls == 1 else {})
            asked = time.perf_counter()
            step = await self._ask("PUT", f"/tasks/{task['id']}/annotation", answer)
            self._load.answered.append((task["id"], self._who))
            if calls == 2:
                asked = time.perf_counter() if thought else asked
                step = await self._ask("POST", "/next", {"holding": []})
            self._load.waits.append(time.perf_counter() - asked)
            task = step["task"]
        self._line.close()

    async def _ask(self, method: str, path: str, body: Any) -> Any:
        status, answer = await self._line.ask(method, self._path + path, json.dumps(body).encode())
        if status not in (200, 201):
            raise RuntimeError(f"{method} {path} answered {status}: {answer.decode()[:500]}")
        return json.loads(answer)


class _Line(asyncio.Protocol):
    """One connection, made anew when it breaks: then what was asked is asked again."""

    def __init__(self, port: int, token: str) -> None:
        self._port, self._fixed = port, f"Host: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
        self._transport: asyncio.Transport | None = None
        self._held = b""
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None

    async def ask(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        head = f"{method} {path} HTTP/1.1\r\n{self._fixed}Content-Type: application/json\r\n"
        request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
        loop = asyncio.get_running_loop()
        until = loop.time() + PATIENCE
        while True:
            self._answer = loop.create_future()
            try:
                if self._transport is None:
                    await loop.create_connection(lambda: self, "127.0.0.1", self._port)
                assert self._transport is not None
                self._transport.write(request)
                status, answer = await self._answer
                if status != 503:
                    return status, answer
            except OSError:
                self._transport = None
            if loop.time() > until:
                raise TimeoutError(f"nobody answers on port {self._port}")
            await asyncio.sleep(_PAUSE)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport, self._held = transport, b""

    def data_received(self, data: bytes) -> None:
        self._held += data
        head, found, rest = self._held.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(rest) >= length and self._answer is not None and not self._answer.done():
            self._held = b""
            if b"\r\nconnection: close" in head.lower() and self._transport is not None:
                self._transport.close()
                self._transport = None
            self._answer.set_result((int(head[9:12]), rest))

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error or ConnectionResetError("closed"))
