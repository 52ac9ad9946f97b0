"""`python -m benchmarks.auto_labeling --data FILE ...`: does auto-labeling keep its promise, and at what price?

The loop is played against known labels once per seed. A line for each: the share labeled automatically, how much of it
is right, how many answers people gave, whether the audit's interval holds the truth and how wide it is, seconds. The
last line is the mean, the worst accuracy, and how often the interval held. Seconds leave out reading and features.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import click
import numpy as np

from labeling.autolabel import Goal, judge, play
from labeling.autolabel.annotators import Annotators, Crowd, Truthful
from labeling.autolabel.learning import learner_for
from labeling.autolabel.tables import read_known
from labeling.settings import LabelingSettings


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--data", "files", multiple=True, required=True, type=click.Path(path_type=Path))
@click.option("--text", help="The column of texts; without, the other columns are features.")
@click.option("--label", required=True)
@click.option("--features", type=click.Choice(["auto", "tfidf", "embeddings"]), default="auto", show_default=True)
@click.option("--target", "targets", type=float, multiple=True, default=(0.95,), show_default=True)
@click.option("--workers", type=int, default=0, help="So many people who err; 0 is one who never does.")
@click.option("--worker-accuracy", type=float, default=0.8, show_default=True)
@click.option("--budget", type=int)
@click.option("--seeds", default=5, show_default=True)
def main(
    files: tuple[Path, ...],
    text: str | None,
    label: str,
    features: str,
    targets: tuple[float, ...],
    workers: int,
    worker_accuracy: float,
    budget: int | None,
    seeds: int,
) -> None:
    """Play the loop with several seeds, a JSON line each."""
    known = read_known(files, label, text)
    started = time.perf_counter()
    learner_for(known, features, LabelingSettings.read().cache)
    click.echo(f"{len(known)} items; features took {time.perf_counter() - started:.1f} s")
    for target in targets:
        goal, lines = Goal(target=target, budget=budget), []
        for seed in range(seeds):
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
        right = [line["accuracy"] for line in lines if line["accuracy"] is not None]
        share = float(np.mean([line["share"] for line in lines]))
        kept = f"right {np.mean(right):.4f}, at least {min(right):.4f}" if right else "nothing labeled"
        held = sum(bool(line["covered"]) for line in lines)
        click.echo(f"target {target}: share {share:.4f}, {kept}, interval held {held} of {len(right)}")


if __name__ == "__main__":
    main()
