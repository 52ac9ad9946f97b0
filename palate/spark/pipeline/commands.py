"""`palate pipeline`: run a pipeline, draw it, say how things stand. `run` starts Spark, if there is a step to run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from palate.cli.job import job_command, run_job, spark_options, spark_settings
from palate.files import written_whole
from palate.spark.job import CONTEXT
from palate.spark.jobs.pipeline import command as pipeline_job
from palate.spark.pipeline.digests import Digests
from palate.spark.pipeline.drawing import to_dot, to_mermaid, to_table
from palate.spark.pipeline.options import file_options, open_pipeline, run_options
from palate.spark.pipeline.plan import NEW, Verdict, plan, selected
from palate.spark.pipeline.svg import to_svg

_FORMATS = {"mermaid": to_mermaid, "dot": to_dot, "svg": to_svg}


@click.group("pipeline", context_settings=CONTEXT)
def pipeline() -> None:
    """Run, draw or look at a pipeline: Spark jobs as the steps of a graph, told in YAML."""


@pipeline.command("run")
@spark_options
@run_options
def run(master: str | None, conf: tuple[str, ...], driver_memory: str, quick: bool, **told: Any) -> None:
    """Run the steps that something has changed for: inputs, parameters, code or outputs.

    FILE is the pipeline, in YAML. Steps run side by side in one Spark session, started by spark-submit.
    """
    opened = open_pipeline(told["file"], told["settings"], told["state"], told["root"])
    chosen = selected(opened.graph, only=told["only"], until=told["until"], onward=told["onward"])
    verdicts = plan(opened.graph, opened.state, Digests(opened.state.digests))
    if told["dry_run"] or not (told["force"] or any(verdicts[name].runs for name in chosen)):
        pipeline_job.callback(**told)  # type: ignore[misc]  # nothing to run: no JVM for it
        return
    settings = spark_settings(conf, driver_memory)
    command, environment = job_command("pipeline", _words(told), master=master, conf=settings, quick=quick)
    sys.exit(run_job(command, environment))


def _words(told: dict[str, Any]) -> list[str]:
    """The job's command line that says the same."""
    words: list[str] = []
    for param in pipeline_job.params:
        value = told.get(param.name or "")
        if isinstance(param, click.Option) and value not in (None, False, ()):
            values = value if isinstance(value, tuple) else (value,)
            words += [param.opts[0] if one is True else f"{param.opts[0]}={one}" for one in values]
    return [*words, "--", str(told["file"].absolute())]


@pipeline.command("graph")
@file_options
@click.option(
    "--format",
    "format_",
    type=click.Choice(["text", *_FORMATS]),
    default="text",
    show_default=True,
    help="How to draw it; svg needs no other program.",
)
@click.option("--output", type=Path, metavar="FILE", help="Where the drawing goes; standard output unless told.")
def graph(
    file: Path, settings: tuple[str, ...], state: Path | None, root: Path | None, format_: str, output: Path | None
) -> None:
    """Draw the graph; coloured by what each step's state is, once something has run."""
    opened = open_pipeline(file, settings, state, root)
    verdicts: dict[str, Verdict] | None = plan(opened.graph, opened.state, Digests(opened.state.digests))
    if verdicts and all(verdict.state == NEW for verdict in verdicts.values()):
        verdicts = None
    if format_ in _FORMATS:
        text = _FORMATS[format_](opened.graph, verdicts)
    else:
        console = Console() if output is None else Console(width=120, no_color=True)
        with console.capture() as captured:
            console.print(to_table(opened.graph, verdicts))
        text = captured.get()
    if output is None:
        click.echo(text, nl=False)
        return
    with written_whole(output) as sink:
        sink.write(text.encode())


@pipeline.command("status")
@file_options
def status(file: Path, settings: tuple[str, ...], state: Path | None, root: Path | None) -> None:
    """Say of each step whether it is done, and if not, why it would run."""
    opened = open_pipeline(file, settings, state, root)
    digests = Digests(opened.state.digests)
    Console().print(to_table(opened.graph, plan(opened.graph, opened.state, digests)))
