"""An evaluation for people and for programs: a table on the terminal, a JSON file written whole or not at all."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from palate.errors import InputError
from palate.evaluation.result import Evaluation, Measures
from palate.files import written_whole


def print_report(evaluation: Evaluation, console: Console) -> None:
    """The metrics with their intervals, a column per cut-off, and what was measured on."""
    data, seconds, cold = evaluation.data, evaluation.seconds, evaluation.cold
    params = ", ".join(f"{name}={value}" for name, value in evaluation.params.items())
    console.print(Text(f"{evaluation.model} ({params})" if params else evaluation.model, style="bold"), soft_wrap=True)
    console.print(
        f"{data.train_interactions:,} training interactions of {data.users:,} users and {data.items:,} items; "
        f"{data.test_users:,} test users, {data.personal_users:,} of them with a personal ranking.",
        soft_wrap=True,
    )
    if cold is None:
        _section(console, "All items ranked; mean over users [95 % interval]", metric_table(evaluation.measures))
    else:
        among = f"{cold.cold:,} cold items ranked" if cold.kind == "items" else f"{cold.cold:,} users held out"
        _section(console, f"{among}; mean over users [95 % interval]", metric_table(evaluation.measures))
        random = random_table(cold.random, cold.ratio)
        _section(console, "A random ranking of the same candidates: expected value, and how far above it", random)
        if cold.full_ranking is not None:
            _section(console, "The same users and test items, all items ranked", metric_table(cold.full_ranking))
    if data.test_pairs_seen_in_training:
        console.print(
            f"Note: {data.test_pairs_seen_in_training:,} test pairs are training pairs too; they count as missed.",
            style="yellow",
            soft_wrap=True,
        )
    console.print(
        f"Reading {seconds.reading:.1f} s, training {seconds.training:.1f} s, ranking {seconds.ranking:.1f} s; "
        f"{evaluation.peak_memory_mb:,.0f} MB at most.",
        style="dim",
        soft_wrap=True,
    )


def metric_table(measures: Measures) -> Table:
    """A row per metric, a column per cut-off: the mean and its interval."""
    values = {
        name: "-" if math.isnan(mean) else "{:.4f} [{:.4f}, {:.4f}]".format(mean, *measures.intervals[name])
        for name, mean in measures.metrics.items()
    }
    return _by_cutoff(values)


def random_table(random: Mapping[str, float], ratio: Mapping[str, float]) -> Table:
    """A row per metric, a column per cut-off: random's value, and how many times better the model is."""
    return _by_cutoff({name: f"{value:.4f} x {ratio[name]:.1f}" for name, value in random.items()})


def _by_cutoff(values: Mapping[str, str]) -> Table:
    """Values under keys such as "ndcg@20" as a table."""
    names = list(dict.fromkeys(name.rpartition("@")[0] for name in values))
    cutoffs = sorted({int(name.rpartition("@")[2]) for name in values})
    table = Table()
    table.add_column("metric")
    for k in cutoffs:
        table.add_column(f"at {k}", justify="right")
    for name in names:
        table.add_row(name, *(Text(values[f"{name}@{k}"]) for k in cutoffs))
    return table


def _section(console: Console, title: str, table: Table) -> None:
    console.print(Text(f"\n{title}", style="italic"), soft_wrap=True)
    console.print(table)


def check_writable(path: Path) -> None:
    """Said before the long work rather than after it. Raises InputError if `path` can't become a file."""
    if path.is_dir():
        raise InputError("is a folder; a file's name is expected.", where=str(path))
    if not path.parent.is_dir():
        raise InputError(f"there is no folder {path.parent}.", where=str(path), hint="Make it first.")
    if not os.access(path.parent, os.W_OK):
        raise InputError(f"the folder {path.parent} may not be written to.", where=str(path))


def write_json(evaluation: Evaluation, path: Path) -> None:
    """All of it or nothing: a reader sees the old file or the new one. Raises InputError."""
    check_writable(path)
    text = json.dumps(evaluation.to_dict(), indent=2, allow_nan=False, ensure_ascii=False)
    with written_whole(path) as file:
        file.write(f"{text}\n".encode())
