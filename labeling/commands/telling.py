"""How far a command is, for whoever looks on: on standard error if that is a terminal, and nothing otherwise."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click


def tell(text: str, *, over: bool = False) -> None:
    """A line. over: whatever comes next is written over it."""
    if sys.stderr.isatty():
        click.echo(f"{text}\r" if over else text, nl=not over, err=True)


@contextmanager
def bar() -> Iterator[Callable[[float, str], None]]:
    """A bar, and the function that moves it: to the share that is done, from 0 to 1; what is said beside is not shown.

    The function is what jobs call for their progress, so that a command may do a job's work itself.
    """
    if not sys.stderr.isatty():
        yield lambda _share, _message: None
        return
    with click.progressbar(length=1000, file=sys.stderr) as shown:
        yield lambda share, _message: shown.update(int(1000 * share) - shown.pos)
