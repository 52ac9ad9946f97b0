"""The options that all commands of a pipeline share, and what they say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from palate.spark.pipeline.document import read_document
from palate.spark.pipeline.graph import Graph, build
from palate.spark.pipeline.plan import state_of
from palate.spark.pipeline.state import State

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class Opened:
    """A pipeline's file, read and checked, and where its state lies."""

    graph: Graph
    state: State


def open_pipeline(file: Path, settings: Sequence[str], state: Path | None, root: Path | None) -> Opened:
    """Raises InputError for whatever is wrong with the file or the settings."""
    graph = build(read_document(file), settings, None if root is None else root.absolute())
    return Opened(graph, state_of(graph, None if state is None else state.absolute()))


def file_options(command: Function) -> Function:
    """FILE, --set, --state, --root."""
    for option in (
        click.option("--root", type=Path, metavar="DIR", help="Where relative paths start; FILE's folder unless told."),
        click.option("--state", type=Path, metavar="DIR", help="Where is kept what ran; in Palate's home unless told."),
        click.option(
            "--set",
            "settings",
            multiple=True,
            metavar="NAME=VALUE",
            help="A variable, or STEP.OPTION=VALUE, or a parameter of a step's model; repeatable.",
        ),
        click.argument("file", type=Path),
    ):
        command = option(command)
    return command


def run_options(command: Function) -> Function:
    """What a run can be told beside its file."""
    for option in (
        click.option("--no-track", is_flag=True, help="Record nothing in MLflow."),
        click.option("--overwrite", is_flag=True, help="Replace what jobs wrote outside of this pipeline, too."),
        click.option("--dry-run", is_flag=True, help="Say what would run, and why; run nothing."),
        click.option("--force", is_flag=True, help="Run what is unchanged, too."),
        click.option(
            "--parallel", type=click.IntRange(1, 64), default=2, show_default=True, help="Steps at the same time."
        ),
        click.option("--from", "onward", multiple=True, metavar="STEP", help="This step and all that need it."),
        click.option("--until", multiple=True, metavar="STEP", help="This step and all that it needs; repeatable."),
        click.option("--only", multiple=True, metavar="STEP", help="This step alone; repeatable."),
        file_options,
    ):
        command = option(command)
    return command
