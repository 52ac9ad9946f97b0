"""Runs the steps with one progress display, prints the report, and waits until it is told to stop."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from palate.demo.checks import check
from palate.demo.plan import Plan
from palate.demo.processes import Processes
from palate.demo.report import show, write
from palate.demo.steps import STEPS, State, title


def run(plan: Plan, console: Console) -> None:
    """The whole demo. Whatever ends it, every process that it started is ended first."""
    plan.home.mkdir(parents=True, exist_ok=True)
    plan.summary.unlink(missing_ok=True)
    state = State()
    environment = {
        "PALATE_HOME": str(plan.home),
        "PALATE_TRACKING_URI": plan.settings.tracking,
        "PALATE_DATABASE_URL": "",
    }
    with as_interrupt(), Processes(plan.logs, environment) as processes:
        _go(plan, processes, state, console)
        write(plan, state)
        show(plan, state, console)
        if plan.check:
            check(plan, state.token, lambda what: console.print(f"[green]✓[/] {what}"))
            console.print("Every URL answers. Stopping.")
            return
        console.print("Everything is up. [bold]Ctrl-C[/] stops it all.")
        _wait(processes, console)


def _go(plan: Plan, processes: Processes, state: State, console: Console) -> None:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(20), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=len(STEPS))
        for step in STEPS:
            progress.update(task, description=title(step))
            start = time.perf_counter()
            step(plan, processes, state)
            seconds = time.perf_counter() - start
            state.seconds[step.__name__.replace("_", " ")] = round(seconds, 2)
            for note in state.notes:
                progress.console.print(f"  [yellow]{note}[/]")
            state.notes.clear()
            progress.console.print(f"[green]✓[/] {title(step)} [dim]{seconds:.1f} s[/]")
            progress.advance(task)


def _wait(processes: Processes, console: Console) -> None:
    """Until Ctrl-C, or until one of the services has ended by itself."""
    while True:
        for name, process in processes.running.items():
            if process.poll() is not None:
                console.print(f"[red]{name} has ended with {process.returncode}[/]; see {processes.log(name)}")
                return
        time.sleep(0.5)


@contextmanager
def as_interrupt() -> Iterator[None]:
    """SIGTERM, and SIGHUP when the terminal is closed, end what runs as Ctrl-C does; under nohup SIGHUP does not."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, interrupt) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
