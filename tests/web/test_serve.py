from __future__ import annotations

import asyncio
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from palate.errors import ParameterError, StoreError
from palate.web.serve import check_port, check_target
from palate.web.spreading import surplus

HOUSE = """
    import atexit
    import os
    import signal
    import time
    from pathlib import Path
    import numpy
    import threadpoolctl
    from flask import Blueprint
    from palate.errors import BundleError
    from palate.store import migrate, open_engine
    from palate.web import WebSettings, create_app, public

    def app():
        settings = WebSettings.read()
        engine = open_engine(settings.database("tiny"))
        migrate(engine, "tiny")
        atexit.register(Path(f"ended-{os.getpid()}").touch)
        bp = Blueprint("tiny", __name__)

        @bp.get("/pid")
        @public
        def pid():
            numpy.ones((2, 2)) @ numpy.ones((2, 2))
            threads = {pool["num_threads"] for pool in threadpoolctl.threadpool_info()}
            return {"pid": os.getpid(), "server": os.getppid(), "threads": sorted(threads)}

        @bp.get("/slow")
        @public
        def slow():
            time.sleep(0.4)
            return {"pid": os.getpid()}

        return create_app("tiny", settings, engine, title="Tiny", version="1", blueprints=[bp])

    def broken():
        raise BundleError("The bundle is gone.")

    def buggy():
        return {}["no such key"]

    def dying():
        os.kill(os.getpid(), signal.SIGKILL)
"""

RUN = """
    import atexit
    import os
    import sys
    from pathlib import Path
    import numpy
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    from palate.errors import PalateError
    from palate.web import supervising
    from palate.web.serve import serve

    supervising.TRIES = 3

    if __name__ == "__main__":
        atexit.register(lambda: Path(f"server-{{os.getpid()}}").touch())
        warms = [Path("warm").touch]
        try:
            serve("tiny_house:" + sys.argv[1], "127.0.0.1", {port}, workers=2, warms=warms)
        except PalateError as error:
            sys.exit(str(error))
"""


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def start(tmp_path: Path, free_port: int) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts `serve` for one factory of the tiny house."""
    (tmp_path / "tiny_house.py").write_text(textwrap.dedent(HOUSE))
    script = tmp_path / "run.py"
    script.write_text(textwrap.dedent(RUN).format(port=free_port))
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path]),
        "PALATE_HOME": str(tmp_path / "home"),
        "PALATE_METRICS_OPEN": "1",
        "TMPDIR": str(tmp_path),
    }
    running: list[subprocess.Popen[str]] = []

    def begin(factory: str, level: str = "INFO") -> subprocess.Popen[str]:
        command, own = [sys.executable, str(script), factory], environment | {"PALATE_LOG_LEVEL": level}
        # Workers hold the pipe too: what is left at the end is killed as a group, or reading it would not end.
        options: dict[str, Any] = {"stderr": subprocess.PIPE, "text": True, "start_new_session": True}
        running.append(subprocess.Popen(command, env=own, cwd=tmp_path, **options))
        return running[-1]

    yield begin
    for process in running:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=200)


def get(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=120) as answer:
        text: str = answer.read().decode()
        return text


def until_up(process: subprocess.Popen[str], port: int) -> None:
    end = time.monotonic() + 300
    while time.monotonic() < end:
        assert process.poll() is None, process.communicate()
        try:
            get(port, "/health")
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError("not up within five minutes")


def test_workers_share_the_load_count_together_and_stop_cleanly(
    start: Callable[..., subprocess.Popen[str]], free_port: int, tmp_path: Path
) -> None:
    process = start("app")
    until_up(process, free_port)
    told = [json.loads(get(free_port, "/pid")) for _ in range(60)]
    assert {each["server"] for each in told} == {process.pid}
    assert all(each["threads"] == [1] for each in told), "as the environment says, though numpy was loaded before"
    pids = {each["pid"] for each in told}
    # The kernel shares connections out; one worker may get them all while the other is still starting.
    assert 1 <= len(pids) <= 2
    assert 'palate_http_requests_total{method="GET",route="/pid",status="200"} 60.0' in get(free_port, "/metrics")
    with pytest.raises(StoreError, match=f"Port {free_port} cannot be used"):
        check_port("127.0.0.1", free_port)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors
    assert "palate.access" in errors
    assert "Traceback" not in errors
    assert errors.count(f"Ready at http://127.0.0.1:{free_port}\n") == 1, "by the first of the workers"
    assert list(tmp_path.glob("palate-metrics-*")) == []
    assert (tmp_path / "warm").exists()
    assert len(list(tmp_path.glob("ended-*"))) == 2, "what workers register for their end is done, in each"
    assert len(list(tmp_path.glob("server-*"))) == 1, "what the server registered is done by the server"


def test_a_rush_is_shed_and_what_is_in_flight_when_it_stops_is_answered(
    start: Callable[..., subprocess.Popen[str]], free_port: int
) -> None:
    process = start("app", "WARNING")  # nobody reads the pipe meanwhile: a line for each request would fill it
    until_up(process, free_port)
    with ThreadPoolExecutor(1) as pool:
        answers = pool.submit(asyncio.run, rush(free_port, 400)).result()
    assert {status for status, _ in answers} == {200, 503}, "each got an answer"
    assert all(b"retry-after: 1" in head.lower() for status, head in answers if status == 503)
    get(free_port, "/pid")
    with ThreadPoolExecutor(8) as pool:
        flying = [pool.submit(get, free_port, "/slow") for _ in range(8)]
        time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        assert all("pid" in each.result() for each in flying)
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors
    assert "are to come again" in errors


async def rush(port: int, count: int) -> list[tuple[int, bytes]]:
    """So many requests at once that take a while: status and head of each answer."""

    async def ask() -> tuple[int, bytes]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /slow HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 120)
        writer.close()
        return int(head.split()[1]), head

    return list(await asyncio.gather(*(ask() for _ in range(count))))


def test_workers_end_when_the_server_is_killed(start: Callable[..., subprocess.Popen[str]], free_port: int) -> None:
    process = start("app", "WARNING")
    until_up(process, free_port)
    process.kill()
    process.communicate(timeout=200)  # ends when nobody holds the pipe any more
    check_port("127.0.0.1", free_port)


@pytest.mark.parametrize(
    ("factory", "reason"),
    [
        ("broken", "The bundle is gone."),
        ("buggy", "The app cannot be made: KeyError: 'no such key'"),
        ("dying", "No worker could be started; 3 were tried. It was ended by SIGKILL."),
    ],
)
def test_workers_that_can_never_start_stop_the_server_with_the_reason(
    start: Callable[..., subprocess.Popen[str]], factory: str, reason: str
) -> None:
    process = start(factory)
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 1
    assert errors.rstrip().endswith(reason)
    assert ("Traceback" in errors) == (factory == "buggy")


def test_a_worker_that_dies_is_replaced_however_soon_it_dies_again(
    start: Callable[..., subprocess.Popen[str]], free_port: int
) -> None:
    process = start("app")
    until_up(process, free_port)
    until(lambda: len(workers(process)) == 2)
    for _ in range(2):
        first = workers(process)
        for each in first:
            os.kill(each, signal.SIGKILL)
        until(lambda: len(workers(process) - first) == 2)  # noqa: B023
    until(lambda: answers(free_port))
    os.kill(int(json.loads(get(free_port, "/pid"))["pid"]), signal.SIGKILL)
    until(lambda: answers(free_port))
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors
    assert "is gone, and another takes its place. It was ended by SIGKILL." in errors
    assert "could not start; the next try is in 0 s. It was ended by SIGKILL." in errors


def workers(process: subprocess.Popen[str]) -> set[int]:
    """Those of a server that live."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return {int(each) for each in children}


def answers(port: int) -> bool:
    with suppress(OSError, http.client.HTTPException):
        return "ok" in get(port, "/health")
    return False


@pytest.mark.parametrize("target", ["", "nowhere:app", "palate.web", "palate.web:nothing", "palate.web:__all__", ":"])
def test_targets_that_are_not_there(target: str) -> None:
    with pytest.raises(ParameterError, match="target"):
        check_target(target)


@pytest.mark.parametrize(
    ("host", "port"), [("127.0.0.1", 0), ("127.0.0.1", 70_000), ("no such host", 8000), ("a" * 300, 1)]
)
def test_addresses_that_cannot_be(host: str, port: int) -> None:
    with pytest.raises(ParameterError):
        check_port(host, port)


def test_connections_that_one_worker_holds_are_spread_over_all(
    start: Callable[..., subprocess.Popen[str]], free_port: int
) -> None:
    process = start("app", "WARNING")
    until_up(process, free_port)
    until(lambda: len({int(json.loads(get(free_port, "/pid"))["pid"]) for _ in range(20)}) == 2)
    held_up = int(json.loads(get(free_port, "/pid"))["pid"])
    clients = [http.client.HTTPConnection("127.0.0.1", free_port, timeout=120) for _ in range(8)]
    os.kill(held_up, signal.SIGSTOP)
    try:
        until(lambda: stands_still(held_up))
        assert held_up not in {who_answers(client) for client in clients}
    finally:
        os.kill(held_up, signal.SIGCONT)

    def both_have_their_share() -> bool:
        answered = [who_answers(client) for client in clients]
        return 3 <= answered.count(held_up) <= 5

    until(both_have_their_share)
    for client in clients:
        client.close()


def stands_still(process: int) -> bool:
    """Whether all threads of a process are stopped: each goes on until it comes by the kernel."""
    states = [file.read_text().rpartition(")")[2].split()[0] for file in Path(f"/proc/{process}/task").glob("*/stat")]
    return set(states) == {"T"}


def who_answers(client: http.client.HTTPConnection) -> int:
    """The process behind a connection that is kept open, as far as the server lets it."""
    client.request("GET", "/pid")
    return int(json.loads(client.getresponse().read())["pid"])


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 300
    while not holds():
        assert time.monotonic() < end, "not within a minute"
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("mine", "others", "beyond"),
    [
        (8, [0], 4),
        (6, [2], 2),
        (5, [4], 0),
        (4, [4], 0),
        (2, [0], 1),
        (1, [0], 0),
        (104, [96], 0),
        (3, [], 0),
        (0, [9], 0),
    ],
)
def test_what_is_beyond_a_workers_share(mine: int, others: list[int], beyond: int) -> None:
    assert surplus(mine, others) == beyond
