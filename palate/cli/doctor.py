"""`palate doctor`: what this machine lacks, and how to get it."""

from __future__ import annotations

import dataclasses
import json

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from palate.doctor import State, examine

MARKS = {State.OK: "[green]✓[/]", State.OPTIONAL: "[yellow]–[/]", State.MISSING: "[red]✗[/]"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def doctor(as_json: bool) -> None:
    """Say what this machine lacks, and how to get it.

    Ends with 1 if the main job cannot run here, with 0 otherwise.
    """
    findings = examine()
    missing = [finding for finding in findings if finding.state is State.MISSING]
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(finding) for finding in findings], indent=2))
    else:
        table = Table(box=None, show_header=False, padding=(0, 1))
        for finding in findings:
            table.add_row(MARKS[finding.state], finding.name, escape(finding.found), Text(finding.remedy, "bold"))
        console = Console(highlight=False)
        console.print(table)
        console.print(
            f"\n[red]{len(missing)} thing(s) missing.[/] The right column says how to get them."
            if missing
            else "\nEverything `make demo` needs is here."
        )
    if missing:
        raise click.exceptions.Exit(1)
