"""`python -m benchmarks.connections`: throughput and 99th percentile of recommendations by the number of connections.

What `benchmarks serving` measures at 8 connections, in turns at 1 to 32: the constant answer, recommendations of users
drawn uniformly, and those of people whom the model does not know. Each point is the median of the rounds. Needs wrk.

Written: docs/images/connections.svg, and the figures beside results.json; a table is printed.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import click

from benchmarks import charts
from benchmarks.load import Load, load, model, serving, wrk
from benchmarks.serving import ANSWER, CONSTANT, ITEMS, PERSONAL, UNKNOWN, USERS, VISITOR, middle, requests

CONNECTIONS = (1, 2, 4, 8, 16, 32)
ROUNDS, SECONDS = 3, 2
STYLES = {
    CONSTANT: (charts.PALE, "o--"),
    PERSONAL: (charts.TEAL, "o-"),
    UNKNOWN: (charts.LIGHT_TEAL, "o-"),
    VISITOR: (charts.RUST, "s-"),
}
"""Colour and line of each kind of request."""


@dataclass(frozen=True)
class Point:
    """rate: answers a second; p50, p99: milliseconds."""

    kind: str
    connections: int
    rate: float
    p50: float
    p99: float


def point(kind: str, connections: int, runs: list[Load]) -> Point:
    """The median of each figure. Raises click.ClickException if an answer failed."""
    try:
        found = middle(runs)
    except RuntimeError as error:
        raise click.ClickException(f"{error} ({kind}, {connections} connections).") from None
    return Point(kind, connections, *(round(each, 3) for each in (found.rate, found.p50, found.p99)))


def measure(quick: bool) -> list[Point]:
    """By turns of the kinds, so that whatever else the machine does hits all alike."""
    users, items = (1_000, 500) if quick else (USERS, ITEMS)
    rounds, seconds = (1, 1) if quick else (ROUNDS, SECONDS)
    lua = {kind: text for kind, text in requests(users, items).items() if kind in STYLES}
    points = []
    with (
        tempfile.TemporaryDirectory(prefix="palate-bench-") as name,
        serving(Path(name), model(users, items), ANSWER) as server,
    ):
        for text in lua.values():
            load(server, text, 1, max(CONNECTIONS))
        for connections in CONNECTIONS[: 1 if quick else None]:
            runs = [{kind: load(server, lua[kind], seconds, connections) for kind in STYLES} for _ in range(rounds)]
            points += [point(kind, connections, [run[kind] for run in runs]) for kind in STYLES]
    return points


def draw(points: list[Point]) -> None:
    """Answers a second on the left, milliseconds of 99 of 100 on the right."""
    with charts.chart("connections", 1, 2, (7.6, 3.2), sharex=True) as ((left, right),):
        for kind, (color, line) in STYLES.items():
            found = [point for point in points if point.kind == kind]
            connections = [point.connections for point in found]
            left.plot(connections, [point.rate for point in found], line, color=color, label=kind, markersize=4)
            right.plot(connections, [point.p99 for point in found], line, color=color, markersize=4)
        for axis in (left, right):
            axis.set_xscale("log", base=2)
            axis.set_xticks(CONNECTIONS, [str(number) for number in CONNECTIONS])
            axis.set_ylim(bottom=0)
            axis.set_xlabel("connections")
        left.set_title("answers a second")
        right.set_title("ms, 99 of 100")
        charts.legend(left)


def table(points: list[Point]) -> str:
    """Markdown; of each kind also its share of the constant's throughput, and how many times its p99."""
    rows = [
        "| connections | asked for | a second | p50 | p99 | of the constant's | its p99 |",
        "|--:|---|--:|--:|--:|--:|--:|",
    ]
    base = {each.connections: each for each in points if each.kind == CONSTANT}
    for each in points:
        constant = base[each.connections]
        rows.append(
            f"| {each.connections} | {each.kind} | {each.rate:,.0f} | {each.p50:.2f} ms | {each.p99:.1f} ms "
            f"| {each.rate / constant.rate:.2f} | {each.p99 / constant.p99:.1f} |"
        )
    return "\n".join(rows)


@click.command()
@click.option("--quick", is_flag=True, help="A tiny catalogue and one connection, nothing written: shows that it runs.")
def main(quick: bool) -> None:
    """Measure how throughput and latency go with the number of connections, and draw it."""
    wrk()
    points = measure(quick)
    click.echo(table(points))
    if not quick:
        charts.keep("connections", points)
        draw(points)


if __name__ == "__main__":
    main()
