"""Tables that a benchmark writes into a page of the documentation, between its two marks."""

from __future__ import annotations

from pathlib import Path

import click

END = "<!-- end -->"


def put(page: Path, module: str, text: str) -> None:
    """Replace what stands between the marks of `module`. Raises click.ClickException if the page lacks them."""
    begin = f"<!-- made by {module}: begin -->"
    held = page.read_text("utf-8")
    if begin not in held or END not in held.partition(begin)[2]:
        raise click.ClickException(f"{page} has no place marked by {begin} and {END}.")
    before, rest = held.split(begin, 1)
    page.write_text(f"{before}{begin}\n{text}\n{END}{rest.split(END, 1)[1]}", "utf-8")
