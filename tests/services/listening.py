"""An app that listens, and that loses answers when told to; and an awaited client as if it blocked."""

from __future__ import annotations

import asyncio
import collections.abc
import socket
import threading

from werkzeug.serving import make_server

from palate.client.calls import Policy

QUICK = Policy(retries=3, backoff=0.01, longest=0.02, timeout=120)


class House:
    """The service, listening. `lose(n)`: the next n requests are done, and then the connection breaks."""

    def __init__(self, api):
        self.api, self.left = api, 0
        self.requests = []

        def app(environ, start):
            self.requests.append((environ["REQUEST_METHOD"], environ["PATH_INFO"]))
            answer = api.app(environ, start)
            if self.left:
                self.left -= 1
                environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            return answer

        self.server = make_server("127.0.0.1", 0, app, threaded=True)
        self.url = f"http://127.0.0.1:{self.server.port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def lose(self, count):
        self.left = count
        self.requests.clear()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


class Awaiting:
    """The awaited client as if it blocked, so that the tests of the other one are its tests, too. Its loop has a thread
    of its own: in the tests' thread a browser's may be running."""

    kind: type

    def __init__(self, *args, **more):
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._client = self.kind(*args, **more)

    def __getattr__(self, name):
        def call(*args, **more):
            found = getattr(self._client, name)(*args, **more)
            return self._wait(self._all(found) if isinstance(found, collections.abc.AsyncIterator) else found)

        return call

    def _wait(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    async def _all(self, found):
        return [each async for each in found]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._wait(self._client.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def as_blocking(kind):
    """The class of an awaited client as one that blocks."""
    return type(f"Awaiting{kind.__name__}", (Awaiting,), {"kind": kind})
