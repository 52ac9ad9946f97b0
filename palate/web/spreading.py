"""Connections spread evenly over the workers of one server.

All workers accept from one queue, and a connection stays with whoever took it: after a burst one worker may hold most
of them and be slow while another idles, for as long as the clients keep them open. So each worker tells the others,
through a file each, how many of its connections are in use; one that holds more than its share answers a few requests
with `Connection: close`. HTTP clients then connect anew, and the worker with more time is quicker to accept.

On systems that don't tell when a connection was last heard from (all but Linux) nothing is done.
"""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

INTERVAL = 0.2
"""Seconds between two looks."""
IN_USE = 10_000
"""Milliseconds since a client sent something, after which its connection no longer counts: longer than people think
between two requests, or the counts would go up and down by chance and connections be closed for nothing."""
_SILENT = 2.0
"""Seconds after which a worker that tells nothing is taken for gone."""
_SHARE = 0.1
"""How far above the mean, relatively, is left alone: with many connections, chance alone spreads them so far."""
_LAST_HEARD = struct.Struct("I")
_ESTABLISHED, _LAST_HEARD_AT, _INFO_BYTES = 1, 52, 56
"""Where Linux's tcp_info has its state (at 0) and the milliseconds since data last came."""

Start = Callable[..., Any]
Application = Callable[[dict[str, Any], Start], Iterable[bytes]]


class Spreading:
    """WSGI middleware of a worker that serves `port`; the server's workers find each other's counts in `folder`."""

    def __init__(self, application: Application, port: int, folder: Path) -> None:
        self._application, self._port, self._folder = application, port, folder
        self._own = folder / f"{os.getpid()}.connections"
        self._surplus = 0
        if hasattr(socket, "TCP_INFO") and os.path.isdir("/proc/self/fd"):
            threading.Thread(target=self._look, daemon=True).start()

    def __call__(self, environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
        if self._surplus <= 0:
            return self._application(environ, start_response)
        # Two threads may see the same last one: then one connection more is closed, which does no harm.
        self._surplus -= 1

        def closing(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            return start_response(status, [*headers, ("Connection", "close")], *rest)

        return self._application(environ, closing)

    def _look(self) -> None:
        own = os.open(self._own, os.O_WRONLY | os.O_CREAT, 0o600)
        while True:
            time.sleep(INTERVAL)
            try:
                mine = in_use(self._port)
                os.pwrite(own, b"%8d" % mine, 0)  # of one length: whoever reads meanwhile finds the old or the new
                self._surplus = surplus(mine, self._others())
            except OSError:  # The folder goes when the server stops.
                self._surplus = 0

    def _others(self) -> list[int]:
        """What the other workers told of late."""
        told = []
        for file in self._folder.glob("*.connections"):
            if file != self._own and time.time() - file.stat().st_mtime < _SILENT:
                told.append(int(file.read_bytes() or b"0"))
        return told


def surplus(mine: int, others: list[int]) -> int:
    """How many of a worker's connections are beyond its share; chance alone counts for nothing."""
    mean = (mine + sum(others)) / (1 + len(others))
    beyond = mine - mean
    return int(beyond) if beyond > _SHARE * mean else 0


def in_use(port: int) -> int:
    """How many connections that this process accepted on `port` were heard from of late."""
    found = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            one = socket.socket(fileno=int(name))
        except OSError:  # No socket, or closed since.
            continue
        try:
            if one.type == socket.SOCK_STREAM and one.family in (socket.AF_INET, socket.AF_INET6):
                found += one.getsockname()[1] == port and _is_in_use(one)
        except OSError:
            pass
        finally:
            one.detach()  # It is granian's: ours would close it.
    return found


def _is_in_use(one: socket.socket) -> bool:
    info = one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
    return info[0] == _ESTABLISHED and _LAST_HEARD.unpack_from(info, _LAST_HEARD_AT)[0] < IN_USE
