"""`python -m benchmarks.auto --data ml-latest-small`: what `auto` finds, beside the models it was made of and EASE.

Three sets: the given one, its test the last fifth of each user's history; and two generated ones, with a random fifth
for the test: users with tastes for genres, and users with places that they live near. The single models have the
settings that the search found best for their kind on validation data; EASE is shown with its defaults, too. Each runs
in a process of its own, so that its memory is told apart.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from benchmarks.data import Size, generate, generate_places
from palate.dataset import Dataset, read_dataset
from palate.dataset.splits import Split, leave_last_fraction, random_split
from palate.evaluation.protocol import evaluate
from palate.models import make_recommender

TASTES, PLACES = Size(2_500, 2_000, 150_000), Size(4_000, 4_000, 120_000)
GENERATED = {"tastes": generate, "places": generate_places}
SIZES = {"tastes": TASTES, "places": PLACES}
K = 20


def parted(name: str) -> tuple[Split, Dataset | None]:
    """A generated set by its name, or the one in a folder, with its catalogue."""
    if name in GENERATED:
        return random_split(GENERATED[name](SIZES[name]), 0.2, seed=1), None
    held = read_dataset(Path(name))
    return leave_last_fraction(held.interactions), held


def measured(name: str, kind: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Accuracy, seconds and memory of one model on one set; of `auto` also what it chose."""
    split, held = parted(name)
    items, users = (None, None) if held is None else (held.items, held.users)
    started = time.perf_counter()
    model = make_recommender(kind, values).fit(split.train, items, users)
    seconds = time.perf_counter() - started
    found = evaluate(model, split.train, split.test, (K,), items, users)
    told: dict[str, Any] = {
        "ndcg": found.metrics[f"ndcg@{K}"],
        "recall": found.metrics[f"recall@{K}"],
        "seconds": seconds,
        "ranking": found.seconds.ranking,
        "memory": found.peak_memory_mb,
    }
    story = getattr(model, "story", None)
    if story is not None:
        told["best"] = {best.candidate.kind: dict(best.candidate.values) for best, _ in story.best_of_each()}
        told["parts"] = list(story.parts)
    return told


def in_a_process(name: str, kind: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Raises click.ClickException with the last line of what it said if it fails."""
    asked = json.dumps({"name": name, "kind": kind, "values": dict(values)})
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.auto", "--one", asked], capture_output=True, text=True, check=False
    )
    if ran.returncode:
        raise click.ClickException(f"{kind} on {name}: {ran.stderr.strip().splitlines()[-1]}")
    found: dict[str, Any] = json.loads(ran.stdout.strip().splitlines()[-1])
    return found


def rows(name: str, search: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The label and the figures of `auto`, of the best of each kind, and of EASE as it comes."""
    auto = in_a_process(name, "auto", search)
    yield "auto", auto
    for kind, values in auto["best"].items():
        yield f"{kind}, tuned", in_a_process(name, kind, values)
    yield "ease, defaults", in_a_process(name, "ease", {})


@click.command()
@click.option("--data", type=click.Path(exists=True, path_type=Path), help="A data set's folder.")
@click.option("--only", multiple=True, type=click.Choice(list(GENERATED)), help="Only these generated sets.")
@click.option("--budget", default="3m", show_default=True, help="Of each search.")
@click.option(
    "--trials", default=40, show_default=True, help="Of each kind at most: on a busy machine the same search."
)
@click.option("--seed", default=0, show_default=True)
@click.option("--one", hidden=True)
def main(data: Path | None, only: tuple[str, ...], budget: str, trials: int, seed: int, one: str | None) -> None:
    """Print a table for each set, and how far `auto` is above the best single model of each, and above EASE."""
    if one is not None:
        asked = json.loads(one)
        click.echo(json.dumps(measured(asked["name"], asked["kind"], asked["values"])))
        return
    found_by_set: list[dict[str, float]] = []
    for name in [*([str(data)] if data is not None else []), *(only or GENERATED)]:
        click.echo(f"\n{Path(name).name}, a budget of {budget}, {trials} trials of each kind at most\n")
        click.echo("| model | NDCG@20 | Recall@20 | training, s | ranking, s | memory, MiB |")
        click.echo("|---|--:|--:|--:|--:|--:|")
        found_by_set.append({})
        for label, found in rows(name, {"budget": budget, "trials": trials, "seed": seed}):
            click.echo(
                f"| {label} | {found['ndcg']:.4f} | {found['recall']:.4f} | {found['seconds']:.1f} "
                f"| {found['ranking']:.1f} | {found['memory']:.0f} |"
            )
            found_by_set[-1][label] = found["ndcg"]
            if "parts" in found:
                click.echo(f"auto is {', '.join(found['parts'])}", err=True)
        best = max(value for label, value in found_by_set[-1].items() if label not in ("auto", "ease, defaults"))
        click.echo(f"\nauto is {found_by_set[-1]['auto'] / best - 1:+.1%} from the best single model.")
    auto, *ease = (
        sum(each.get(label, 0.0) for each in found_by_set) / len(found_by_set)
        for label in ("auto", "ease, tuned", "ease, defaults")
    )
    click.echo(f"\nMean NDCG@20 of {len(found_by_set)}: auto {auto:.4f}, ease tuned {ease[0]:.4f}, ease {ease[1]:.4f}.")
    click.echo(f"On {os.cpu_count()} processors. Memory is that of the whole process at its peak.")


if __name__ == "__main__":
    main()
