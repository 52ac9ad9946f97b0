"""`palate demo`: the whole way of the data, on real data, with the services left up."""

from __future__ import annotations

import os
from pathlib import Path

import click
from rich.console import Console


@click.command()
@click.option(
    "--data", type=click.Path(path_type=Path), help="A folder to learn from. [ml-latest-small, downloaded once]"
)
@click.option("--home", type=click.Path(path_type=Path, file_okay=False), help="Where everything goes. [.palate/demo]")
@click.option("--check", is_flag=True, help="Stop by itself once every URL has answered properly.")
def demo(data: Path | None, home: Path | None, check: bool) -> None:
    """Train on real data with Spark, register the models, and leave the services up.

    Binds to 127.0.0.1 only, and prints a token made for this run. Ctrl-C stops every process that it started.
    """
    from palate.demo.plan import Plan
    from palate.demo.run import run

    place = home or Path(os.environ.get("PALATE_HOME", ".palate")) / "demo"
    console = Console(highlight=False)
    try:
        run(Plan(place.resolve(), data, check), console)
    except KeyboardInterrupt:
        console.print("\nStopped, all of it.")
