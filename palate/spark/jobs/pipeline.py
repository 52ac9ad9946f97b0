"""`pipeline`: runs a graph of jobs, told in YAML; see `palate.spark.pipeline`."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from palate.settings import Settings
from palate.spark.job import CONTEXT
from palate.spark.pipeline.digests import Digests
from palate.spark.pipeline.graph import Graph
from palate.spark.pipeline.history import History
from palate.spark.pipeline.options import Opened, open_pipeline, run_options
from palate.spark.pipeline.plan import Verdict, plan, selected
from palate.spark.pipeline.runner import BLOCKED, FAIL, LEFT_OUT, RAN, SKIPPED, STOPPED, Outcome, Runner, Wishes
from palate.tracking import Tracker

_STYLES = {RAN: "green", SKIPPED: "dim", FAIL: "red", BLOCKED: "yellow", STOPPED: "yellow", LEFT_OUT: "dim"}


@click.command("pipeline", context_settings=CONTEXT)
@run_options
def command(
    file: Path,
    settings: tuple[str, ...],
    state: Path | None,
    root: Path | None,
    only: tuple[str, ...],
    until: tuple[str, ...],
    onward: tuple[str, ...],
    parallel: int,
    force: bool,
    dry_run: bool,
    overwrite: bool,
    no_track: bool,
) -> None:
    """Run the steps of a pipeline that something has changed for: inputs, parameters, code or outputs.

    FILE is the pipeline, in YAML.
    """
    opened = open_pipeline(file, settings, state, root)
    chosen = selected(opened.graph, only=only, until=until, onward=onward)
    console = Console(stderr=True)
    if dry_run:
        running = chosen if force else ()
        verdicts = plan(opened.graph, opened.state, Digests(opened.state.digests), running)
        console.print(intentions(opened.graph, verdicts, chosen, force=force))
        return
    with opened.state.locked():
        tracker = None if no_track else Tracker(Settings.read())
        outcomes = run(opened, chosen, Wishes(force, parallel, overwrite), tracker, console)
    failed = [outcome for outcome in outcomes.values() if outcome.what == FAIL]
    if failed:
        sys.exit(failed[0].code or 1)


def run(
    opened: Opened, chosen: list[str], wishes: Wishes, tracker: Tracker | None, console: Console
) -> Mapping[str, Outcome]:
    """Runs the chosen steps, records them, and prints what became of each; also after an interruption."""
    graph = opened.graph
    history = History(tracker, lambda text: click.echo(f"pipeline: {text}", err=True))
    tags = {
        "palate.pipeline": graph.name,
        "palate.file": str(graph.path),
        "palate.file_sha256": hashlib.sha256(graph.path.read_bytes()).hexdigest(),
    }
    told = {"steps": " ".join(chosen), "force": wishes.force, "parallel": wishes.parallel, "vars": graph.vars}
    runner = Runner(graph, opened.state, Digests(opened.state.digests), history, wishes, chosen)
    with history.pipeline(graph.name, told, tags):
        try:
            runner.run()
        except KeyboardInterrupt:
            history.end("KILLED", _counts(runner.outcomes))
            raise
        finally:
            if runner.outcomes:
                console.print(summary(graph, runner.outcomes))
        failed = any(outcome.what == FAIL for outcome in runner.outcomes.values())
        history.end("FAILED" if failed else "FINISHED", _counts(runner.outcomes))
    return runner.outcomes


def _counts(outcomes: Mapping[str, Outcome]) -> dict[str, str]:
    named: dict[str, list[str]] = {}
    for name, outcome in outcomes.items():
        named.setdefault(outcome.what, []).append(name)
    return {f"palate.{what.replace(' ', '_')}": " ".join(names) for what, names in named.items()}


def summary(graph: Graph, outcomes: Mapping[str, Outcome]) -> Table:
    """A row per step: what became of it, why, and how long it took."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for header in ("step", "outcome", "seconds", "why"):
        table.add_column(header, justify="right" if header == "seconds" else "left", no_wrap=header != "why")
    for name in graph.steps:
        outcome = outcomes.get(name, Outcome(STOPPED))
        seconds = f"{outcome.seconds:.1f}" if outcome.what in (RAN, FAIL) else ""
        table.add_row(Text(name), Text(outcome.what, style=_STYLES[outcome.what]), seconds, Text(outcome.why))
    return table


def intentions(graph: Graph, verdicts: Mapping[str, Verdict], chosen: list[str], *, force: bool) -> Table:
    """A row per chosen step: whether it would run, and why."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for header in ("step", "would", "why"):
        table.add_column(header, no_wrap=header != "why")
    for name in chosen:
        verdict = verdicts[name]
        runs = verdict.runs or force
        why = verdict.reason or ("forced" if runs else "unchanged")
        table.add_row(Text(name), Text("run" if runs else "be skipped", style="green" if runs else "dim"), Text(why))
    return table
