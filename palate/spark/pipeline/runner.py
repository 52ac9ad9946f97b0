"""Runs a pipeline: what has to run, as soon as what it needs is there, side by side in one Spark session.

Steps are threads of this process. Spark shares its executors fairly between them (a scheduler pool each), and starts
only when the first of them has something to do. A step that fails stops those that need it, and no other.
"""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from palate.errors import ConflictError, InputError, PalateError
from palate.spark.failures import explain
from palate.spark.job import REPORT, SPEAKER, clear_leftovers, moved_aside, session_runs
from palate.spark.pipeline.digests import Digests
from palate.spark.pipeline.graph import Graph
from palate.spark.pipeline.history import History
from palate.spark.pipeline.plan import Basis, basis, judge
from palate.spark.pipeline.resolve import Step
from palate.spark.pipeline.state import DONE, FAILED, RUNNING, Record, State, now
from palate.spark.session import spark_session
from palate.tracking.runs import Run

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

RAN, SKIPPED, FAIL, BLOCKED, STOPPED, LEFT_OUT = "ran", "unchanged", "failed", "blocked", "stopped", "left out"
_PATIENCE = 10.0
"""Seconds that steps get to end after an interruption."""


@dataclass(frozen=True)
class Outcome:
    """what: one of the words above. why: the reason it ran, or what went wrong. code: the exit code of a failure."""

    what: str
    why: str = ""
    seconds: float = 0.0
    code: int = 0


@dataclass(frozen=True)
class Wishes:
    """force: run unchanged steps too. parallel: steps at once. overwrite: replace outputs of jobs that this pipeline
    did not write."""

    force: bool = False
    parallel: int = 2
    overwrite: bool = False


@dataclass
class Runner:
    """chosen: the steps to look at; all others are left as they are."""

    graph: Graph
    state: State
    digests: Digests
    history: History
    wishes: Wishes
    chosen: Collection[str]
    outcomes: dict[str, Outcome] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._session = Session(f"palate {self.graph.name}")
        self._ended: queue.Queue[tuple[str, Outcome]] = queue.Queue()

    def run(self) -> dict[str, Outcome]:
        """Every step's outcome. An interruption stops what runs, and is raised again when the state is written."""
        steps = self.graph.steps
        self.outcomes = {name: Outcome(LEFT_OUT) for name in steps if name not in self.chosen}
        waiting = [name for name in steps if name in self.chosen]
        for name in waiting:
            self._check_outputs(steps[name])
            self._check_inputs(steps[name])
        running: set[str] = set()
        try:
            while waiting or running:
                self._block(waiting)
                for name in [one for one in waiting if all(need in self.outcomes for need in steps[one].needs)]:
                    if len(running) < self.wishes.parallel:
                        waiting.remove(name)
                        running.add(name)
                        threading.Thread(target=self._work, args=(steps[name],), name=name, daemon=True).start()
                if running:
                    name, outcome = self._ended.get()
                    running.remove(name)
                    self.outcomes[name] = outcome
        except KeyboardInterrupt:
            self._stop(running)
            for name in waiting:
                self.outcomes[name] = Outcome(STOPPED, "interrupted")
            raise
        finally:
            self._session.stop()
            self.digests.save()
        return {name: self.outcomes[name] for name in steps}

    def _check_outputs(self, step: Step) -> None:
        """Raises ConflictError if there is something in the place of an output that this pipeline did not write."""
        record = self.state.record(step.name)
        for path in step.outputs.values():
            clear_leftovers(path)
            there = path.exists() and not (path.is_dir() and not any(path.iterdir()))
            if not there or (record is not None and str(path) in record.outputs):
                continue
            written = (path / REPORT).is_file() or (path / "manifest.json").is_file()
            if not (self.wishes.overwrite and written):
                what = "what a job wrote elsewhere" if written else "something that no job wrote"
                hint = "Move it away, or give --overwrite." if written else "Move it away."
                raise ConflictError(f"step {step.name} would replace {what}.", where=str(path), hint=hint)

    def _check_inputs(self, step: Step) -> None:
        """Raises InputError if the step reads what is not there, and what no step of this run writes."""
        for name, path in step.inputs.items():
            writer = self.graph.writer(path)
            if writer is None and not path.exists():
                raise InputError(f"step {step.name} reads it ({name}), and it is not there.", where=str(path))
            if writer is not None and writer not in self.chosen and not path.exists():
                raise InputError(
                    f"step {step.name} reads it, but step {writer} has not written it yet.",
                    where=str(path),
                    hint=f"Run that first, with --until {step.name} say.",
                )

    def _block(self, waiting: list[str]) -> None:
        """Gives up what needs a step that failed."""
        for name in list(waiting):
            bad = [n for n in self.graph.steps[name].needs if self._what(n) in (FAIL, BLOCKED)]
            if bad:
                waiting.remove(name)
                self.outcomes[name] = Outcome(BLOCKED, f"needs {bad[0]}")
                with self.history.step(name, {}, {"palate.step": name, "palate.outcome": BLOCKED}) as run:
                    if run is not None:
                        run.status = "KILLED"

    def _what(self, name: str) -> str:
        return self.outcomes[name].what if name in self.outcomes else ""

    def _work(self, step: Step) -> None:
        """A step's thread: its outcome, whatever happens."""
        SPEAKER.set(step.name)
        start = time.perf_counter()
        try:
            outcome = self._judged(step)
        except BaseException as error:  # a thread has nobody to raise it to
            told = _told(error)
            outcome = Outcome(FAIL, str(told or repr(error)), code=told.exit_code if told else 1)
            click.echo(f"{step.name}: Error: {outcome.why}", err=True)
            if told is None:
                _show(error)
        self._ended.put((step.name, replace(outcome, seconds=round(time.perf_counter() - start, 3))))

    def _judged(self, step: Step) -> Outcome:
        found = basis(self.graph, step, self.digests)
        record = self.state.record(step.name)
        verdict = judge(step, found, record, self.digests)
        skipped = not verdict.runs and not self.wishes.force
        tags = {"palate.step": step.name, "palate.job": step.job.name, "palate.fingerprint": found.fingerprint}
        tags |= {"palate.outcome": SKIPPED if skipped else RUNNING, "palate.reason": verdict.reason}
        with self.history.step(step.name, step.params, tags) as run:
            if skipped:
                self.history.log(run, metrics={"seconds": 0.0}, tags={})
                return Outcome(SKIPPED)
            reason = verdict.reason or "forced"
            click.echo(f"{step.name}: runs: {reason}", err=True)
            try:
                self._run(step, found, run)
            except BaseException:
                self.history.log(run, metrics={}, tags={"palate.outcome": FAIL})
                raise
            return Outcome(RAN, reason)

    def _run(self, step: Step, found: Basis, run: Run | None) -> None:
        start = time.perf_counter()
        record = Record(
            step.name,
            step.job.name,
            RUNNING,
            found.params,
            found.inputs,
            found.code,
            found.settings,
            {str(path): None for path in step.outputs.values()},
            now(),
            run=run.id if run is not None else "",
        )
        self.state.write(record)
        try:
            spark = self._session.start()
            spark.sparkContext.setLocalProperty("spark.scheduler.pool", step.name)
            spark.sparkContext.setJobDescription(step.name)
            with ExitStack() as stack:
                words = [*step.words]
                if step.job.overwrites:
                    words.append("--overwrite")
                else:
                    for path in step.outputs.values():
                        stack.enter_context(moved_aside(path))
                step.job.command.main(words, prog_name=step.job.name, standalone_mode=False)
        except BaseException:
            self.state.write(replace(record, status=FAILED, seconds=time.perf_counter() - start))
            raise
        seconds = round(time.perf_counter() - start, 3)
        outputs = {str(path): self.digests.output(path) for path in step.outputs.values()}
        self.state.write(replace(record, status=DONE, outputs=outputs, seconds=seconds))
        self.digests.save()
        self.history.log(run, metrics={"seconds": seconds, **_metrics(step)}, tags={"palate.outcome": RAN})

    def _stop(self, running: set[str]) -> None:
        """Cancels what runs, again and again, since a step may have more jobs for Spark; what is busy elsewhere for
        too long is left behind: it ends with the process."""
        until = time.monotonic() + _PATIENCE
        while running and time.monotonic() < until:
            self._session.cancel()
            try:
                name, outcome = self._ended.get(timeout=0.5)
            except queue.Empty:
                continue
            except KeyboardInterrupt:
                break
            running.remove(name)
            self.outcomes[name] = outcome if outcome.what != FAIL else Outcome(STOPPED, "interrupted")
        for name in running:
            self.outcomes[name] = Outcome(STOPPED, "interrupted")


class Session:
    """The Spark session that all steps share, started by the first that asks. One that runs already is left running."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._spark: SparkSession | None = None
        self._borrowed = False

    def start(self) -> SparkSession:
        with self._lock:
            if self._spark is None:
                self._borrowed = session_runs()
                self._spark = spark_session(self._name, config={"spark.scheduler.mode": "FAIR"})
            return self._spark

    def cancel(self) -> None:
        if self._spark is not None:
            self._spark.sparkContext.cancelAllJobs()

    def stop(self) -> None:
        if self._spark is not None and not self._borrowed:
            self._spark.stop()
            self._spark = None


def _told(error: BaseException) -> PalateError | click.ClickException | None:
    if isinstance(error, (PalateError, click.ClickException)):
        return error
    return explain(error)


def _show(error: BaseException) -> None:
    import traceback

    click.echo("".join(traceback.format_exception(error)), err=True, nl=False)


def _metrics(step: Step) -> dict[str, float]:
    """What the job's own report says: the seconds of its phases, and its metrics."""
    found: dict[str, float] = {}
    for path in step.outputs.values():
        for report in (path / REPORT, path.with_name(f"{path.name}.{REPORT}")):
            if report.is_file():
                told = _json(report)
                found |= {f"seconds.{name}": value for name, value in _numbers(told.get("seconds")).items()}
                found |= _numbers(told.get("metrics"))
    return found


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _numbers(told: Any) -> dict[str, float]:
    if not isinstance(told, Mapping):
        return {}
    return {str(name): float(value) for name, value in told.items() if isinstance(value, (int, float))}
