"""The shape that the benchmarks of engines share: a model's training beside a bare loop of the same framework.

A bare loop is what one would write by hand for one job: the same network, objective and optimizer, the framework's own
layers, shuffling and random numbers, all data in memory, and nothing else: no seam, no check, no state kept. Both sides
train the same number of epochs in turns. Printed are, of each, the seconds of an epoch and those of the processor, the
medians of their ratios, and the last loss.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import click

from benchmarks.data import MOVIES, TINY, Size

Epoch = Callable[[], float]
"""Trains one epoch; the mean loss."""


@dataclass(frozen=True)
class Contest:
    """Two ways to train the same. engine: "torch" or "mxnet". name: of what is trained. Both make an epoch to run."""

    engine: str
    name: str
    bare: Callable[[], Epoch]
    ours: Callable[[], Epoch]


def compare(contest: Contest, epochs: int) -> str:
    """A line of the table: both train in turns, after an epoch each to warm up."""
    contestants = contest.bare(), contest.ours()
    walls: tuple[list[float], list[float]] = [], []
    works: tuple[list[float], list[float]] = [], []
    losses = [0.0, 0.0]
    for epoch in range(epochs + 1):
        for place, contestant in enumerate(contestants):
            wall, work = time.perf_counter(), time.process_time()
            losses[place] = contestant()
            if epoch:
                walls[place].append(time.perf_counter() - wall)
                works[place].append(time.process_time() - work)
    parts = [f"{contest.engine:6} {contest.name:8}"]
    for what, took in (("wall", walls), ("cpu", works)):
        bare, mine = map(statistics.median, took)
        ratio = statistics.median(own / other for other, own in zip(*took, strict=True))
        parts.append(f"{what}: bare {bare:.2f} s, ours {mine:.2f} s, ratio {ratio:.2f}")
    return "  ".join([*parts, f"loss {losses[0]:.3f} and {losses[1]:.3f}"])


def command(about: str, contests: Callable[[Size], tuple[str, list[Contest]]]) -> click.Command:
    """The command that prints a line for each contest. contests: what is trained at a size, in words, and all pairs."""

    @click.command(context_settings={"help_option_names": ["-h", "--help"]}, help=about)
    @click.option("--engine", type=click.Choice(["torch", "mxnet"]), help="Only this one.")
    @click.option("--epochs", default=5, show_default=True, help="Timed epochs of each side.")
    @click.option("--interactions", default=60_000, show_default=True, help="How many there are.")
    @click.option("--quick", is_flag=True, help="A tiny size: shows that it runs, compares nothing.")
    def main(engine: str | None, epochs: int, interactions: int, quick: bool) -> None:
        size = TINY if quick else Size(MOVIES.users, MOVIES.items, interactions)
        told, pairs = contests(size)
        click.echo(f"{size}, {told}")
        for contest in pairs:
            if engine in (None, contest.engine):
                click.echo(compare(contest, epochs))

    return main


def by_names(
    makers: Mapping[str, Callable[[str], Epoch]], ours: Callable[[str, str], Epoch], names: tuple[str, ...]
) -> list[Contest]:
    """A contest for each engine and name.

    makers: of each engine's bare loop, from the name. ours: makes ours, from engine and name.
    """

    def one(engine: str, name: str) -> Contest:
        return Contest(engine, name, lambda: makers[engine](name), lambda: ours(engine, name))

    return [one(engine, name) for engine in makers for name in names]
