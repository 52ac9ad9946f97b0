"""Running an app under granian: several worker processes, clean stops, one place for their metrics.

`serve` is called once, by a process that does nothing else; each worker makes its own app by calling the factory.
On Linux workers are forked from that process after it has imported the app's module: they share the memory of what is
imported, and one that is replaced answers sooner.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import ipaddress
import logging
import multiprocessing
import multiprocessing.util
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from prometheus_client import values

from palate.errors import PalateError, ParameterError, StoreError
from palate.web.shedding import SLOTS, WAITING
from palate.web.spreading import Spreading
from palate.web.supervising import Signs, supervisor

TARGET, PORT, ADDRESS = "PALATE_WEB_TARGET", "PALATE_WEB_PORT", "PALATE_WEB_ADDRESS"
"""What the server tells its workers: their app, the port whose connections they spread (none for one worker), and
where the server is reached."""
THREADS = SLOTS + WAITING + 64
"""Per worker: requests at work, those that wait, and those whose bodies are still arriving or that are refused."""
_CONNECTIONS = 1024
"""Open connections of a worker, idle ones included; more are accepted when one of them is closed."""
log = logging.getLogger("palate.serve")


def serve(
    target: str,
    host: str = "127.0.0.1",
    port: int = 8000,
    *,
    workers: int = 1,
    threads: int = THREADS,
    certificate: Path | None = None,
    private_key: Path | None = None,
    warms: Sequence[Callable[[], object]] = (),
) -> None:
    """Serve the app that "module:factory" makes, until SIGTERM or Ctrl-C; requests in flight are finished.

    Workers may be forked from the caller, so it must have no database open. warms: called before they are, to load what
    all of them need; they must start no thread and open nothing.

    Raises ParameterError for a target that is not there, StoreError when the port is taken or not allowed, or when
    the first worker cannot make its app. Beyond loopback it warns when there is no certificate: keys and passwords
    would travel in the clear.
    """
    check_target(target)
    check_port(host, port)
    configure_logging()
    if certificate is None and not _is_loopback(host):
        log.warning("Listening on %s without TLS: put a proxy that speaks HTTPS in front.", host)
    folder = tempfile.mkdtemp(prefix="palate-metrics-")
    address = f"http{'s' if certificate else ''}://{f'[{host}]' if ':' in host else host}:{port}"
    spread = str(port) if workers > 1 else ""
    told = {TARGET: target, PORT: spread, ADDRESS: address, "PROMETHEUS_MULTIPROC_DIR": folder}
    before = {name: os.environ.get(name) for name in told}
    os.environ.update(told)
    forked = _can_fork()
    try:
        if forked:
            for warm in warms:
                warm()
            # The collector leaves alone what is shared: to look through it would make a copy of it in each worker.
            gc.collect()
            gc.freeze()
        signs = Signs(Path(folder))
        _run(signs, "fork" if forked else "spawn", host, port, workers, threads, certificate, private_key)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})


def _can_fork() -> bool:
    """Whether workers can be made by forking this process: threads don't survive that, and other systems' libraries
    may not either."""
    return sys.platform == "linux" and threading.active_count() == 1


def _run(
    signs: Signs,
    method: str,
    host: str,
    port: int,
    workers: int,
    threads: int,
    certificate: Path | None,
    key: Path | None,
) -> None:
    from granian.constants import HTTPModes, Interfaces
    from granian.log import LogLevels

    multiprocessing.set_start_method(method, force=True)
    server = supervisor(signs)(
        "palate.web.serve:application",
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        # A worker that is told to stop while it still guesses the version of a fresh connection would close it.
        http=HTTPModes.http1,
        workers=workers,
        blocking_threads=threads,
        factory=True,
        websockets=False,
        backpressure=_CONNECTIONS,
        workers_kill_timeout=30,
        log_level=LogLevels.error,
        ssl_cert=certificate,
        ssl_key=key,
    )
    server.serve()
    if server.given_up:
        raise StoreError(server.given_up)


def application() -> Any:
    """What each worker calls: the app of the target that `serve` was given.

    One that cannot make it says why to the server, and ends.
    """
    if multiprocessing.get_start_method() == "fork":
        _as_if_fresh()
    # Ctrl-C reaches all processes of a terminal. The server tells the workers; told twice while it starts, one hangs.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    configure_logging()
    threading.Thread(target=_end_with_the_server, daemon=True).start()
    module, _, attribute = os.environ[TARGET].partition(":")
    folder = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
    signs = Signs(folder)
    try:
        app = getattr(importlib.import_module(module), attribute)()
    except PalateError as error:
        signs.failed(str(error))
        sys.exit(error.exit_code)
    except Exception as error:
        signs.failed(f"The app cannot be made: {type(error).__name__}: {error}")
        raise
    # What was made at the start stays: the collector, which stops all threads, need not look through it again.
    gc.collect()
    gc.freeze()
    if signs.ready():
        log.info("Ready at %s", os.environ[ADDRESS])
    return Spreading(app, int(port), folder) if (port := os.environ.get(PORT)) else app


def _as_if_fresh() -> None:
    """A forked worker is rid of what was meant for the server: what that does when it is told to stop, and at its end.

    What the worker itself registers for its end is done, which multiprocessing leaves out. Where prometheus_client
    counts, and how many threads numpy's library has, is as the environment says, though they were loaded before.
    """
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    atexit._clear()
    multiprocessing.util.Finalize(None, atexit._run_exitfuncs, exitpriority=0)
    values.ValueClass = values.get_value_class()  # type: ignore[no-untyped-call]
    if (threads := os.environ.get("OPENBLAS_NUM_THREADS", "")).isdecimal():
        import threadpoolctl

        threadpoolctl.threadpool_limits(int(threads))


def _end_with_the_server() -> None:
    """A worker whose server was killed would hold the port, and answer, for ever: it finishes what it has, and ends."""
    server = multiprocessing.parent_process()
    if server is not None:
        server.join()
        os.kill(os.getpid(), signal.SIGTERM)


def configure_logging() -> None:
    """One line per record on standard error, at the level of PALATE_LOG_LEVEL (INFO unless told)."""
    from palate.settings import Settings

    level = Settings.read().log_level.upper()
    if level not in logging.getLevelNamesMapping():
        raise ParameterError(f"{level!r} is no log level.", where="PALATE_LOG_LEVEL", hint="INFO, WARNING or DEBUG.")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logger = logging.getLogger("palate")
    logger.handlers[:] = [handler]
    logger.setLevel(level)
    logger.propagate = False
    # Where in the code a line was written, and by which thread, is not in it and need not be found out.
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False


class _Lines(logging.Formatter):
    """Writes the date and the time once a second, and the milliseconds of each line."""

    _written = 0, ""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        second, text = self._written
        if second != int(record.created):
            second = int(record.created)
            text = time.strftime(self.default_time_format, time.localtime(second))
            self._written = second, text
        return f"{text},{int(record.msecs):03d}"


def check_target(target: str) -> None:
    """Raises ParameterError unless "module:factory" can be imported and called."""
    module, _, attribute = target.partition(":")
    try:
        factory = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ParameterError(f"{target!r} cannot be imported: {error}.", where="target") from error
    if not callable(factory):
        raise ParameterError(f"{target!r} is not a function that makes an app.", where="target")


def check_port(host: str, port: int) -> None:
    """Raises ParameterError for no port number or a host of nowhere, StoreError when the port is in use."""
    if not 1 <= port <= 65535:
        raise ParameterError(f"{port} is not a port; they go from 1 to 65535.", where="port")
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (socket.gaierror, UnicodeError):
        raise ParameterError(f"{host!r} is not an address of this machine.", where="host") from None
    with socket.socket(family, kind) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            raise StoreError(
                f"Port {port} cannot be used: {error.strerror}.", where=host, hint="Choose another with --port."
            ) from None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
