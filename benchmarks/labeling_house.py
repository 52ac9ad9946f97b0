"""A labeling service as `palate label serve` starts it, on a database of its own, and what must hold of that."""

from __future__ import annotations

import glob
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from labeling.service import Labeling
from labeling.store.definition import Definition, NewTask
from labeling.store.tables import answers, projects, slots
from palate.store import Accounts, reading

if TYPE_CHECKING:
    from playwright.sync_api import Page

LABELS = ("Comedy", "Drama", "War")
_LOOKS = 1_200
"""How often it is asked whether the service answers, every tenth of a second: a service that the system leaves without
a processor for long has as many looks as any other."""
PATIENCE_MS = 120_000
"""Of a browser."""


class House:
    """One service. Its processes are a group of their own, so that all of them can be killed at once."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url
        self.service = Labeling.open(url)
        self._accounts = Accounts(self.service.engine)
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def project(self, tasks: int, overlap: int) -> int:
        """A project of so many short texts."""
        definition = Definition(f"Films {time.time_ns()}", LABELS, overlap=overlap)
        new = [NewTask(f"film-{number}", {"text": f"Film {number} is a long way home"}) for number in range(tasks)]
        return self.service.create(definition, new)[0].id

    def people(self, number: int) -> tuple[list[str], list[str]]:
        """Their tokens, and the names under which their answers are kept."""
        made = [self._accounts.create_key(f"annotator {each}", ["label"]) for each in range(number)]
        return [token for _, token in made], [f"key:{key}" for key, _ in made]

    def person(self, name: str, password: str, *scopes: str) -> None:
        """Somebody who may label, on the pages, and what the scopes say."""
        self._accounts.add_person(name, password, ["label", *scopes])

    def key(self, *scopes: str) -> str:
        """A token that may do so much."""
        return self._accounts.create_key("manager", scopes)[1]

    def start(self, workers: int = 2, jobs: int = 0) -> int:
        """Start the service and wait until it answers; the id of its first process."""
        command = [sys.executable, "-m", "palate.cli", "label", "serve", "--port", str(self.port)]
        environment = {**os.environ, "PALATE_HOME": str(self.folder), "PALATE_DATABASE_URL": self.url}
        with open(self.folder / "log", "ab") as log:
            self._process = subprocess.Popen(
                [*command, "--workers", str(workers), "--jobs", str(jobs)],
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        for _ in range(_LOOKS):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5):
                    return self._process.pid
            except OSError:
                if self._process.poll() is not None:
                    break
                time.sleep(0.1)
        raise RuntimeError(f"the service did not start: {(self.folder / 'log').read_text()[-2000:]}")

    def cpu(self) -> float:
        """Seconds of the processor that the service's processes have taken so far, those that ended left out."""
        assert self._process is not None
        ticks = 0
        for path in glob.glob("/proc/[0-9]*/stat"):
            with suppress(OSError):
                fields = Path(path).read_text().rpartition(")")[2].split()
                if int(fields[3]) == self._process.pid:  # its session
                    ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def processes(self) -> list[int]:
        """Ids of the service's processes, its first one left out."""
        assert self._process is not None
        found = []
        for path in glob.glob("/proc/[0-9]*/stat"):
            with suppress(OSError):
                session = int(Path(path).read_text().rpartition(")")[2].split()[3])
                number = int(path.split("/")[2])
                if session == self._process.pid != number:
                    found.append(number)
        return sorted(found)

    def kill(self) -> None:
        """All processes at once, with no time to do anything more."""
        self._end(signal.SIGKILL)

    def alive(self) -> bool:
        """Whether its first process is. It ends when workers die again and again soon after they were started."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        if self._process is not None:
            self._end(signal.SIGTERM)

    def _end(self, number: int) -> None:
        assert self._process is not None
        with suppress(ProcessLookupError):
            if number == signal.SIGKILL:
                os.killpg(self._process.pid, number)
            else:
                self._process.send_signal(number)
        self._process.wait(timeout=60)
        self._process = None

    def broken(self, project: int, acknowledged: Sequence[tuple[int, str]], *, exactly: bool = True) -> list[str]:
        """What does not hold of the stored answers, in words. exactly: whether none but these may be there."""
        with reading(self.service.engine) as db:
            overlap = db.scalar(select(projects.c.overlap).where(projects.c.id == project)) or 0
            mine = answers.c.project_id == project
            stored = [(row[0], row[1]) for row in db.execute(select(answers.c.task_id, answers.c.person).where(mine))]
            most = select(func.count()).where(slots.c.project_id == project).group_by(slots.c.task_id).subquery()
            places = db.scalar(select(func.max(most.c[0]))) or 0
        by_task: dict[int, int] = {}
        for task, _ in stored:
            by_task[task] = by_task.get(task, 0) + 1
        found = []
        if places > overlap or max(by_task.values(), default=0) > overlap:
            found.append(f"a task has more than {overlap} places or answers")
        if len(set(stored)) != len(stored) or len(set(acknowledged)) != len(acknowledged):
            found.append("somebody answered a task twice")
        if lost := set(acknowledged) - set(stored):
            found.append(f"{len(lost)} acknowledged answers are lost")
        if exactly and (more := set(stored) - set(acknowledged)):
            found.append(f"{len(more)} answers are stored that nobody was told of")
        return found


@contextmanager
def house(database: str = "sqlite") -> Iterator[House]:
    """A service that is not started yet, on "sqlite" or on a "postgresql" server made for it."""
    with tempfile.TemporaryDirectory(prefix="palate-bench-") as name:
        folder = Path(name)
        if database == "sqlite":
            made = House(folder, f"sqlite:///{folder / 'labeling.db'}")
            try:
                yield made
            finally:
                made.stop()
                made.service.engine.dispose()
            return
        with _postgresql() as url:
            made = House(folder, url)
            try:
                yield made
            finally:
                made.stop()
                made.service.engine.dispose()


@contextmanager
def browser(**options: Any) -> Iterator[Page]:
    """A page of Chromium, which PALATE_CHROMIUM names if it is not on the path. options: of the page (Playwright's)."""
    from playwright.sync_api import sync_playwright

    program = os.environ.get("PALATE_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        raise RuntimeError("needs Chromium: install it, or name it in PALATE_CHROMIUM")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        page = started.new_page(**options)
        page.set_default_timeout(PATIENCE_MS)
        yield page
        started.close()


def sign_in(page: Page, name: str, password: str) -> None:
    """On a page that asks for it; nothing on others."""
    if "/sign-in" in page.url:
        page.fill("[name=name]", name)
        page.fill("[name=password]", password)
        page.press("[name=password]", "Enter")


def postgresql_programs() -> Path | None:
    """Where PostgreSQL's server is installed."""
    folders = [os.path.dirname(shutil.which("initdb") or ""), *sorted(glob.glob("/usr/lib/postgresql/*/bin"))]
    return next((Path(folder) for folder in folders if folder and Path(folder, "initdb").exists()), None)


@contextmanager
def _postgresql() -> Iterator[str]:
    programs = postgresql_programs()
    assert programs is not None, "PostgreSQL is not installed"
    home = Path(tempfile.mkdtemp(prefix="palate-bench-pg-"))
    prefix: list[str] = []
    if os.getuid() == 0:  # the server refuses to run as root
        user = pwd.getpwnam("postgres")
        os.chown(home, user.pw_uid, user.pw_gid)
        prefix = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]

    def run(program: str, *arguments: str) -> None:
        subprocess.run([*prefix, str(programs / program), *arguments], cwd=home, check=True, capture_output=True)

    data = str(home / "data")
    run("initdb", "-D", data, "-U", "palate", "-A", "trust", "-E", "UTF8", "--locale=C")
    run("pg_ctl", "-D", data, "-w", "-l", str(home / "log"), "-o", f"-k {home} -c listen_addresses=''", "start")
    try:
        yield f"postgresql://palate@/postgres?host={home}"
    finally:
        run("pg_ctl", "-D", data, "-w", "-m", "immediate", "stop")
        shutil.rmtree(home, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
