"""A recommendation service as users run it, under load: real worker processes, asked over HTTP by wrk.

`python -m benchmarks.load PORT` is the service; it has one route more, which answers a constant through everything
that stands before every other answer: identity and scope, checks of the query, metrics, the access log, headers.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from flask import Flask, Response
from scipy import sparse

from palate.bundle import publish_bundle, set_current
from palate.dataset.ids import IdMap
from palate.models import make_recommender
from palate.models.als import ALS
from palate.store.accounts import Accounts
from palate.web import gives, require, takes
from services.recommender.answers import Recommended
from services.recommender.app import create, open_store
from services.recommender.asking import UserPage
from services.recommender.settings import RecommenderSettings

WORKERS = 2
SIZE = "PALATE_BENCHMARK_ANSWER"
"""How many bytes the constant answer has."""
USER, ITEM = "user-{:07d}", "item-{:06d}"
ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PALATE_LOG_LEVEL": "INFO"}


def model(users: int, items: int, factors: int = 64, seen: int = 50, seed: int = 0) -> ALS:
    """A factorization whose factors are drawn, not learned: 500 groups, a spread that falls as 1/sqrt(rank) from one
    dimension to the next, item lengths spread log-normally. Each user has seen `seen` items, popular ones more
    often."""
    random = np.random.default_rng(seed)
    made: ALS = make_recommender("als", {"factors": factors})  # type: ignore[assignment]
    made.users, made.items = IdMap(list(map(USER.format, range(users)))), IdMap(list(map(ITEM.format, range(items))))
    popularity = np.arange(1, items + 1) ** -0.5
    drawn = random.choice(items, (users, seen), p=popularity / popularity.sum()).astype(np.int32)
    rows = np.arange(0, users * seen + 1, seen)
    made.seen = sparse.csr_matrix((np.ones(users * seen, np.float32), drawn.ravel(), rows), shape=(users, items))
    made.seen.sum_duplicates()
    made.seen.data[:] = 1
    spread = 1 / np.sqrt(np.arange(1, factors + 1))
    centers = random.standard_normal((500, factors)) * spread
    lengths = np.exp(0.5 * random.standard_normal((items, 1)))

    def about(count: int) -> Any:
        return centers[random.integers(0, 500, count)] + 0.5 * spread * random.standard_normal((count, factors))

    made.item_factors, made.user_factors = (about(items) * lengths).astype(np.float32), about(users).astype(np.float32)
    made.penalty, made.usual_weight = 1.0, 1.0
    return made


def app() -> Flask:
    """The service of a worker, with the constant view."""
    made = create(RecommenderSettings.read())
    body = "x" * int(os.environ[SIZE])

    @require("recommend")
    @takes(query=UserPage)
    @gives(Recommended)
    def constant(user: str, query: UserPage) -> Response:
        return Response(body, 200, mimetype="application/json")

    made.get("/v1/users/<id:user>/constant")(constant)
    return made


@dataclass(frozen=True)
class Server:
    """A running service. key: its bearer token; home: where its database is."""

    port: int
    key: str
    home: Path
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def call(self, path: str, body: Any = None) -> tuple[int, bytes]:
        """Status and body of one request; raises OSError if it fails."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        asked = urllib.request.Request(self.url + path, data, headers)  # noqa: S310 (our own address)
        with urllib.request.urlopen(asked, timeout=30) as answer:  # noqa: S310
            return answer.status, answer.read()

    def memory(self) -> int:
        """Bytes (PSS) of all its processes together."""
        import psutil  # type: ignore[import-untyped]

        whole = psutil.Process(self.process.pid)
        return sum(each.memory_full_info().pss for each in (whole, *whole.children(recursive=True)))


@contextmanager
def serving(folder: Path, made: ALS | None, answer: int, workers: int = WORKERS) -> Iterator[Server]:
    """The service with a bundle of this model (None: that of the folder), ready. answer: bytes of the constant view."""
    bundles, home = folder / "bundles", folder / "home"
    if made is not None:
        set_current(bundles, publish_bundle(made, bundles))
    settings = RecommenderSettings(home=home)
    engine = open_store(settings).engine
    key = Accounts(engine).create_key("benchmark", ["*"])[1]
    engine.dispose()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | ENVIRONMENT | {
        "PALATE_HOME": str(home), "PALATE_CONFIG": os.devnull, "PALATE_BUNDLE": str(bundles),
        "XDG_CACHE_HOME": str(folder / "cache"), SIZE: str(answer),
    }  # fmt: skip
    command = [sys.executable, "-m", "benchmarks.load", str(port), "--workers", str(workers)]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    server = Server(port, key, home, process)
    try:
        until(lambda: server.call("/ready")[0] == 200, process, folder / "server.log")
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(40)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def until(holds: Callable[[], bool], process: subprocess.Popen[bytes], log: Path, seconds: float = 300) -> None:
    """Waits for a server. Raises RuntimeError with the end of its log if it does not come up."""
    end = time.monotonic() + seconds
    while True:
        try:
            if holds():
                return
        except OSError:
            pass
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"the server does not answer: {log.read_text('utf-8', 'replace')[-2000:]}")
        time.sleep(0.1)


@dataclass(frozen=True)
class Load:
    """What wrk saw. rate: answers per second; p50, p99: milliseconds; failed: answers that were none, or errors."""

    rate: float
    p50: float
    p99: float
    failed: int


SCRIPT = """
local ids = {{}}
local drawn = 0
function setup(thread) drawn = drawn + 1; thread:set("seed", os.time() + 7919 * drawn) end
function init(args) math.randomseed(seed); math.random() end
local headers = {{ ["Authorization"] = "Bearer {key}", ["Content-Type"] = "application/json" }}
function request()
  {request}
end
function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format('{{"requests": %d, "us": %d, "p50": %f, "p99": %f, "failed": %d}}\\n', summary.requests,
    summary.duration, latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"""


def wrk() -> str:
    """Where wrk is. Raises click.ClickException if it is missing."""
    found = shutil.which("wrk")
    if found is None:
        raise click.ClickException("wrk is missing; Debian and Ubuntu have it: apt-get install wrk")
    return found


def load(server: Server, request: str, seconds: float, connections: int, key: str | None = None) -> Load:
    """Puts load on the server. request: Lua that returns what `wrk.format` gives, with `headers` at hand."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua", delete=False) as script:
        script.write(SCRIPT.format(key=key or server.key, request=request))
    try:
        command = [wrk(), "--threads", "1", "--connections", str(connections), "--timeout", "10s",
                   "--duration", f"{max(1, round(seconds))}s", "--script", script.name, server.url]  # fmt: skip
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    finally:
        os.unlink(script.name)
    found = json.loads(told.strip().splitlines()[-1])
    return Load(found["requests"] / found["us"] * 1e6, found["p50"] / 1000, found["p99"] / 1000, int(found["failed"]))


@click.command()
@click.argument("port", type=int)
@click.option("--workers", type=int, default=WORKERS)
def main(port: int, workers: int) -> None:
    """Serve until stopped."""
    from palate.web.serve import serve
    from services import warming

    serve("benchmarks.load:app", port=port, workers=workers, warms=[warming.recommender])


if __name__ == "__main__":
    main()
