"""Recommendations over HTTP beside a view of the same service that answers a constant: what an answer costs.

Exact top 10 of 20,000 items, users drawn uniformly, 50 items of each left out; no answer and no score is kept. In the
same run: answers for whom the model does not know, recommendations while events come in, and `mlflow models serve` of
the same model, where MLflow is installed. Needs wrk. (`benchmarks.connections` has other numbers of connections.)
"""

from __future__ import annotations

import importlib.util
import os
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.harness import Benchmark, Timing
from benchmarks.load import ENVIRONMENT, ITEM, USER, WORKERS, Load, Server, load, model, serving, until, wrk

USERS, ITEMS, CONNECTIONS = 100_000, 20_000, 8
RECENT = 5
"""Items that a visitor without an account has looked at."""
BATCH, PACE, SENDERS = 100, 3_000, 4
"""Events in a request, events a second while recommendations are asked for, and over how many connections."""
CONSTANT, PERSONAL, UNKNOWN, VISITOR = "constant", "personal", "unknown user", "recent items"
ANSWER = 1_310
"""Bytes of the constant answer: about those of ten recommended items."""


def requests(users: int, items: int) -> dict[str, str]:
    """Lua that makes a request of each kind."""

    def of_user(path: str) -> str:
        return f'return wrk.format("GET", string.format("{path}", math.random(0, {users - 1})), headers)'

    user, item = USER.format(0)[:-7] + "%07d", ITEM.format(0)[:-6] + "%06d"
    return {
        CONSTANT: of_user(f"/v1/users/{user}/constant"),
        PERSONAL: of_user(f"/v1/users/{user}/recommendations"),
        UNKNOWN: of_user("/v1/users/nobody-%07d/recommendations"),
        VISITOR: f"""
          local recent = {{}}
          for i = 1, {RECENT} do recent[i] = string.format('"{item}"', math.random(0, {items - 1})) end
          local body = '{{"recent_items": [' .. table.concat(recent, ",") .. ']}}'
          return wrk.format("POST", "/v1/recommendations/session", headers, body)""",
        "events": f"""
          local rows, row = {{}}, '{{"id": "%d-%d-%d", "user": "{user}", "item": "{item}"}}'
          for i = 1, {BATCH} do
            sent = (sent or 0) + 1
            rows[i] = string.format(row, seed, math.random(0, 2 ^ 30), sent, math.random(0, {users - 1}),
              math.random(0, {items - 1}))
          end
          return wrk.format("POST", "/v1/events", headers, '{{"events": [' .. table.concat(rows, ",") .. ']}}')""",
        "mlflow": f"""
          local body = string.format('{{"dataframe_split": {{"columns": ["user"], "data": [["{user}"]]}}}}',
            math.random(0, {users - 1}))
          return wrk.format("POST", "/invocations", headers, body)""",
    }


def middle(runs: Sequence[Load]) -> Load:
    """The median of each figure; no answer may have failed. Raises RuntimeError if one did."""
    failed = sum(run.failed for run in runs)
    if failed:
        raise RuntimeError(f"{failed} requests failed")
    rate, p50, p99 = (statistics.median(getattr(run, name) for run in runs) for name in ("rate", "p50", "p99"))
    return Load(rate, p50, p99, 0)


def told(runs: Mapping[str, Sequence[Load]]) -> str:
    """The figures of each kind, one after another."""
    parts = []
    for name, each in runs.items():
        found = middle(each)
        parts.append(f"{name} {found.rate:,.0f} a second, p50 {found.p50:.2f} ms, p99 {found.p99:.1f} ms")
    return "; ".join(parts)


@contextmanager
def sending(server: Server, users: int, items: int) -> Iterator[list[float]]:
    """Sends PACE events a second in batches meanwhile, by turns over SENDERS connections (one alone waits for each
    answer longer than its batch may take); the list gets the seconds that each batch took."""
    stop, took, draw = threading.Event(), [], random.Random(0)

    def send(due: float) -> None:
        while not stop.wait(max(0.0, due - time.monotonic())):
            due += SENDERS * BATCH / PACE
            rows = [
                {
                    "id": uuid.uuid4().hex,
                    "user": USER.format(draw.randrange(users)),
                    "item": ITEM.format(draw.randrange(items)),
                }
                for _ in range(BATCH)
            ]
            began = time.monotonic()
            server.call("/v1/events", {"events": rows})
            took.append(time.monotonic() - began)

    begin = time.monotonic()
    threads = [threading.Thread(target=send, args=[begin + k * BATCH / PACE], daemon=True) for k in range(SENDERS)]
    for thread in threads:
        thread.start()
    try:
        yield took
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)


@contextmanager
def mlflow_serving(folder: Path) -> Iterator[Server]:
    """`mlflow models serve` of the bundle that the service answers from, ready."""
    from palate.bundle import current_bundle, read_manifest
    from palate.tracking.model import BUNDLE, describe

    bundle = current_bundle(folder / "bundles")
    shutil.copytree(bundle, folder / "mlflow" / BUNDLE)
    describe(folder / "mlflow", read_manifest(bundle), model_id="", run_id="")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", str(folder / "mlflow"),
               "--env-manager", "local", "--port", str(port), "--workers", str(WORKERS)]  # fmt: skip
    beside = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])  # it calls uvicorn
    environment = os.environ | ENVIRONMENT | {"XDG_CACHE_HOME": str(folder / "cache"), "PATH": beside}
    log = folder / "mlflow.log"
    with log.open("wb") as file:
        process = subprocess.Popen(command, env=environment, stdout=file, stderr=file, start_new_session=True)
    try:
        server = Server(port, "none", folder, process)
        until(lambda: server.call("/ping")[0] == 200, process, log)
        yield server
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def run(quick: bool) -> Timing:
    wrk()
    users, items = (1_000, 500) if quick else (USERS, ITEMS)
    rounds, seconds = (1, 1) if quick else (5, 4)
    lua = requests(users, items)
    with tempfile.TemporaryDirectory(prefix="palate-bench-") as name:
        folder = Path(name)
        with serving(folder, model(users, items), ANSWER) as server:
            kinds = CONSTANT, PERSONAL, UNKNOWN, VISITOR

            def rounds_of(names: Sequence[str]) -> dict[str, list[Load]]:
                """In turns, so that whatever else the machine does hits all alike."""
                turns = [(each, load(server, lua[each], seconds, CONNECTIONS)) for _ in range(rounds) for each in names]
                return {each: [found for kind, found in turns if kind == each] for each in names}

            for each in kinds:
                load(server, lua[each], 1, CONNECTIONS)
            runs = rounds_of(kinds)
            load(server, lua["events"], 1, SENDERS)
            with sending(server, users, items) as took:
                meanwhile = middle(rounds_of([PERSONAL])[PERSONAL])
            flood = [load(server, lua["events"], seconds, SENDERS) for _ in range(rounds)]
        notes = [told(runs)]
        constant, personal = middle(runs[CONSTANT]), middle(runs[PERSONAL])
        notes.append(
            f"Of the constant's: throughput {personal.rate / constant.rate:.2f}, p99 {personal.p99 / constant.p99:.1f}"
        )
        slower = {each: middle(runs[each]).p50 / personal.p50 for each in (UNKNOWN, VISITOR)}
        notes.append("Of a personal answer's p50: " + ", ".join(f"{each} {by:.2f}" for each, by in slower.items()))
        notes.append(
            f"While {BATCH * len(took) / (rounds * seconds):,.0f} events a second came in: p99 {meanwhile.p99:.1f} ms, "
            f"{meanwhile.p99 / personal.p99:.2f} of that without"
        )
        events = middle(flood)
        notes.append(
            f"Events alone, in batches of {BATCH}: {events.rate * BATCH:,.0f} a second, p99 {events.p99:.0f} ms"
        )
        if importlib.util.find_spec("mlflow.pyfunc.scoring_server") is None:
            notes.append("MLflow is not installed (pip install 'palate[mlflow]')")
        else:
            with mlflow_serving(folder) as peer:
                load(peer, lua["mlflow"], 1, CONNECTIONS)
                theirs = {"mlflow models serve": [load(peer, lua["mlflow"], seconds, CONNECTIONS) for _ in range(3)]}
            rate = middle(theirs["mlflow models serve"]).rate
            notes.append(f"{told(theirs)}: ours answers {personal.rate / rate:.0f} times as many")
    size = f"{items:,} items x 64, {users:,} users, {CONNECTIONS} connections, {WORKERS} workers"
    spent = {each: tuple(1 / found.rate for found in runs[each]) for each in (CONSTANT, PERSONAL)}
    return Timing(spent[CONSTANT], spent[PERSONAL], size, note=". ".join(notes) + ".")


BENCHMARK = Benchmark(
    "serving",
    "Ten recommendations over HTTP: seconds of the service for each, all connections together",
    "a constant answer of the same size, behind the same checks",
    run,
)
