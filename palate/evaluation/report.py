"""An evaluation for people and for programs: a table on the terminal, a JSON file written whole or not at all."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from palate.errors import InputError
from palate.evaluation.result import Evaluation, Measures


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
        console.print(metric_table("All items ranked, mean over users [95 % interval]", evaluation.measures))
    else:
        among = f"{cold.cold:,} cold items ranked" if cold.kind == "items" else f"{cold.cold:,} users held out"
        console.print(metric_table(f"{among}, mean over users [95 % interval]", evaluation.measures))
        console.print(_random_table(cold.random, cold.ratio, evaluation.ks))
        if cold.full_ranking is not None:
            console.print(metric_table("The same users, all items ranked", cold.full_ranking))
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


def metric_table(title: str, measures: Measures) -> Table:
    """A row per metric, a column per cut-off."""
    table = Table(title=title, title_justify="left")
    cutoffs = _cutoffs(measures.metrics)
    table.add_column("metric")
    for k in cutoffs:
        table.add_column(f"at {k}", justify="right")
    for name in _names(measures.metrics):
        cells = []
        for k in cutoffs:
            low, high = measures.intervals[f"{name}@{k}"]
            cells.append(Text(f"{measures.metrics[f'{name}@{k}']:.4f} [{low:.4f}, {high:.4f}]"))
        table.add_row(name, *cells)
    return table


def _random_table(random: Mapping[str, float], ratio: Mapping[str, float], ks: tuple[int, ...]) -> Table:
    table = Table(
        title="Beside a random ranking of the same candidates: expected value, times better", title_justify="left"
    )
    table.add_column("metric")
    for k in _cutoffs(random):
        table.add_column(f"at {k}", justify="right")
    for name in _names(random):
        table.add_row(name, *(f"{random[f'{name}@{k}']:.4f}, {ratio[f'{name}@{k}']:.1f} x" for k in _cutoffs(random)))
    return table


def check_writable(path: Path) -> None:
    """Said before the long work rather than after it. Raises InputError if `path` can't become a file."""
    if path.is_dir():
        raise InputError("is a folder; a file's name is expected.", where=str(path))
    if not path.parent.is_dir():
        raise InputError(f"there is no folder {path.parent}.", where=str(path), hint="Make it first.")
    if not os.access(path.parent, os.W_OK):
        raise InputError(f"the folder {path.parent} may not be written to.", where=str(path))


def write_json(evaluation: Evaluation, path: Path) -> None:
    """Beside its name first, then renamed: a reader sees the old file or the new one. Raises InputError."""
    check_writable(path)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with open(beside, "x", encoding="utf-8") as file:
            json.dump(evaluation.to_dict(), file, indent=2, allow_nan=False, ensure_ascii=False)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}.", where=str(path)) from error
    finally:
        beside.unlink(missing_ok=True)


def _cutoffs(metrics: Mapping[str, float]) -> list[int]:
    return sorted({int(name.rpartition("@")[2]) for name in metrics})


def _names(metrics: Mapping[str, float]) -> list[str]:
    return list(dict.fromkeys(name.rpartition("@")[0] for name in metrics))
