"""`python -m benchmarks.auto_labeling --data FILE ...`: does auto-labeling keep its promise, and at what price?

The loop is played against known labels once per seed. A line for each: the share labeled automatically, how much of it
is right, how many answers people gave, whether the audit's interval holds the truth and how wide it is, seconds. The
last line is a row of the table in docs/labeling.md: the mean share and the least, the mean accuracy and the least, how
often the interval held and how wide it was at most, the longest seed. Seconds leave out reading and features.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click
import numpy as np

from labeling.autolabel import Goal, judge, play
from labeling.autolabel.annotators import Annotators, Crowd, Truthful
from labeling.autolabel.learning import learner_for
from labeling.autolabel.tables import Known, read_known
from labeling.settings import LabelingSettings


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--data", "files", multiple=True, type=click.Path(path_type=Path))
@click.option("--digits", is_flag=True, help="scikit-learn's digits, as a table, instead of files.")
@click.option("--text", help="The column of texts; without, the other columns are features.")
@click.option("--label", default="label", show_default=True)
@click.option("--features", type=click.Choice(["auto", "tfidf", "embeddings"]), default="auto", show_default=True)
@click.option("--target", "targets", type=float, multiple=True, default=(0.95,), show_default=True)
@click.option("--workers", type=int, default=0, help="So many people who err; 0 is one who never does.")
@click.option("--worker-accuracy", type=float, default=0.8, show_default=True)
@click.option("--budget", type=int)
@click.option("--seeds", default=5, show_default=True)
@click.option("--first", default=0, show_default=True, help="The first seed.")
def main(
    files: tuple[Path, ...],
    digits: bool,
    text: str | None,
    label: str,
    features: str,
    targets: tuple[float, ...],
    workers: int,
    worker_accuracy: float,
    budget: int | None,
    seeds: int,
    first: int,
) -> None:
    """Play the loop with several seeds, a JSON line each."""
    if digits == bool(files):
        raise click.UsageError("Name files by --data, or take --digits.")
    known = handwritten() if digits else read_known(files, label, text)
    started = time.perf_counter()
    learner_for(known, features, LabelingSettings.read().cache)
    click.echo(f"{len(known)} items; features took {time.perf_counter() - started:.1f} s")
    for target in targets:
        goal, lines = Goal(target=target, budget=budget), []
        for seed in range(first, first + seeds):
            learner = learner_for(known, features, LabelingSettings.read().cache)
            people: Annotators = (
                Crowd(known.labels, workers, worker_accuracy, seed) if workers else Truthful(known.labels)
            )
            started = time.perf_counter()
            state, made = play(learner, people, goal, seed)
            took = time.perf_counter() - started
            outcome = judge(state, made, people.names, known.labels, goal, learner.name)
            audit, accuracy = outcome.audit, outcome.automated_accuracy
            lines.append(
                {
                    "target": target,
                    "seed": seed,
                    "share": round(outcome.automated_share, 4),
                    "accuracy": None if accuracy is None else round(accuracy, 4),
                    "answers": outcome.human_answers,
                    "rounds": len(outcome.rounds),
                    "covered": None if audit is None or accuracy is None else audit.low <= accuracy <= audit.high,
                    "width": None if audit is None else round(audit.high - audit.low, 4),
                    "seconds": round(took, 1),
                }
            )
            click.echo(json.dumps(lines[-1]))
        click.echo(row(target, lines))


def row(target: float, lines: list[dict[str, Any]]) -> str:
    """A row of Markdown on one target's seeds."""
    right = [line["accuracy"] for line in lines if line["accuracy"] is not None]
    shares = [line["share"] for line in lines]
    seeds = f"{lines[0]['seed']}-{lines[-1]['seed']}"
    cells = [f"{target:.2f}", seeds, f"{np.mean(shares):.3f}, {min(shares):.3f}"]
    if right:
        held, widest = sum(bool(line["covered"]) for line in lines), max(line["width"] for line in lines)
        cells += [f"{np.mean(right):.4f}, {min(right):.4f}", f"{held} of {len(right)}", f"{widest:.3f}"]
    else:
        cells += ["nothing labeled", "", ""]
    return f"| {' | '.join([*cells, str(max(line['seconds'] for line in lines))])} |"


def handwritten() -> Known:
    """1,797 digits of 8 x 8 pixels."""
    from sklearn.datasets import load_digits

    found = load_digits()
    columns: dict[str, list[str | float | None]] = {
        f"pixel{number}": [float(value) for value in values] for number, values in enumerate(found.data.T)
    }
    return Known([str(label) for label in found.target], None, columns, 0)


if __name__ == "__main__":
    main()
