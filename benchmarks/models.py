"""`python -m benchmarks.models --data FOLDER`: every model that ranks items, with its defaults, on one split each.

The last fifth of each user's history is held out, as `palate evaluate --split leave-last-fraction` does; each model
runs in a process of its own, so that its memory is told apart. `--write docs/models.md` puts the tables between the
two marks of that page.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import click

from palate.models import KINDS, artifact_class
from palate.models.protocol import Recommender

BEGIN, END = "<!-- made by benchmarks.models: begin -->", "<!-- end -->"


def measured(kind: str, data: Path) -> dict[str, Any]:
    """What `palate evaluate` says of a model. Raises click.ClickException with its last line if it fails."""
    with tempfile.TemporaryDirectory(prefix="palate-models-") as folder:
        out = Path(folder) / "found.json"
        command = [
            "evaluate",
            "--train",
            str(data),
            "--split",
            "leave-last-fraction",
            "--model",
            kind,
            "--json",
            str(out),
        ]
        ran = subprocess.run(
            [sys.executable, "-m", "palate.cli", *command], capture_output=True, text=True, check=False
        )
        if ran.returncode:
            raise click.ClickException(f"{kind}: {ran.stderr.strip().splitlines()[-1]}")
        found: dict[str, Any] = json.loads(out.read_text("utf-8"))
        return found


def table(data: Path, found: list[dict[str, Any]]) -> str:
    """Markdown, the most accurate model first."""
    facts = found[0]["data"]
    rows = [
        f"{data.resolve().name}: {facts['train_interactions']:,} training interactions of {facts['users']:,} users and "
        f"{facts['items']:,} items, {facts['test_users']:,} test users.",
        "",
        "| model | NDCG@20 | Recall@20 | training, s | ranking, s | memory, MiB |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for each in sorted(found, key=lambda each: -each["metrics"]["ndcg@20"]):
        metrics, seconds = each["metrics"], each["seconds"]
        rows.append(
            f"| `{each['model']}` | {metrics['ndcg@20']:.4f} | {metrics['recall@20']:.4f} "
            f"| {seconds['training']:.1f} | {seconds['ranking']:.1f} | {each['peak_memory_mb']:.0f} |"
        )
    return "\n".join(rows)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--data", required=True, multiple=True, type=click.Path(exists=True, path_type=Path), help="A data set.")
@click.option("--model", "kinds", multiple=True, help="Only these kinds.")
@click.option("--write", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="The page to put it in.")
def main(data: tuple[Path, ...], kinds: tuple[str, ...], write: Path | None) -> None:
    """Print a table for each data set."""
    kinds = kinds or tuple(kind for kind in KINDS if issubclass(artifact_class(kind), Recommender))
    tables = []
    for folder in data:
        found = []
        for kind in kinds:
            found.append(measured(kind, folder))
            click.echo(f"{kind}: NDCG@20 {found[-1]['metrics']['ndcg@20']:.4f}", err=True)
        tables.append(table(folder, found))
    text = "\n\n".join([*tables, f"On {os.cpu_count()} processors. Memory is that of the whole process at its peak."])
    click.echo(text)
    if write is not None:
        page = write.read_text("utf-8")
        if BEGIN not in page or END not in page.partition(BEGIN)[2]:
            raise click.ClickException(f"{write} has no place marked by {BEGIN} and {END}.")
        before, rest = page.split(BEGIN, 1)
        write.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.split(END, 1)[1]}", "utf-8")


if __name__ == "__main__":
    main()
