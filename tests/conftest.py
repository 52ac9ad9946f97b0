"""Fixtures for every room."""

from __future__ import annotations

import glob
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("palate", deadline=None)  # how fast a machine is is no property of the code
settings.load_profile("palate")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests begin first, those that start Spark next: so none of them runs alone at the end."""

    marks: dict[Path, set[str]] = {}
    for item in items:
        marks.setdefault(item.path, set()).update(mark.name for mark in item.iter_markers())
    items.sort(key=lambda item: ("slow" not in marks[item.path], "spark" not in marks[item.path]))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown() -> Iterator[None]:
    """A failed test's end has a limit, too: with the failure, pytest-timeout gives up the one it had set."""

    def late(*_: object) -> None:
        pytest.fail("What follows a failed test took over two minutes.")

    free = threading.current_thread() is threading.main_thread() and not any(signal.getitimer(signal.ITIMER_REAL))
    if free:
        signal.signal(signal.SIGALRM, late)
        signal.setitimer(signal.ITIMER_REAL, 120)
    try:
        return (yield)
    finally:
        if free:
            signal.setitimer(signal.ITIMER_REAL, 0)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Whoever watches a long run learns of a failure when it happens, and not at the end alone."""
    if report.failed and hasattr(report, "node"):  # told by a process of several
        print(f"\nFAILED {report.nodeid} ({report.when})\n{report.longreprtext[-3000:]}", flush=True)


@pytest.fixture(scope="session", autouse=True)
def _migrations_worked_out_once() -> Iterator[None]:
    """Empty databases get their tables from what the first one got: see tests/replaying.py."""
    from palate.store import migrate
    from tests.replaying import Replaying

    with pytest.MonkeyPatch.context() as patch:
        module = sys.modules[migrate.__module__]
        patch.setattr(module, "_run", Replaying(module._run))
        yield


@pytest.fixture(scope="session", autouse=True)
def password_cost() -> Iterator[int]:
    """The work that a password's hash takes; meanwhile it takes next to none, for what is tested is around them."""
    from palate.store import passwords

    real = passwords.COST
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "COST", 16)
        yield real


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of real data sets that `PALATE_TEST_DATA` names (it holds `ml-latest-small/`); skips without."""
    folder = os.environ.get("PALATE_TEST_DATA", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("needs the real data sets: set PALATE_TEST_DATA to a folder that holds ml-latest-small/")
    return Path(folder).resolve()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The address of a PostgreSQL server made for this run, on a socket of its own; skips where none is installed."""
    folders = [os.path.dirname(shutil.which("initdb") or ""), *sorted(glob.glob("/usr/lib/postgresql/*/bin"))]
    programs = next((Path(folder) for folder in folders if folder and Path(folder, "initdb").exists()), None)
    if programs is None:
        pytest.skip("needs a PostgreSQL server: no initdb on PATH or under /usr/lib/postgresql")
    prefix: list[str] = []
    home = Path(tempfile.mkdtemp(prefix="palate-pg-"))
    if os.getuid() == 0:
        # The server refuses to run as root.
        try:
            user = pwd.getpwnam("postgres")
        except KeyError:
            pytest.skip("needs a user `postgres` to run the PostgreSQL server as, since root may not")
        os.chown(home, user.pw_uid, user.pw_gid)
        prefix = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]

    def run(*command: str) -> None:
        done = subprocess.run([*prefix, *command], cwd=home, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"

    data, options = str(home / "data"), f"-k {home} -c listen_addresses='' -c fsync=off"
    run(str(programs / "initdb"), "-D", data, "-U", "palate", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C")
    run(str(programs / "pg_ctl"), "-D", data, "-w", "-l", str(home / "log"), "-o", options, "start")
    try:
        yield f"postgresql://palate@/postgres?host={home}"
    finally:
        run(str(programs / "pg_ctl"), "-D", data, "-w", "-m", "immediate", "stop")
        shutil.rmtree(home, ignore_errors=True)
