"""`python -m benchmarks.models --data FOLDER`: every model that ranks items, with its defaults, on one split each.

The last fifth of each user's history is held out, as `palate evaluate --split leave-last-fraction` does; each model
runs in a process of its own, so that its memory is told apart. `--generated` adds two generated sets: films of
MovieLens 1M's size, and visits of places of Gowalla's, of which nothing is known but who was where. `--write
docs/models.md` puts the tables between the two marks of that page.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.data import Size, generate_places
from benchmarks.pages import put
from palate.dataset.generate import generate_dataset, write_dataset
from palate.dataset.schema import Dataset, Items, Users
from palate.models import KINDS, artifact_class
from palate.models.protocol import Recommender

ML_1M = {"n_users": 6_040, "n_items": 3_700, "n_interactions": 1_000_000}
GOWALLA = Size(30_000, 41_000, 1_027_000)


def write_generated(folder: Path) -> dict[str, Path]:
    """The generated sets' folders, by name."""
    made = {"Generated films": folder / "films", "Generated places": folder / "places"}
    write_dataset(generate_dataset(**ML_1M), made["Generated films"])
    visits = generate_places(GOWALLA)
    visits = dataclasses.replace(visits, timestamps=np.arange(len(visits), dtype=np.int64))  # one after the other
    write_dataset(Dataset(visits, Items(visits.items), Users(visits.users), "generated"), made["Generated places"])
    return made


def measured(kind: str, data: Path, limit: float) -> dict[str, Any] | str:
    """What `palate evaluate` says of a model, or the last line of what it says when it fails."""
    with tempfile.TemporaryDirectory(prefix="palate-models-") as folder:
        out = Path(folder) / "found.json"
        options = {"--train": str(data), "--split": "leave-last-fraction", "--model": kind, "--json": str(out)}
        command = [sys.executable, "-m", "palate.cli", "evaluate", *(part for pair in options.items() for part in pair)]
        try:
            ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=limit)
        except subprocess.TimeoutExpired:
            return f"stopped after {limit:.0f} s"
        if ran.returncode:
            return (ran.stderr.strip().splitlines() or [f"ended with {ran.returncode}"])[-1]
        found: dict[str, Any] = json.loads(out.read_text("utf-8"))
        return found


def table(name: str, found: dict[str, dict[str, Any] | str]) -> str:
    """Markdown, the most accurate model first, those that failed last."""
    good = [each for each in found.values() if not isinstance(each, str)]
    if not good:
        raise click.ClickException(f"{name}: no model could be measured. {'; '.join(map(str, found.values()))}")
    facts = good[0]["data"]
    rows = [
        f"{name}: {facts['train_interactions']:,} training interactions of {facts['users']:,} users and "
        f"{facts['items']:,} items, {facts['test_users']:,} test users.",
        "",
        "| model | NDCG@20 | Recall@20 | training, s | ranking, s | memory, MiB |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for each in sorted(good, key=lambda each: -each["metrics"]["ndcg@20"]):
        metrics, seconds = each["metrics"], each["seconds"]
        rows.append(
            f"| `{each['model']}` | {metrics['ndcg@20']:.4f} | {metrics['recall@20']:.4f} "
            f"| {seconds['training']:.1f} | {seconds['ranking']:.1f} | {each['peak_memory_mb']:.0f} |"
        )
    rows += [f"| `{kind}` | {why} | | | | |" for kind, why in found.items() if isinstance(why, str)]
    return "\n".join(rows)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--data", multiple=True, type=click.Path(exists=True, path_type=Path), help="A data set.")
@click.option("--generated", is_flag=True, help="Also generated sets of MovieLens 1M's and of Gowalla's size.")
@click.option("--model", "kinds", multiple=True, help="Only these kinds.")
@click.option("--limit", default=1800.0, show_default=True, help="Seconds for one model on one set.")
@click.option("--write", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="The page to put it in.")
def main(data: tuple[Path, ...], generated: bool, kinds: tuple[str, ...], limit: float, write: Path | None) -> None:
    """Print a table for each data set."""
    rankers = (kind for kind in KINDS if issubclass(artifact_class(kind), Recommender))
    kinds = kinds or tuple(kind for kind in rankers if kind != "auto")  # `benchmarks.auto` measures that
    with ExitStack() as stack:
        sets = {path.resolve().name: path for path in data}
        if generated:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="palate-models-")))
            sets |= write_generated(folder)
        if not sets:
            raise click.UsageError("Give --data or --generated.")
        tables = []
        for name, path in sets.items():
            found = {}
            for kind in kinds:
                found[kind] = told = measured(kind, path, limit)
                said = told if isinstance(told, str) else f"NDCG@20 {told['metrics']['ndcg@20']:.4f}"
                click.echo(f"{name}, {kind}: {said}", err=True)
            tables.append(table(name, found))
    text = "\n\n".join([*tables, f"On {os.cpu_count()} processors. Memory is that of the whole process at its peak."])
    click.echo(text)
    if write is not None:
        put(write, "benchmarks.models", text)


if __name__ == "__main__":
    main()
